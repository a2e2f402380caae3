// What the steps of a calibration on the device leave for each other, and the steps that they
// share. The steps themselves: clipping_search.cuh, entropy.cuh, window_entropy.cuh, finalists.cuh.
//
// Every method ends with a few finalists, ranges whose errors are then summed exactly and compared.
// What is compared in f64 is added in a fixed order, the host's (scalar/clipping_search.hpp,
// scalar/entropy.hpp), by one thread where that order is a sequence.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

#include "cuqat/percentile.hpp"
#include "cuqat/scalar/clipping_search.hpp"
#include "cuqat/scalar/entropy.hpp"
#include "cuqat/scalar/range_to_scale.hpp"
#include "cuqat/statistics.hpp"
#include "distribution.cuh"
#include "launchers.hpp"
#include "wide_sum.cuh"

namespace cuqat::gpu {

using scalar::kEntropyBins;
using scalar::kFirstEntropyCandidate;

inline constexpr int kPlanThreads = 256;
inline constexpr int kAffineFirstRound = scalar::num_affine_steps(true);
inline constexpr int kMaxCandidates =
    kAffineFirstRound + scalar::kNumMoves * scalar::kMoveCandidates;

/// Those of least cost, and the widest range.
inline constexpr int kFinalistSlots = scalar::kMaxFinalists + 1;

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

/// What the steps of one scale's answer leave for each other.
struct ScaleSearch {
  Statistics statistics;
  int num_values;  ///< Of the scale's distribution.
  ClippingCandidate candidate[kMaxCandidates];
  unsigned long long count_before[kEntropyBins + 1];
  std::uint32_t non_empty_before[kEntropyBins + 1];
  double c_log_c_before[kEntropyBins + 1];
  double divergence[kEntropyBins + 1];  ///< Entry i: of the first i bins.
  int num_finalists;
  Range finalist[kFinalistSlots];
  FinalistErrors errors[kFinalistSlots];
};

/// Device memory of the answers of some scales, which are found side by side: blocks (x, i) work on
/// scale i. A scale has at most `capacity` distinct values.
struct CalibrationMemory {
  ScaleSearch* search;
  double* value;
  unsigned long long* count_before;
  double* sum_before;
  double* squares_before;
  unsigned long long* bins;
  int capacity;
  int num_bins;  ///< Of a scale; 0 where none are counted.

  static constexpr std::size_t bytes_per_scale(int capacity, int num_bins) {
    const auto entries = static_cast<std::size_t>(capacity) + 1;
    return sizeof(ScaleSearch) + entries * (3 * sizeof(double) + sizeof(unsigned long long)) +
           static_cast<std::size_t>(num_bins) * sizeof(unsigned long long);
  }
  /// In num_scales * bytes_per_scale(capacity, num_bins) bytes at `memory`.
  static CalibrationMemory at(void* memory, int num_scales, int capacity, int num_bins) {
    const auto entries =
        static_cast<std::size_t>(num_scales) * (static_cast<std::size_t>(capacity) + 1);
    CalibrationMemory all{};
    all.search = static_cast<ScaleSearch*>(memory);
    all.value = reinterpret_cast<double*>(all.search + num_scales);
    all.sum_before = all.value + entries;
    all.squares_before = all.sum_before + entries;
    all.count_before = reinterpret_cast<unsigned long long*>(all.squares_before + entries);
    all.bins = all.count_before + entries;
    all.capacity = capacity;
    all.num_bins = num_bins;
    return all;
  }

  __device__ ScaleSearch& own_search() const { return search[blockIdx.y]; }
  __device__ unsigned long long* own_bins() const {
    return bins + std::int64_t{blockIdx.y} * num_bins;
  }
  /// The scale's distribution once it is made: values, or magnitudes, by what the method asks.
  __device__ Distribution own_values() const {
    Distribution values = values_to_fill(blockIdx.y);
    values.size = search[blockIdx.y].num_values;
    return values;
  }
  __device__ Distribution values_to_fill(unsigned scale) const {
    const std::int64_t first = scale * (std::int64_t{capacity} + 1);
    return {0, value + first, count_before + first, sum_before + first, squares_before + first};
  }
};

namespace detail {

template <typename C>
__device__ inline scalar::ScaleAndZero<C> scale_of(const Range& range, const RangeRule& rule) {
  return scalar::range_to_scale(static_cast<C>(range.low), static_cast<C>(range.high),
                                rule.quantizer, rule.symmetric);
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
__device__ inline void add_finalist(ScaleSearch& search, double low, double high) {
  const int number = search.num_finalists++;
  search.finalist[number] = {static_cast<double>(static_cast<C>(low)),
                             static_cast<double>(static_cast<C>(high))};
  search.errors[number] = {};
}

/// The only finalist: a range cut to what was observed; [0, 0] where that is nothing.
template <typename C>
__device__ inline void add_observed_finalist(ScaleSearch& search, C low, C high) {
  const Statistics& statistics = search.statistics;
  search.num_finalists = 0;
  if (statistics.finite() == 0) {
    add_finalist<C>(search, 0.0, 0.0);
    return;
  }
  const auto least = static_cast<double>(low);
  const auto largest = static_cast<double>(high);
  add_finalist<C>(search, least > statistics.min ? least : statistics.min,
                  largest < statistics.max ? largest : statistics.max);
}

}  // namespace detail

}  // namespace cuqat::gpu
