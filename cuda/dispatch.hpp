// From run-time types and formats to the template arguments of a kernel, and from granularities to
// scale maps and their inverse.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "cuqat/scalar/element.hpp"
#include "launch.hpp"
#include "launchers.hpp"
#include "pack_scales.cuh"
#include "scale_map.cuh"
#include "scale_terms.cuh"
#include "segments.hpp"
#include "statistics.cuh"

namespace cuqat::gpu {

template <typename T>
struct TypeTag {
  using Type = T;
};

/// body(TypeTag<T>) for the type of the dtype.
template <typename Body>
void with_type(DType dtype, const Body& body) {
  switch (dtype) {
    case DType::kF32:
      return body(TypeTag<float>{});
    case DType::kF64:
      return body(TypeTag<double>{});
    case DType::kF16:
      return body(TypeTag<float16>{});
    case DType::kBF16:
      return body(TypeTag<bfloat16>{});
  }
}

/// body(TypeTag<float or double>).
template <typename Body>
void with_compute_type(DType compute, const Body& body) {
  if (compute == DType::kF64) {
    body(TypeTag<double>{});
  } else {
    body(TypeTag<float>{});
  }
}

/// body(TypeTag<an unsigned integer of the dtype's size>).
template <typename Body>
void with_bits(DType dtype, const Body& body) {
  switch (dtype_bytes(dtype)) {
    case 2:
      return body(TypeTag<std::uint16_t>{});
    case 4:
      return body(TypeTag<std::uint32_t>{});
    default:
      return body(TypeTag<std::uint64_t>{});
  }
}

/// body(element quantizer). int8 and int4 share one: their code range is a run-time value.
template <typename Body>
void with_quantizer(const Quantizer& quantizer, const Body& body) {
  using scalar::ElementQuantizer;
  using scalar::make_element_quantizer;
  if (quantizer.format == Format::kE4M3) {
    body(make_element_quantizer<ElementQuantizer<Format::kE4M3>>(quantizer));
  } else if (quantizer.format == Format::kE5M2) {
    body(make_element_quantizer<ElementQuantizer<Format::kE5M2>>(quantizer));
  } else if (quantizer.rounding == Rounding::kNearestEven) {
    body(make_element_quantizer<ElementQuantizer<Format::kInt8>>(quantizer));
  } else {
    body(make_element_quantizer<ElementQuantizer<Format::kInt8, Rounding::kOriginal>>(quantizer));
  }
}

/// body(TypeTag<T>, element quantizer): both of them.
template <typename Body>
void with_kernel_types(DType dtype, const Quantizer& quantizer, const Body& body) {
  with_type(dtype, [&](auto type) {
    with_quantizer(quantizer,
                   [&](const auto& element_quantizer) { body(type, element_quantizer); });
  });
}

/// body(std::bool_constant<of magnitudes>).
template <typename Body>
void with_order(OrderBy order, const Body& body) {
  if (order == OrderBy::kMagnitude) {
    body(std::true_type{});
  } else {
    body(std::false_type{});
  }
}

/// The tensor has elements.
inline ScaleMap scale_map(const DeviceScaledTensor& tensor) {
  ScaleMap map{};
  map.scale = tensor.scale;
  map.zero_point = tensor.zero_point;
  map.is_single = tensor.num_scales == 1;
  if (map.is_single) return map;
  const auto extents = tensor.shape.extents();
  map.is_periodic = tensor.granularity.kind == Granularity::Kind::kChannel;
  if (map.is_periodic) {
    const auto axis = static_cast<std::size_t>(tensor.granularity.axis);
    map.run_length = 1;
    for (std::size_t i = axis + 1; i < extents.size(); ++i) map.run_length *= extents[i];
    map.runs_per_row = extents[axis];
    map.row_length = map.runs_per_row * map.run_length;
  } else {
    map.row_length = extents.back();
    map.run_length = std::min(tensor.granularity.group_size, map.row_length);
    map.runs_per_row = (map.row_length - 1) / map.run_length + 1;
  }
  map.by_row = Divider(map.row_length);
  map.by_run = Divider(map.run_length);
  return map;
}

/// Where the elements of each scale are once those of a scale lie together. The tensor has
/// elements.
inline SegmentLayout scale_segments(const DeviceScaledTensor& tensor) {
  const ScaleMap map = scale_map(tensor);
  SegmentLayout layout{};
  const bool in_groups = !map.is_single && !map.is_periodic;
  layout.segment_length = in_groups ? map.run_length : tensor.shape.count() / tensor.num_scales;
  layout.segments_per_row = in_groups ? map.runs_per_row : 1;
  layout.row_length = in_groups ? map.row_length : layout.segment_length;
  return layout;
}

/// body(TypeTag<scales of a kernel over elements of type T>).
template <typename T, typename Q, typename Body>
void with_scales(const ScaleMap& map, const Q&, const Body& body) {
  if constexpr (kCanPrepare<T, Q>) {
    if (map.is_single) return body(TypeTag<SingleScale<T, Q>>{});
  }
  body(TypeTag<PackScales<T, Q>>{});
}

/// The same for one that may also stride over columns: body(the scales, whether packs start at the
/// first element).
template <typename T, typename Q, typename Body>
void with_scales(const ScaleMap& map, const Q& quantizer, std::int64_t count,
                 const LaunchTarget& target, const Body& body) {
  if constexpr (kCanPrepare<T, Q>) {
    // A grid has at least these threads: what the tensor needs, or a block for each multiprocessor.
    const std::int64_t num_threads =
        std::min(count / (kPackElements * kPacksInFlight<T>),
                 std::int64_t{target.num_multiprocessors} * kBlockThreads);
    if (ColumnScales<T, Q>::fit(map, num_threads)) {
      return body(TypeTag<ColumnScales<T, Q>>{}, true);
    }
  }
  with_scales<T>(map, quantizer, [&](auto scales) { body(scales, false); });
}

/// The inverse. There are scales; where there are no elements, no scale has one.
inline ScaleTerms scale_terms(const DeviceScaledTensor& tensor) {
  // Fewer scales than this leave a strip's warps mostly idle.
  constexpr std::int64_t kLeastStrip = kStripScales / 2;
  const std::int64_t count = tensor.shape.count();
  ScaleTerms terms{};
  terms.num_scales = tensor.num_scales;
  terms.num_parts = tensor.num_scales;
  ScaleMap& map = terms.map;
  if (count == 0) {
    map.scale = tensor.scale;
    map.row_length = map.runs_per_row = tensor.num_scales;
    map.run_length = 1;
    map.is_periodic = true;
  } else {
    map = scale_map(tensor);
  }
  if (map.is_single) {
    map.row_length = map.run_length = count;
    map.runs_per_row = 1;
    map.by_run = Divider(count);
  }
  const bool repeats = map.is_periodic || map.is_single;
  terms.rows_per_scale = repeats ? count / map.row_length : 1;
  const std::int64_t most = map.run_length * terms.rows_per_scale;
  terms.chunks_per_scale = num_chunks(most);
  terms.by_strips = map.run_length == 1 && tensor.num_scales >= kLeastStrip;
  if (terms.by_strips) terms.num_parts = (tensor.num_scales - 1) / kStripScales + 1;
  terms.by_parts = Divider(terms.num_parts);
  terms.by_runs_per_row = Divider(map.runs_per_row);
  // Of shapes that no memory holds this may overflow, and is not used: it wraps.
  terms.elements_to_next =
      static_cast<std::int64_t>(static_cast<std::uint64_t>(kWarpThreads / map.run_length) *
                                    static_cast<std::uint64_t>(map.row_length) +
                                static_cast<std::uint64_t>(kWarpThreads % map.run_length));
  terms.terms_to_next = static_cast<int>(kWarpThreads % map.run_length);
  return terms;
}

/// Launches the kernel that the terms ask for, with them and the arguments: a warp for each chunk,
/// or a block, which has `strip_shared_bytes` of shared memory, for each strip.
template <typename Kernel, typename... Arguments>
void launch_over_terms(const ScaleTerms& terms, Kernel by_chunks, Kernel by_strips,
                       std::size_t strip_shared_bytes, const LaunchTarget& target,
                       const Arguments&... arguments) {
  const std::int64_t num_items = terms.num_parts * terms.chunks_per_scale;
  if (terms.by_strips) {
    launch_streaming(num_items * kBlockThreads, 1, strip_shared_bytes, target, by_strips, terms,
                     arguments...);
  } else {
    launch_streaming(num_items * kWarpThreads, 1, 0, target, by_chunks, terms, arguments...);
  }
}

/// Bytes at the beginning of the workspace that hold the counter, and nothing else.
inline constexpr std::size_t kCounterBytes = 256;

/// Scratch memory at the beginning of the workspace: the counter, then the partial results.
inline ReductionScratch reduction_scratch(void* workspace) {
  return {static_cast<unsigned*>(workspace),
          reinterpret_cast<Statistics*>(static_cast<char*>(workspace) + kCounterBytes)};
}

}  // namespace cuqat::gpu
