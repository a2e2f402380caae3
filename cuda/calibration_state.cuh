// What the steps of a calibration on the device leave for each other, and the steps that they
// share. The steps themselves: clipping_search.cuh, entropy.cuh, window_entropy.cuh, finalists.cuh.
//
// Every method ends with a few finalists, ranges whose errors are then summed exactly and compared.
// What is compared in f64 is added in a fixed order, the host's (scalar/clipping_search.hpp,
// scalar/entropy.hpp), by one thread where that order is a sequence.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/percentile.hpp"
#include "cuqat/scalar/clipping_search.hpp"
#include "cuqat/scalar/entropy.hpp"
#include "cuqat/scalar/range_to_scale.hpp"
#include "distribution.cuh"
#include "launchers.hpp"
#include "wide_sum.cuh"

namespace cuqat::gpu {

using scalar::kEntropyBins;
using scalar::kFirstEntropyCandidate;
using scalar::kMaxFinalists;

inline constexpr int kPlanThreads = 256;
inline constexpr int kAffineFirstRound = scalar::num_affine_steps(true);
inline constexpr int kMaxCandidates =
    kAffineFirstRound + scalar::kNumMoves * scalar::kMoveCandidates;

/// A range and the squared error of the values inside it, and of those that it clips.
struct ClippingCandidate {
  scalar::RangeEnds ends;  ///< {0, 0}: none.
  double rounding;
  double clipping;

  __device__ double cost(double clipping_weight) const {
    return rounding + clipping_weight * clipping;
  }
};

/// Errors of a finalist, in the units of QuantizationError.
struct FinalistErrors {
  WideSum rounding;
  WideSum clipping;
};

/// What the steps of one answer leave for each other.
struct CalibrationSearch {
  ClippingCandidate candidate[kMaxCandidates];
  unsigned long long count_before[kEntropyBins + 1];
  std::uint32_t non_empty_before[kEntropyBins + 1];
  double c_log_c_before[kEntropyBins + 1];
  double divergence[kEntropyBins + 1];  ///< Entry i: of the first i bins.
  int num_finalists;
  Range finalist[kMaxFinalists];
  FinalistErrors errors[kMaxFinalists];
};

/// Everything that an answer reads and writes, in device memory.
struct CalibrationState {
  unsigned long long key_counts[kNumKeys];
  CalibrationTables tables;
  CalibrationSearch search;
};

namespace detail {

template <typename C>
__device__ inline scalar::ScaleAndZero<C> scale_of(const Range& range, const RangeRule& rule) {
  return scalar::range_to_scale(static_cast<C>(range.low), static_cast<C>(range.high),
                                rule.quantizer, rule.symmetric);
}

__device__ inline double largest_magnitude(const CalibrationTables& tables) {
  const int size = tables.magnitudes.size;
  return size > 0 ? tables.magnitudes.value[size - 1] : 0.0;
}

/// The index in [0, n) that comes before all others, in every thread. All threads of the block,
/// kPlanThreads, call it. before(a, b) is a strict order of indices; n is at least 1.
template <typename Before>
__device__ inline int first_of(int (&shared)[kPlanThreads], int n, const Before& before) {
  const int thread = static_cast<int>(threadIdx.x);
  int best = thread < n ? thread : 0;
  for (int i = thread + kPlanThreads; i < n; i += kPlanThreads) {
    if (before(i, best)) best = i;
  }
  __syncthreads();  // what was there before has been read
  shared[thread] = best;
  __syncthreads();
#pragma unroll
  for (int half = kPlanThreads / 2; half > 0; half /= 2) {
    if (thread < half && before(shared[thread + half], shared[thread])) {
      shared[thread] = shared[thread + half];
    }
    __syncthreads();
  }
  return shared[0];
}

/// Puts a range among the finalists, as the compute type has it.
template <typename C>
__device__ inline void add_finalist(CalibrationSearch& search, double low, double high) {
  const int number = search.num_finalists++;
  search.finalist[number] = {static_cast<double>(static_cast<C>(low)),
                             static_cast<double>(static_cast<C>(high))};
  search.errors[number] = {};
}

/// The only finalist: a range cut to what was observed; [0, 0] where that is nothing.
template <typename C>
__device__ inline void add_observed_finalist(CalibrationState* state, C low, C high) {
  const Statistics& statistics = state->tables.statistics;
  state->search.num_finalists = 0;
  if (statistics.finite() == 0) {
    add_finalist<C>(state->search, 0.0, 0.0);
    return;
  }
  const auto least = static_cast<double>(low);
  const auto largest = static_cast<double>(high);
  add_finalist<C>(state->search, least > statistics.min ? least : statistics.min,
                  largest < statistics.max ? largest : statistics.max);
}

}  // namespace detail

}  // namespace cuqat::gpu
