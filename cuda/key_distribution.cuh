// From a 65 536-key histogram of bf16 or f16 to the distribution of its values or magnitudes, and
// to statistics. A thread owns consecutive keys in the order of their numbers.
//
// Bytes moved: the table, 512 KB, a few times through the L2 cache. Bound by latency.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "calibration_state.cuh"
#include "cuqat/histogram.hpp"
#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "cuqat/statistics.hpp"
#include "distribution.cuh"
#include "shared_storage.cuh"
#include "statistics.cuh"

namespace cuqat::gpu {

/// Shared memory of a block that sums statistics.
struct KeyStatisticsStorage {
  StatisticsStorage statistics;
  unsigned long long count;
};

namespace detail {

/// Values and counts by position: all values in the order of the numbers, or magnitudes.
template <typename T, bool kOfMagnitudes>
class KeyTable {
 public:
  static constexpr unsigned kSize = kOfMagnitudes ? kNumKeys / 2 : kNumKeys;

  __device__ explicit KeyTable(const unsigned long long* counts) : counts_(counts) {}

  /// Elements of this value; 0 for what is not finite, and for -0, which +0 has.
  __device__ unsigned long long count(unsigned position) const {
    const unsigned key = key_of(position);
    if (key == kSign || !scalar::is_finite(number(key))) return 0;
    const bool folds = kOfMagnitudes || key == 0;
    return counts_[key] + (folds ? counts_[key | kSign] : 0);
  }
  __device__ double value(unsigned position) const { return double{number(key_of(position))}; }

 private:
  static constexpr unsigned kSign = 0x8000u;

  __device__ static unsigned key_of(unsigned position) {
    if constexpr (kOfMagnitudes) return position;
    return scalar::pattern_of_ordered_key(static_cast<std::uint16_t>(position));
  }
  __device__ static float number(unsigned key) {
    return scalar::load_compute(T{static_cast<std::uint16_t>(key)});
  }

  const unsigned long long* counts_;
};

/// Statistics of everything that the table counts, in thread 0. All threads of the block call it.
template <typename T>
__device__ Statistics statistics_of_keys(const unsigned long long* counts) {
  auto& shared = shared_storage<KeyStatisticsStorage>();
  if (threadIdx.x == 0) shared.count = 0;
  Statistics mine;
  for (unsigned key = threadIdx.x; key < kNumKeys; key += kDistributionThreads) {
    const auto count = static_cast<std::int64_t>(counts[key]);
    if (count == 0) continue;
    mine.count += count;
    const float number = scalar::load_compute(T{static_cast<std::uint16_t>(key)});
    if (scalar::is_finite(number)) {
      merge(mine,
            {0, 0, 0, 0, number == 0.0f ? count : 0, double{number + 0.0f}, double{number + 0.0f}});
    } else if (scalar::is_nan(number)) {
      mine.nan += count;
    } else {
      (number > 0.0f ? mine.pos_inf : mine.neg_inf) += count;
    }
  }
  Statistics all = block_sum(shared.statistics, mine);
  add_if_any(&shared.count, mine.count);
  __syncthreads();
  all.count = static_cast<std::int64_t>(shared.count);
  return all;
}

}  // namespace detail

/// Of the first scale, by two blocks.
template <typename T, bool kOfMagnitudes>
__global__ void __launch_bounds__(kDistributionThreads, 1)
    key_distribution_kernel(const unsigned long long* counts, CalibrationMemory memory) {
  if (blockIdx.x == 0) {
    const Distribution values = memory.values_to_fill(0);
    auto& shared = shared_storage<DistributionStorage>();
    const detail::KeyTable<T, kOfMagnitudes> table(counts);
    const int size =
        detail::sum_moments(shared, values, detail::fill_values(shared, table, values));
    if (threadIdx.x == 0) memory.search[0].num_values = size;
  } else {
    const Statistics all = detail::statistics_of_keys<T>(counts);
    if (threadIdx.x == 0) memory.search[0].statistics = all;
  }
}

}  // namespace cuqat::gpu
