// The entropy threshold by modelopt's rule (docs/calibration.md): bins of the magnitudes by one
// block, then a thread for each candidate, whose sums are prefixes.
//
// Bytes moved: the bins' prefixes, 40 KB, through the L2 cache. Bound by latency, and by
// logarithms.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "calibration_state.cuh"
#include "cuqat/scalar/entropy.hpp"
#include "shared_storage.cuh"

namespace cuqat::gpu {

/// Shared memory of the block that counts bins.
struct BinStorage {
  unsigned long long bin[kEntropyBins];
  double c_log_c[kEntropyBins];
};

/// One block: bins of the magnitudes over [0, amax], and their sums. An f32 amax: times the number
/// of bins, a power of two, and divided, a magnitude is rounded once, and never up to a whole
/// number.
__global__ void __launch_bounds__(kDistributionThreads)
    entropy_bins_kernel(CalibrationState* state) {
  constexpr int kRun = static_cast<int>(scalar::kEntropyRun);
  auto& shared = shared_storage<BinStorage>();
  CalibrationSearch& search = state->search;
  const Distribution& magnitudes = state->tables.magnitudes;
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < kEntropyBins; i += kDistributionThreads) shared.bin[i] = 0;
  __syncthreads();
  const double amax = detail::largest_magnitude(state->tables);
  for (int i = thread; i < magnitudes.size && amax > 0.0; i += kDistributionThreads) {
    const int bin = static_cast<int>(magnitudes.value[i] * kEntropyBins / amax);
    atomicAdd(&shared.bin[bin < kEntropyBins ? bin : kEntropyBins - 1],
              static_cast<unsigned long long>(magnitudes.count(i)));
  }
  __syncthreads();
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
__global__ void entropy_divergence_kernel(CalibrationState* state, int num_levels) {
  CalibrationSearch& search = state->search;
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
__global__ void entropy_finalist_kernel(CalibrationState* state) {
  auto& shared = shared_storage<int[kPlanThreads]>();
  CalibrationSearch& search = state->search;
  constexpr int kFirst = kFirstEntropyCandidate;
  const int last_least =
      kFirst + detail::first_of(shared, kEntropyBins + 1 - kFirst, [&](int a, int b) {
        const double divergence_a = search.divergence[kFirst + a];
        const double divergence_b = search.divergence[kFirst + b];
        return divergence_a != divergence_b ? divergence_a < divergence_b : a > b;
      });
  if (threadIdx.x != 0) return;
  const double amax = detail::largest_magnitude(state->tables);
  const C threshold =
      static_cast<C>(amax * (static_cast<double>(last_least) / double{kEntropyBins}));
  detail::add_observed_finalist<C>(state, -threshold, threshold);
}

}  // namespace cuqat::gpu
