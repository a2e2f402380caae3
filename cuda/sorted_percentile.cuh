// Percentiles of sorted segments (segment_sort.cuh). Where the keys of what is not finite begin is
// the number of finite elements.
//
// Bytes moved: a few keys of each segment.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "for_each_index.cuh"
#include "percentile.cuh"
#include "segments.hpp"

namespace cuqat::gpu {

/// A thread for each rank of each segment of the sorted keys.
template <typename T, bool kOfMagnitudes>
__global__ void sorted_percentiles_kernel(std::int64_t num_segments, SegmentLayout layout,
                                          const BitsOf<T>* keys, PercentileRequest request,
                                          Range* result) {
  using Bits = BitsOf<T>;
  const int num_ranks = detail::num_ranks<kOfMagnitudes>(request);
  for_each_index(num_segments * num_ranks, [&](std::int64_t i) {
    const std::int64_t segment = i / num_ranks;
    const int number = static_cast<int>(i % num_ranks);
    const std::int64_t begin = layout.begin(segment);
    std::int64_t finite = 0;
    for (std::int64_t most = layout.end(segment) - begin; finite < most;) {
      const std::int64_t middle = finite + (most - finite) / 2;
      if (keys[begin + middle] == static_cast<Bits>(~Bits{0})) {
        most = middle;
      } else {
        finite = middle + 1;
      }
    }
    double value = 0.0;
    if (finite > 0) {
      const auto rank =
          static_cast<std::int64_t>(detail::rank<kOfMagnitudes>(request, number, finite));
      value = detail::value_of_ordered<T, kOfMagnitudes>(keys[begin + rank]);
    }
    detail::store_value<kOfMagnitudes>(number, value, result + segment * request.num_percentiles);
  });
}

}  // namespace cuqat::gpu
