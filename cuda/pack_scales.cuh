// The scales that a kernel quantizes packs with.
//
// A thread reads them through the caches: once where there is one for all, or where its packs all
// lie in the same eight columns; else once a pack where the pack shares one, else for each element.
//
// All three have the same members: sequence(), the packs of a thread; for_each(), the scale of each
// element; and for packs that are whole with_prepared(), which calls body(prepared_of, bound) where
// prepared_of(i) is the prepared scale of element i and `bound` holds elements that it may be
// given. Where are_prepared() is false for a thread, none of its packs is a WholePack.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/prepared_scale.hpp"
#include "for_each_pack.cuh"
#include "pack.cuh"
#include "pack_numbers.cuh"
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

/// One scale for all elements, of type T.
template <typename T, typename Q>
class SingleScale {
 public:
  using Element = T;
  using Quantizer = Q;
  static constexpr int kInFlight = kPacksInFlight<T>;
  using C = scalar::ComputeType<T>;

  __device__ SingleScale(const Q& quantizer, const ScaleMap& map)
      : SingleScale(quantizer, *static_cast<const C*>(map.scale),
                    map.zero_point == nullptr ? 0 : *map.zero_point) {}
  __device__ SingleScale(const Q& quantizer, C scale, std::int32_t zero_point)
      : quantizer_(quantizer), scale_(scale), zero_point_(zero_point) {
    if constexpr (kCanPrepare<T, Q>) {
      is_prepared_ = Prepared<Q>::is_ordinary(scale_, zero_point_);
      prepared_ = Prepared<Q>(quantizer_, scale_, zero_point_);
      bound_ = MagnitudeBound<T>(Prepared<Q>::largest_input(quantizer_, scale_));
    }
  }

  __device__ const Q& quantizer() const { return quantizer_; }
  __device__ PackSequence sequence(std::int64_t num_packs) const {
    return PackSequence::of_grid(num_packs);
  }
  __device__ bool are_prepared() const { return is_prepared_; }

  template <int kUnrolled, typename Place, typename Body>
  __device__ void for_each(const Place& place, const Body& body) const {
#pragma unroll kUnrolled
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= place.begin && i < place.end) body(i, scale_, zero_point_);
    }
  }

  template <typename Place, typename Body>
  __device__ void with_prepared(const Place&, const Body& body) const {
    if (std::is_same_v<Place, WholePack> || is_prepared_) {
      body([&](int) { return prepared_; }, bound_);
    }
  }

 private:
  Q quantizer_;
  C scale_;
  std::int32_t zero_point_;
  Prepared<Q> prepared_{};
  MagnitudeBound<T> bound_{};
  bool is_prepared_ = false;
};

/// Any map, over elements of type T.
template <typename T, typename Q>
class PackScales {
 public:
  using Element = T;
  using Quantizer = Q;
  static constexpr int kInFlight = kPacksInFlight<T>;
  using C = scalar::ComputeType<T>;

  __device__ PackScales(const Q& quantizer, const ScaleMap& map)
      : quantizer_(quantizer), map_(map) {}

  __device__ const Q& quantizer() const { return quantizer_; }
  __device__ PackSequence sequence(std::int64_t num_packs) const {
    return PackSequence::of_grid(num_packs);
  }
  __device__ bool are_prepared() const { return kCanPrepare<T, Q>; }

  template <int kUnrolled, typename Place, typename Body>
  __device__ void for_each(const Place& place, const Body& body) const {
    for_each_scaled<C, kUnrolled>(place, map_, body);
  }

  template <typename Place, typename Body>
  __device__ void with_prepared(const Place& place, const Body& body) const {
    const ScaleCursor<C> cursor(map_, place.first);
    if (!cursor.covers(kPackElements) ||
        !Prepared<Q>::is_ordinary(cursor.scale(), cursor.zero_point())) {
      return;
    }
    const Prepared<Q> prepared(quantizer_, cursor.scale(), cursor.zero_point());
    body([&](int) { return prepared; },
         MagnitudeBound<T>(Prepared<Q>::largest_input(quantizer_, cursor.scale())));
  }

 private:
  Q quantizer_;
  ScaleMap map_;
};

/// A scale for each column of rows that are whole packs, from the first element on. A thread keeps
/// to eight columns, whose scales it prepares once: the grid strides over whole rows.
template <typename T, typename Q>
class ColumnScales {
 public:
  using Element = T;
  using Quantizer = Q;
  /// Half as many: eight prepared scales take the registers.
  static constexpr int kInFlight = sizeof(T) == 2 ? 2 : 1;

  /// Whether the map is of this kind, and leaves no more than a quarter of a grid of at least this
  /// many threads without a pack.
  static bool fit(const ScaleMap& map, std::int64_t num_threads) {
    return !map.is_single && map.is_periodic && map.run_length == 1 &&
           map.row_length % kPackElements == 0 && map.row_length / kPackElements <= num_threads / 4;
  }

  __device__ ColumnScales(const Q& quantizer, const ScaleMap& map)
      : quantizer_(quantizer), map_(map) {
    const std::int64_t packs_per_row = map.row_length / kPackElements;
    const std::int64_t num_threads = std::int64_t{gridDim.x} * blockDim.x;
    first_ = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    stride_ = num_threads - num_threads % packs_per_row;
    first_column_ = first_ % packs_per_row * kPackElements;
    const Columns columns(*this);
    is_prepared_ = true;
    float least = columns.scale.element[0];
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      const float scale = columns.scale.element[i];
      const std::int32_t zero_point = columns.zero_point.element[i];
      is_prepared_ &= Prepared<Q>::is_ordinary(scale, zero_point);
      prepared_[i] = Prepared<Q>(quantizer, scale, zero_point);
      least = scalar::lesser(least, scale);
    }
    bound_ = MagnitudeBound<T>(Prepared<Q>::largest_input(quantizer, least));
  }

  __device__ const Q& quantizer() const { return quantizer_; }
  /// The last threads of the grid would begin where others already are, and have none.
  __device__ PackSequence sequence(std::int64_t num_packs) const {
    return PackSequence::until(first_ < stride_ ? num_packs : 0, first_, stride_);
  }
  __device__ bool are_prepared() const { return is_prepared_; }

  template <int kUnrolled, typename Place, typename Body>
  __device__ void for_each(const Place&, const Body& body) const {
    const Columns columns(*this);
#pragma unroll kUnrolled
    for (int i = 0; i < kPackElements; ++i) {
      body(i, columns.scale.element[i], columns.zero_point.element[i]);
    }
  }

  template <typename Place, typename Body>
  __device__ void with_prepared(const Place&, const Body& body) const {
    if (std::is_same_v<Place, WholePack> || is_prepared_) {
      body([&](int i) { return prepared_[i]; }, bound_);
    }
  }

 private:
  /// Read again for what is not quick rather than kept in registers.
  struct Columns {
    __device__ explicit Columns(const ColumnScales& scales) {
      const PackSpan columns{scales.first_column_, 0, kPackElements};
      scale = load_pack<float>(scales.map_.scale, columns);
      if (scales.map_.zero_point != nullptr) {
        zero_point = load_pack<std::int32_t>(scales.map_.zero_point, columns);
      }
    }
    Pack<float> scale;
    Pack<std::int32_t> zero_point{};
  };

  Q quantizer_;
  ScaleMap map_;
  std::int64_t first_;
  std::int64_t stride_;
  std::int64_t first_column_;
  Prepared<Q> prepared_[kPackElements];
  MagnitudeBound<T> bound_;
  bool is_prepared_;
};

}  // namespace cuqat::gpu
