// Sums of 128 bits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/squared_error.hpp"
#include "multiply_high.cuh"

namespace cuqat::gpu {

/// Adds to high * 2^64 + low. Exact in any order: the sum is one of integers, and each addition
/// carries what it caused.
__device__ inline void atomic_add_wide(unsigned long long* high, unsigned long long* low,
                                       unsigned long long part) {
  if (part == 0) return;
  const unsigned long long old = atomicAdd(low, part);
  if (old + part < old) atomicAdd(high, 1ull);
}

struct WideSum {
  unsigned long long high;
  unsigned long long low;

  __device__ void add_product(std::uint64_t a, std::uint64_t b) {
    const unsigned long long sum = low + a * b;
    high += multiply_high(a, b) + (sum < low ? 1u : 0u);
    low = sum;
  }
  __device__ void atomic_add(const WideSum& other) {
    atomic_add_wide(&high, &low, other.low);
    if (other.high != 0) atomicAdd(&high, other.high);
  }
  __device__ double value(double unit) const { return scalar::squared_sum_value(high, low, unit); }
};

}  // namespace cuqat::gpu
