// Bit patterns in the order of the numbers, or of their magnitudes.
#pragma once

#include <cuda_runtime.h>

#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "pack.cuh"

namespace cuqat::gpu::detail {

template <typename T>
__device__ inline BitsOf<T> pattern_of(T element) {
  return __builtin_bit_cast(BitsOf<T>, element);
}

/// Ordered as the numbers are; -0 comes just below +0.
template <bool kOfMagnitudes, typename Bits>
__device__ inline Bits ordered(Bits pattern) {
  if constexpr (kOfMagnitudes) {
    constexpr Bits kSign = static_cast<Bits>(Bits{1} << (sizeof(Bits) * 8 - 1));
    return static_cast<Bits>(pattern & ~kSign);
  } else {
    return scalar::ordered_key(pattern);
  }
}
template <bool kOfMagnitudes, typename Bits>
__device__ inline Bits pattern_of_ordered(Bits bits) {
  if constexpr (kOfMagnitudes) {
    return bits;
  } else {
    return scalar::pattern_of_ordered_key(bits);
  }
}

template <typename T, bool kOfMagnitudes>
__device__ inline double value_of_ordered(BitsOf<T> bits) {
  const auto element = __builtin_bit_cast(T, pattern_of_ordered<kOfMagnitudes>(bits));
  return static_cast<double>(scalar::load_compute(element));
}

}  // namespace cuqat::gpu::detail
