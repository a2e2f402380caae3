// The loop of kernels that have a thread for each of a few items.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace cuqat::gpu {

/// body(i) on one thread of the grid for each i in [0, n).
template <typename Body>
__device__ inline void for_each_index(std::int64_t n, const Body& body) {
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  for (std::int64_t i = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < n; i += stride) {
    body(i);
  }
}

}  // namespace cuqat::gpu
