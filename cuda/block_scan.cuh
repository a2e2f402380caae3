// Sums over the threads of a warp and of a block, in the order of the threads.
#pragma once

#include <cuda_runtime.h>

#include "warp.cuh"

namespace cuqat::gpu {

/// Several sums over the warp at once, of integers: lane i gets that of value[i % kNum], kNum a
/// power of two. At each step half of the lanes keep half of the values: 8 sums take 9 shuffles,
/// not 40.
template <int kNum, typename T>
__device__ inline T warp_sums(T (&value)[kNum]) {
  const int lane = static_cast<int>(threadIdx.x % kWarpThreads);
#pragma unroll
  for (int half = kNum / 2; half > 0; half /= 2) {
    const bool is_upper = (lane & half) != 0;
#pragma unroll
    for (int i = 0; i < half; ++i) {
      const T kept = is_upper ? value[i + half] : value[i];
      const T sent = is_upper ? value[i] : value[i + half];
      value[i] = kept + __shfl_xor_sync(kWholeWarp, sent, half);
    }
  }
  T sum = value[0];
#pragma unroll
  for (int distance = kNum; distance < kWarpThreads; distance *= 2) {
    sum += __shfl_xor_sync(kWholeWarp, sum, distance);
  }
  return sum;
}

/// The sum of the values of this lane and all lanes before it.
template <typename T>
__device__ inline T warp_inclusive_sum(T value) {
  const unsigned lane = threadIdx.x % kWarpThreads;
#pragma unroll
  for (unsigned distance = 1; distance < kWarpThreads; distance *= 2) {
    const T other = __shfl_up_sync(kWholeWarp, value, distance);
    if (lane >= distance) value += other;
  }
  return value;
}

/// The sum of the values of all threads before this one. All threads of the block call it, whole
/// warps; `of_warp` has an entry for each warp, which are their sums afterwards.
template <typename T>
__device__ inline T block_exclusive_sum(T* of_warp, T value) {
  const unsigned warp = threadIdx.x / kWarpThreads;
  T sum = warp_inclusive_sum(value);
  if (threadIdx.x % kWarpThreads == kWarpThreads - 1) of_warp[warp] = sum;
  __syncthreads();
  sum -= value;
  for (unsigned other = 0; other < warp; ++other) sum += of_warp[other];
  return sum;
}

}  // namespace cuqat::gpu
