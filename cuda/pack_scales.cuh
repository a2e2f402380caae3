// The scales that a kernel quantizes packs with.
//
// A thread reads them through the caches: once where there is one for all, or where its packs all
// lie in the same eight columns; else once a pack where the pack shares one, else for each element.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/prepared_scale.hpp"
#include "for_each_pack.cuh"
#include "pack.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// There are prepared scales for these elements and quantizers.
template <typename T, typename Q>
inline constexpr bool kCanPrepare =
    std::is_same_v<scalar::ComputeType<T>, float>&& Q::kRounding == Rounding::kNearestEven;

/// What prepares the scales of a quantizer.
template <typename Q>
using Prepared =
    std::conditional_t<is_integer(Q::kFormat), scalar::PreparedInteger, scalar::PreparedFp8>;

/// One scale or any map, over elements of type T.
template <typename T, typename Q>
class PackScales {
 public:
  using Element = T;
  using Quantizer = Q;
  using C = scalar::ComputeType<T>;

  __device__ PackScales(const Q& quantizer, const ScaleMap& map)
      : quantizer_(quantizer), map_(map) {
    if (!map.is_single) return;
    scale_ = *static_cast<const C*>(map.scale);
    zero_point_ = map.zero_point == nullptr ? 0 : *map.zero_point;
    prepare();
  }
  __device__ PackScales(const Q& quantizer, C scale, std::int32_t zero_point)
      : quantizer_(quantizer), scale_(scale), zero_point_(zero_point) {
    map_.is_single = true;
    prepare();
  }

  __device__ const Q& quantizer() const { return quantizer_; }
  __device__ PackSequence sequence() const { return PackSequence::of_grid(); }

  /// body(i, scale, zero point) for the elements i of the span, in order.
  template <typename Body>
  __device__ void for_each(const PackSpan& span, const Body& body) const {
    if (!map_.is_single) {
      for_each_scaled<C>(span, map_, body);
      return;
    }
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= span.begin && i < span.end) body(i, scale_, zero_point_);
    }
  }

  /// body(prepared_of), where prepared_of(i) is the prepared scale of element i of a whole pack.
  /// False, and nothing is done, where there is none.
  template <typename Body>
  __device__ bool with_prepared(const PackSpan& span, const Body& body) const {
    Prepared<Q> prepared = prepared_;
    bool is_prepared = is_prepared_;
    if (!map_.is_single) {
      const ScaleCursor<C> cursor(map_, span.first);
      is_prepared = cursor.covers(kPackElements) &&
                    Prepared<Q>::is_ordinary(cursor.scale(), cursor.zero_point());
      prepared = Prepared<Q>(quantizer_, cursor.scale(), cursor.zero_point());
    }
    if (is_prepared) body([&](int) { return prepared; });
    return is_prepared;
  }

 private:
  __device__ void prepare() {
    if constexpr (kCanPrepare<T, Q>) {
      is_prepared_ = Prepared<Q>::is_ordinary(scale_, zero_point_);
      prepared_ = Prepared<Q>(quantizer_, scale_, zero_point_);
    }
  }

  Q quantizer_;
  ScaleMap map_{};
  C scale_{};
  std::int32_t zero_point_ = 0;
  Prepared<Q> prepared_{};
  bool is_prepared_ = false;
};

/// A scale for each column of rows that are whole packs, from the first element on. A thread keeps
/// to eight columns, whose scales it prepares once: the grid strides over whole rows.
template <typename T, typename Q>
class ColumnScales {
 public:
  using Element = T;
  using Quantizer = Q;

  /// Whether the map is of this kind, and leaves no more than a quarter of a grid of at least this
  /// many threads without a pack.
  static bool fit(const ScaleMap& map, std::int64_t num_threads) {
    return !map.is_single && map.is_periodic && map.run_length == 1 &&
           map.row_length % kPackElements == 0 && map.row_length / kPackElements <= num_threads / 4;
  }

  __device__ ColumnScales(const Q& quantizer, const ScaleMap& map) : quantizer_(quantizer) {
    const std::int64_t packs_per_row = map.row_length / kPackElements;
    const PackSequence grid = PackSequence::of_grid();
    sequence_.stride = grid.stride - grid.stride % packs_per_row;
    // The last threads of the grid would begin where others already are.
    sequence_.first = grid.first < sequence_.stride ? grid.first : kNone;
    const PackSpan columns{grid.first % packs_per_row * kPackElements, 0, kPackElements};
    scale_ = load_pack<float>(map.scale, columns);
    if (map.zero_point != nullptr) {
      zero_point_ = load_pack<std::int32_t>(map.zero_point, columns);
    }
    is_prepared_ = true;
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      is_prepared_ &= Prepared<Q>::is_ordinary(scale_.element[i], zero_point_.element[i]);
      prepared_[i] = Prepared<Q>(quantizer, scale_.element[i], zero_point_.element[i]);
    }
  }

  __device__ const Q& quantizer() const { return quantizer_; }
  __device__ PackSequence sequence() const { return sequence_; }

  template <typename Body>
  __device__ void for_each(const PackSpan&, const Body& body) const {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) body(i, scale_.element[i], zero_point_.element[i]);
  }

  template <typename Body>
  __device__ bool with_prepared(const PackSpan&, const Body& body) const {
    if (is_prepared_) body([&](int i) { return prepared_[i]; });
    return is_prepared_;
  }

 private:
  static constexpr std::int64_t kNone = std::int64_t{1} << 62;  // past every pack

  Q quantizer_;
  PackSequence sequence_;
  Pack<float> scale_;
  Pack<std::int32_t> zero_point_{};
  Prepared<Q> prepared_[kPackElements];
  bool is_prepared_;
};

}  // namespace cuqat::gpu
