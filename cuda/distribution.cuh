// From a 65 536-key histogram of bf16 or f16 to what the methods of calibration ask: statistics,
// and the distinct values, ascending, with sums over those before each.
//
// One block makes the distribution of the values and another that of the magnitudes. A thread owns
// consecutive keys in the order of their numbers, and then a run of kMomentsRun distinct values,
// whose sums are added in the order of scalar/clipping_search.hpp.
//
// Bytes moved: the table, 512 KB, a few times through the L2 cache, and 32 for each distinct value.
// Bound by latency.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "block_scan.cuh"
#include "cuqat/histogram.hpp"
#include "cuqat/scalar/clipping_search.hpp"
#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "cuqat/statistics.hpp"
#include "shared_storage.cuh"
#include "statistics.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

/// Distinct finite values in device memory, ascending; -0 is +0. Entry i of what ends in _before is
/// over the values before i, up to i = size.
struct Distribution {
  int size;
  double value[kNumKeys];
  unsigned long long count_before[kNumKeys + 1];
  double sum_before[kNumKeys + 1];
  double squares_before[kNumKeys + 1];

  __device__ std::uint64_t count(int i) const { return count_before[i + 1] - count_before[i]; }
  __device__ double squared_error(int begin, int end, double y) const {
    if (begin >= end) return 0.0;
    return scalar::squared_error(
        static_cast<double>(count_before[end]) - static_cast<double>(count_before[begin]),
        sum_before[end] - sum_before[begin], squares_before[end] - squares_before[begin], y);
  }
};

/// What a calibration is answered from.
struct CalibrationTables {
  Statistics statistics;
  Distribution values;
  Distribution magnitudes;
};

inline constexpr int kDistributionThreads = 1024;
inline constexpr int kMaxMomentsRuns = static_cast<int>(kNumKeys / scalar::kMomentsRun);

/// Shared memory of a block.
struct DistributionStorage {
  StatisticsStorage statistics;
  unsigned long long count_of_warp[kDistributionThreads / kWarpThreads];
  int size_of_warp[kDistributionThreads / kWarpThreads];
  double sum_of_run[kMaxMomentsRuns];
  double squares_of_run[kMaxMomentsRuns];
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

/// The sums before each value: within runs by one thread each, then those of the runs before.
__device__ inline void sum_moments(DistributionStorage& shared, Distribution& distribution) {
  constexpr int kRun = static_cast<int>(scalar::kMomentsRun);
  const int size = distribution.size;
  const int num_runs = (size + kRun - 1) / kRun;
  const int run = static_cast<int>(threadIdx.x);
  if (run < num_runs) {
    double sum = 0.0;
    double squares = 0.0;
    for (int i = run * kRun; i < size && i < (run + 1) * kRun; ++i) {
      const auto n = static_cast<double>(distribution.count(i));
      const double x = distribution.value[i];
      sum += n * x;
      squares += n * (x * x);
      distribution.sum_before[i + 1] = sum;
      distribution.squares_before[i + 1] = squares;
    }
    shared.sum_of_run[run] = sum;
    shared.squares_of_run[run] = squares;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    double sum = 0.0;
    double squares = 0.0;
    for (int i = 0; i < num_runs; ++i) {
      const double own_sum = shared.sum_of_run[i];
      const double own_squares = shared.squares_of_run[i];
      shared.sum_of_run[i] = sum;
      shared.squares_of_run[i] = squares;
      sum += own_sum;
      squares += own_squares;
    }
    distribution.sum_before[0] = distribution.squares_before[0] = 0.0;
  }
  __syncthreads();
  for (int i = static_cast<int>(threadIdx.x); i < size; i += kDistributionThreads) {
    distribution.sum_before[i + 1] = shared.sum_of_run[i / kRun] + distribution.sum_before[i + 1];
    distribution.squares_before[i + 1] =
        shared.squares_of_run[i / kRun] + distribution.squares_before[i + 1];
  }
}

template <typename Table>
__device__ void make_distribution(const Table& table, Distribution& distribution) {
  auto& shared = shared_storage<DistributionStorage>();
  constexpr unsigned kOfThread = Table::kSize / kDistributionThreads;
  const unsigned first = threadIdx.x * kOfThread;
  int size = 0;
  unsigned long long count = 0;
  for (unsigned i = first; i < first + kOfThread; ++i) {
    const unsigned long long of_value = table.count(i);
    size += of_value != 0 ? 1 : 0;
    count += of_value;
  }
  size = block_exclusive_sum(shared.size_of_warp, size);
  count = block_exclusive_sum(shared.count_of_warp, count);
  for (unsigned i = first; i < first + kOfThread; ++i) {
    const unsigned long long of_value = table.count(i);
    if (of_value == 0) continue;
    distribution.value[size] = table.value(i);
    distribution.count_before[size] = count;
    ++size;
    count += of_value;
  }
  if (threadIdx.x == kDistributionThreads - 1) {
    distribution.size = size;
    distribution.count_before[size] = count;
  }
  __syncthreads();
  sum_moments(shared, distribution);
}

/// Statistics of everything that the table counts, in thread 0. All threads call it.
template <typename T>
__device__ Statistics statistics_of_keys(const unsigned long long* counts) {
  auto& shared = shared_storage<DistributionStorage>().statistics;
  Statistics mine;
  for (unsigned key = threadIdx.x; key < kNumKeys; key += kDistributionThreads) {
    const auto count = static_cast<std::int64_t>(counts[key]);
    if (count == 0) continue;
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
  return block_sum(shared, mine);
}

}  // namespace detail

/// Two blocks.
template <typename T>
__global__ void __launch_bounds__(kDistributionThreads)
    distribution_kernel(const unsigned long long* counts, CalibrationTables* tables) {
  if (blockIdx.x == 0) {
    Statistics all = detail::statistics_of_keys<T>(counts);
    detail::make_distribution(detail::KeyTable<T, false>(counts), tables->values);
    if (threadIdx.x == 0) {
      const Distribution& values = tables->values;
      all.count = static_cast<std::int64_t>(values.count_before[values.size]) + all.nan +
                  all.pos_inf + all.neg_inf;
      tables->statistics = all;
    }
  } else {
    detail::make_distribution(detail::KeyTable<T, true>(counts), tables->magnitudes);
  }
}

}  // namespace cuqat::gpu
