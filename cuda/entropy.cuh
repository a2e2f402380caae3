// The entropy threshold by modelopt's rule (docs/calibration.md): bins of the magnitudes by one
// block, then a thread for each candidate, whose sums are prefixes.
//
// Bytes moved: the bins' prefixes, 40 KB, through the L2 cache. Bound by latency, and by
// logarithms.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "bins.cuh"
#include "calibration_state.cuh"
#include "cuqat/scalar/entropy.hpp"
#include "shared_storage.cuh"

namespace cuqat::gpu {

/// Shared memory of the block that counts bins.
struct BinStorage {
  unsigned long long bin[kEntropyBins];
  double c_log_c[kEntropyBins];
};

namespace detail {

/// The scale's bins, counted from its distribution. All threads of the block call it.
__device__ inline void count_bins(BinStorage& shared, const CalibrationMemory& memory,
                                  const EqualBins& bins) {
  const Distribution values = memory.own_values();
  const double amax = memory.own_search().statistics.amax();
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kEntropyBins; i += kDistributionThreads) shared.bin[i] = 0;
  __syncthreads();
  for (int i = thread; i < values.size && amax > 0.0; i += kDistributionThreads) {
    atomicAdd(&shared.bin[bins.bin(static_cast<float>(values.value[i]), amax)],
              static_cast<unsigned long long>(values.count(i)));
  }
  __syncthreads();
}

/// Bins that have been counted but for the zeros, which belong to bin `zero_bin`. All threads call
/// it.
__device__ inline void load_bins(BinStorage& shared, const CalibrationMemory& memory,
                                 int zero_bin) {
  const unsigned long long* const bins = memory.own_bins();
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kEntropyBins; i += kDistributionThreads) {
    const std::int64_t zeros = i == zero_bin ? memory.own_search().statistics.zeros : 0;
    shared.bin[i] = bins[i] + static_cast<unsigned long long>(zeros);
  }
  __syncthreads();
}

}  // namespace detail

/// One block: bins of the magnitudes, counted before or from the distribution, and their sums.
template <bool kCounted>
__global__ void __launch_bounds__(kDistributionThreads)
    entropy_bins_kernel(CalibrationMemory memory) {
  constexpr int kRun = static_cast<int>(scalar::kEntropyRun);
  auto& shared = shared_storage<BinStorage>();
  ScaleSearch& search = memory.own_search();
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (kCounted) {
    detail::load_bins(shared, memory, 0);
  } else {
    detail::count_bins(shared, memory, magnitude_bins());
  }
  // Zeros and near-zeros say nothing about the range: the first bin takes its neighbour's count.
  if (thread == 0) shared.bin[0] = shared.bin[1];
  __syncthreads();
  for (int i = thread; i < kEntropyBins; i += kDistributionThreads) {
    shared.c_log_c[i] = scalar::x_log_x(static_cast<double>(shared.bin[i]));
  }
  __syncthreads();
  if (thread < kEntropyBins / kRun) {
    double run = 0.0;
    for (int i = thread * kRun; i < (thread + 1) * kRun; ++i) {
      run += shared.c_log_c[i];
      shared.c_log_c[i] = run;
    }
  }
  __syncthreads();
  if (thread == 0) {
    unsigned long long count = 0;
    std::uint32_t non_empty = 0;
    double runs = 0.0;
    search.count_before[0] = search.non_empty_before[0] = 0;
    search.c_log_c_before[0] = 0.0;
    for (int i = 0; i < kEntropyBins; ++i) {
      if (i % kRun == 0 && i > 0) runs += shared.c_log_c[i - 1];
      count += shared.bin[i];
      non_empty += shared.bin[i] != 0 ? 1u : 0u;
      search.count_before[i + 1] = count;
      search.non_empty_before[i + 1] = non_empty;
      search.c_log_c_before[i + 1] = runs + shared.c_log_c[i];
    }
  }
}

/// A thread for each candidate.
__global__ void entropy_divergence_kernel(CalibrationMemory memory, int num_levels) {
  ScaleSearch& search = memory.own_search();
  const int kept = kFirstEntropyCandidate + static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (kept > kEntropyBins) return;
  static_assert(sizeof(unsigned long long) == sizeof(std::uint64_t));
  const scalar::EntropyPrefixes prefix{reinterpret_cast<const std::uint64_t*>(search.count_before),
                                       search.non_empty_before, search.c_log_c_before};
  search.divergence[kept] = scalar::modelopt_divergence(
      prefix, kEntropyBins, static_cast<std::size_t>(kept), static_cast<std::size_t>(num_levels));
}

/// One block: the last candidate of least divergence, cut to what was observed.
template <typename C>
__global__ void entropy_finalist_kernel(CalibrationMemory memory) {
  auto& shared = shared_storage<int[kPlanThreads]>();
  ScaleSearch& search = memory.own_search();
  constexpr int kFirst = kFirstEntropyCandidate;
  const int last_least =
      kFirst + detail::first_of(shared, kEntropyBins + 1 - kFirst, [&](int a, int b) {
        const double divergence_a = search.divergence[kFirst + a];
        const double divergence_b = search.divergence[kFirst + b];
        return divergence_a != divergence_b ? divergence_a < divergence_b : a > b;
      });
  if (threadIdx.x != 0) return;
  const double amax = search.statistics.amax();
  const C threshold =
      static_cast<C>(amax * (static_cast<double>(last_least) / double{kEntropyBins}));
  detail::add_observed_finalist<C>(search, -threshold, threshold);
}

}  // namespace cuqat::gpu
