// y += bias, one number for each column.
//
// Bytes moved: 2 sizeof(T) an element. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "for_each_index.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// Each sum is rounded once in the compute type, then to T.
template <typename T>
__global__ void add_bias_kernel(std::int64_t count, std::int64_t columns, Divider by_columns,
                                const scalar::ComputeType<T>* bias, T* y) {
  for_each_index(count, [&](std::int64_t i) {
    const std::int64_t column = i - by_columns(i) * columns;
    y[i] = scalar::store_compute<T>(scalar::load_compute(y[i]) + bias[column]);
  });
}

}  // namespace cuqat::gpu
