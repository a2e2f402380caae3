// Where kernels write the scales that they find.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/range_to_scale.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

template <typename C>
__device__ inline void store_scale(const ScaleOutput& output, std::int64_t index,
                                   const scalar::ScaleAndZero<C>& chosen) {
  static_cast<C*>(output.scale)[index] = chosen.scale;
  if (output.zero_point != nullptr) output.zero_point[index] = chosen.zero_point;
}

__device__ inline void store_range(const ScaleOutput& output, std::int64_t index,
                                   const Range& chosen) {
  if (output.range != nullptr) output.range[index] = chosen;
}

}  // namespace cuqat::gpu
