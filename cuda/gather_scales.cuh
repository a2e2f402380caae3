// The elements of each scale, copied together.
//
// Bytes moved: 8 an element. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "for_each_index.cuh"
#include "pack.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// gathered[scale * segment_length + i]: element i of the scale.
__global__ void gather_scales_kernel(std::int64_t count, ScaleMap map, std::int64_t segment_length,
                                     const void* x, float* gathered) {
  for_each_index(count, [&](std::int64_t i) {
    gathered[map.gathered(i, segment_length)] = load_element<float>(x, i);
  });
}

}  // namespace cuqat::gpu
