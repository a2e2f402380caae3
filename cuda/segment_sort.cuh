// Sorting the elements of each scale: what is around CUB's sort.
//
// Its keys are the patterns in the order of the numbers, with all bits set for what is not finite:
// they come last.
//
// Bytes moved: 2 sizeof(T) an element before CUB.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <iterator>

#include "for_each_index.cuh"
#include "ordered_bits.cuh"
#include "scale_map.cuh"
#include "segments.hpp"

namespace cuqat::gpu {

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
    keys[map.gathered(i, segment_length)] =
        scalar::is_finite(scalar::load_compute(element))
            ? detail::ordered<kOfMagnitudes>(detail::pattern_of(element))
            : static_cast<Bits>(~Bits{0});
  });
}

}  // namespace cuqat::gpu
