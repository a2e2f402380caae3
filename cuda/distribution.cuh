// Distinct values in device memory, ascending, with sums over those before each: what the methods
// of calibration ask. They are filled from counts of keys (key_distribution.cuh) or of bins
// (binned_distribution.cuh), or from sorted elements (sorted_distribution.cuh), by one block; its
// threads then own a run of kMomentsRun values each, whose sums are added in the order of
// scalar/clipping_search.hpp.
//
// Bytes moved: 32 for each distinct value. Bound by latency.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "block_scan.cuh"
#include "cuqat/scalar/clipping_search.hpp"
#include "warp.cuh"

namespace cuqat::gpu {

/// Distinct finite values; -0 is +0. Entry i of what ends in _before is over the values before i,
/// up to i = size.
struct Distribution {
  int size;
  double* value;
  unsigned long long* count_before;
  double* sum_before;
  double* squares_before;

  __device__ std::uint64_t count(int i) const { return count_before[i + 1] - count_before[i]; }
  __device__ double squared_error(int begin, int end, double y) const {
    if (begin >= end) return 0.0;
    return scalar::squared_error(
        static_cast<double>(count_before[end]) - static_cast<double>(count_before[begin]),
        sum_before[end] - sum_before[begin], squares_before[end] - squares_before[begin], y);
  }
};

/// Threads of a block that makes a distribution, which has a multiprocessor for itself: more would
/// leave too few registers.
inline constexpr int kDistributionThreads = 512;
/// Values that a distribution has at most: all bins, and 0.
inline constexpr int kMaxValues = 2 * scalar::kSearchBins + 1;
inline constexpr int kMaxMomentsRuns = kMaxValues / static_cast<int>(scalar::kMomentsRun) + 1;

/// Its shared memory.
struct DistributionStorage {
  int size;
  unsigned long long count_of_warp[kDistributionThreads / kWarpThreads];
  int size_of_warp[kDistributionThreads / kWarpThreads];
  double sum_of_run[kMaxMomentsRuns];
  double squares_of_run[kMaxMomentsRuns];
};

namespace detail {

/// Fills the values and the counts before them from a table of Table::kSize positions in the order
/// of the numbers: position i has table.count(i) elements of table.value(i), those of none are
/// passed over. Gives the size in the last thread. All threads of the block call it; they own
/// consecutive positions.
template <typename Table>
__device__ int fill_values(DistributionStorage& shared, const Table& table,
                           const Distribution& values) {
  constexpr unsigned kOfThread = (Table::kSize - 1) / kDistributionThreads + 1;
  const unsigned first = threadIdx.x * kOfThread;
  const unsigned end = first + kOfThread < Table::kSize ? first + kOfThread : Table::kSize;
  int size = 0;
  unsigned long long count = 0;
  for (unsigned i = first; i < end; ++i) {
    const unsigned long long of_value = table.count(i);
    size += of_value != 0 ? 1 : 0;
    count += of_value;
  }
  size = block_exclusive_sum(shared.size_of_warp, size);
  count = block_exclusive_sum(shared.count_of_warp, count);
  for (unsigned i = first; i < end; ++i) {
    const unsigned long long of_value = table.count(i);
    if (of_value == 0) continue;
    values.value[size] = table.value(i);
    values.count_before[size] = count;
    ++size;
    count += of_value;
  }
  if (threadIdx.x == kDistributionThreads - 1) values.count_before[size] = count;
  return size;
}

/// Finishes a distribution whose values and counts are there; how many, the last thread knows. Adds
/// the sums before each value, within runs by one thread each, then those of the runs before. Gives
/// the size in every thread. All threads of the block call it.
__device__ inline int sum_moments(DistributionStorage& shared, const Distribution& distribution,
                                  int size_in_last_thread) {
  constexpr int kRun = static_cast<int>(scalar::kMomentsRun);
  if (threadIdx.x == kDistributionThreads - 1) shared.size = size_in_last_thread;
  __syncthreads();
  const int size = shared.size;
  const int num_runs = (size + kRun - 1) / kRun;
  for (int run = static_cast<int>(threadIdx.x); run < num_runs; run += kDistributionThreads) {
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
  return size;
}

}  // namespace detail

}  // namespace cuqat::gpu
