// Percentiles of sorted segments: what is around CUB's sort.
//
// Its keys are the patterns in the order of the numbers, with all bits set for what is not finite:
// they come last, and where they begin is the number of finite elements.
//
// Bytes moved: 2 sizeof(T) an element before CUB, and a few keys of each segment after it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <iterator>

#include "for_each_index.cuh"
#include "percentile.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// Where the elements of each scale lie, once those of a scale lie together.
struct SegmentLayout {
  std::int64_t row_length;  ///< Of tensors in groups; else that of a segment.
  std::int64_t segments_per_row;
  std::int64_t segment_length;  ///< The last of a row may be shorter.

  __host__ __device__ std::int64_t begin(std::int64_t segment) const {
    return segment / segments_per_row * row_length + segment % segments_per_row * segment_length;
  }
  __host__ __device__ std::int64_t end(std::int64_t segment) const {
    const std::int64_t row_end = (segment / segments_per_row + 1) * row_length;
    const std::int64_t full = begin(segment) + segment_length;
    return full < row_end ? full : row_end;
  }
};

/// Offsets of consecutive segments from the begin of the first: an iterator, as CUB asks for.
class SegmentOffsets {
 public:
  using iterator_category = std::random_access_iterator_tag;
  using value_type = int;
  using difference_type = std::int64_t;
  using pointer = const int*;
  using reference = int;

  SegmentOffsets(const SegmentLayout& layout, std::int64_t first, bool of_ends)
      : layout_(layout), first_(first), base_(layout.begin(first)), of_ends_(of_ends) {}

  __host__ __device__ int operator[](std::int64_t i) const {
    const std::int64_t segment = first_ + i;
    return static_cast<int>((of_ends_ ? layout_.end(segment) : layout_.begin(segment)) - base_);
  }
  __host__ __device__ int operator*() const { return (*this)[0]; }
  __host__ __device__ SegmentOffsets operator+(std::int64_t n) const {
    SegmentOffsets later = *this;
    later.first_ += n;
    return later;
  }

 private:
  SegmentLayout layout_;
  std::int64_t first_;
  std::int64_t base_;
  bool of_ends_;
};

/// The keys that CUB sorts, those of a scale together.
template <typename T, bool kOfMagnitudes>
__global__ void sort_keys_kernel(std::int64_t count, ScaleMap map, std::int64_t segment_length,
                                 const void* x, BitsOf<T>* keys) {
  using Bits = BitsOf<T>;
  for_each_index(count, [&](std::int64_t i) {
    const T element = load_element<T>(x, i);
    std::int64_t to = i;
    if (map.is_periodic) {
      const std::int64_t row = map.by_row(i);
      const std::int64_t in_row = i - row * map.row_length;
      const std::int64_t run = map.by_run(in_row);
      to = run * segment_length + row * map.run_length + (in_row - run * map.run_length);
    }
    keys[to] = scalar::is_finite(scalar::load_compute(element))
                   ? detail::ordered<kOfMagnitudes>(detail::pattern_of(element))
                   : static_cast<Bits>(~Bits{0});
  });
}

/// A thread for each rank of each segment of the sorted keys.
template <typename T, bool kOfMagnitudes>
__global__ void sorted_percentiles_kernel(std::int64_t num_segments, SegmentLayout layout,
                                          const BitsOf<T>* keys, PercentileRequest request,
                                          Range* result) {
  using Bits = BitsOf<T>;
  const int num_ranks = detail::num_ranks<kOfMagnitudes>(request);
  for_each_index(num_segments * num_ranks, [&](std::int64_t i) {
    const std::int64_t segment = i / num_ranks;
    const int number = static_cast<int>(i % num_ranks);
    const std::int64_t begin = layout.begin(segment);
    std::int64_t finite = 0;
    for (std::int64_t most = layout.end(segment) - begin; finite < most;) {
      const std::int64_t middle = finite + (most - finite) / 2;
      if (keys[begin + middle] == static_cast<Bits>(~Bits{0})) {
        most = middle;
      } else {
        finite = middle + 1;
      }
    }
    double value = 0.0;
    if (finite > 0) {
      const auto rank =
          static_cast<std::int64_t>(detail::rank<kOfMagnitudes>(request, number, finite));
      value = detail::value_of_ordered<T, kOfMagnitudes>(keys[begin + rank]);
    }
    detail::store_value<kOfMagnitudes>(number, value, result + segment * request.num_percentiles);
  });
}

}  // namespace cuqat::gpu
