// y = sums + bias, one number for each column.
//
// A thread takes eight neighbouring columns of a row.
//
// Bytes moved: 4 a sum (f64: 8) and sizeof(T) an element. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "for_each_index.cuh"
#include "pack.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// Rows of y lie y_stride apart, those of sums follow each other; y may be the sums. Each sum with
/// the bias is rounded once in the compute type, then to T.
template <typename T>
__global__ void add_bias_kernel(std::int64_t num_packs, std::int64_t columns,
                                std::int64_t packs_per_row, Divider by_packs,
                                const scalar::ComputeType<T>* bias, const void* sums, void* y,
                                std::int64_t y_stride) {
  using C = scalar::ComputeType<T>;
  for_each_index(num_packs, [&](std::int64_t i) {
    const std::int64_t row = by_packs(i);
    const std::int64_t column = (i - row * packs_per_row) * kPackElements;
    const std::int64_t left = columns - column;
    const int end = left < kPackElements ? static_cast<int>(left) : kPackElements;
    const Pack<C> sum = load_pack<C>(sums, PackSpan{row * columns + column, 0, end});
    const Pack<C> added = load_pack<C>(bias, PackSpan{column, 0, end});
    Pack<T> result;
#pragma unroll
    for (int j = 0; j < kPackElements; ++j) {
      result.element[j] = scalar::store_compute<T>(sum.element[j] + added.element[j]);
    }
    store_pack(y, PackSpan{row * y_stride + column, 0, end}, result);
  });
}

}  // namespace cuqat::gpu
