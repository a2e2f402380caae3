// From the sorted elements of a scale to the distribution of its values or magnitudes: an element
// that differs from the one before it begins a value, and its place is the count of those before.
//
// Bytes moved: 3 sizeof(T) an element. Bound by latency: a block has a scale.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "block_scan.cuh"
#include "calibration_state.cuh"
#include "distribution.cuh"
#include "ordered_bits.cuh"
#include "segments.hpp"
#include "shared_storage.cuh"

namespace cuqat::gpu {

/// Of the scales from `first_scale` on, a block each. Their statistics are there; keys of what is
/// not finite come last.
template <typename T, bool kOfMagnitudes>
__global__ void __launch_bounds__(kDistributionThreads, 1)
    sorted_distribution_kernel(CalibrationMemory memory, SegmentLayout layout,
                               std::int64_t first_scale, const BitsOf<T>* keys,
                               const Statistics* statistics) {
  auto& shared = shared_storage<DistributionStorage>();
  const std::int64_t scale = first_scale + blockIdx.y;
  const BitsOf<T>* const own = keys + layout.begin(scale);
  // -0 and +0 are one value.
  const auto value = [&](std::int64_t i) {
    return detail::value_of_ordered<T, kOfMagnitudes>(own[i]) + 0.0;
  };
  const auto begins_value = [&](std::int64_t i) { return i == 0 || value(i) != value(i - 1); };
  const std::int64_t finite = statistics[scale].finite();
  const std::int64_t of_thread = (finite + kDistributionThreads - 1) / kDistributionThreads;
  const std::int64_t first = threadIdx.x * of_thread;
  const std::int64_t end = first + of_thread < finite ? first + of_thread : finite;
  int size = 0;
  for (std::int64_t i = first; i < end; ++i) size += begins_value(i) ? 1 : 0;
  size = block_exclusive_sum(shared.size_of_warp, size);
  const Distribution distribution = memory.values_to_fill(blockIdx.y);
  for (std::int64_t i = first; i < end; ++i) {
    if (!begins_value(i)) continue;
    distribution.value[size] = value(i);
    distribution.count_before[size] = static_cast<unsigned long long>(i);
    ++size;
  }
  if (threadIdx.x == kDistributionThreads - 1) {
    distribution.count_before[size] = static_cast<unsigned long long>(finite);
  }
  size = detail::sum_moments(shared, distribution, size);
  if (threadIdx.x == 0) {
    memory.own_search().statistics = statistics[scale];
    memory.own_search().num_values = size;
  }
}

}  // namespace cuqat::gpu
