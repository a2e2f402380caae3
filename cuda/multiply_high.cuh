// The upper half of a product of 128 bits.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace cuqat::gpu {

__device__ inline std::uint64_t multiply_high(std::uint64_t a, std::uint64_t b) {
#if defined(__CUDA_ARCH__)
  return __umul64hi(a, b);
#else
  __extension__ using Wide = unsigned __int128;
  return static_cast<std::uint64_t>((static_cast<Wide>(a) * b) >> 64);
#endif
}

}  // namespace cuqat::gpu
