// Histograms added to each other.
//
// Bytes moved: 24 a count. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "for_each_index.cuh"

namespace cuqat::gpu {

/// to += from, a thread for each count.
__global__ void add_counts_kernel(std::int64_t n, const std::uint64_t* from, std::uint64_t* to) {
  for_each_index(n, [&](std::int64_t i) { to[i] += from[i]; });
}

}  // namespace cuqat::gpu
