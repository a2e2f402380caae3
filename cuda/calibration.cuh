// The methods of calibration over the tables of distribution.cuh: candidate ranges, what they cost,
// and the scale of the best.
//
// Every method ends with a few finalists: ranges whose errors are summed exactly, as integers, and
// compared. Clipping searches take rounds: a plan of candidates by one block, then a block for each
// candidate, whose threads own a code each and find the run of values that gets it by bisection.
// A round takes as long as one candidate. (Entropy: entropy.cuh.)
//
// What is compared in f64 is added in a fixed order, the host's (scalar/clipping_search.hpp,
// scalar/entropy.hpp), by one thread where that order is a sequence.
//
// Bytes moved: the tables, through the L2 cache, in each step. Bound by latency.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/calibration.hpp"
#include "cuqat/scalar/clipping_search.hpp"
#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/percentile_rank.hpp"
#include "cuqat/scalar/range_to_scale.hpp"
#include "cuqat/scalar/squared_error.hpp"
#include "distribution.cuh"
#include "launchers.hpp"
#include "scale_output.cuh"
#include "shared_storage.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

inline constexpr int kPlanThreads = 256;
inline constexpr int kAffineFirstRound = scalar::num_affine_steps(true);
inline constexpr int kMaxCandidates =
    kAffineFirstRound + scalar::kNumMoves * scalar::kMoveCandidates;
inline constexpr int kMaxFinalists = 4;
inline constexpr int kEntropyBins = 2048;
inline constexpr int kFirstEntropyCandidate = 128;

/// A range and the squared error of the values inside it, and of those that it clips.
struct ClippingCandidate {
  scalar::RangeEnds ends;  ///< {0, 0}: none.
  double rounding;
  double clipping;

  __device__ double cost(double clipping_weight) const {
    return rounding + clipping_weight * clipping;
  }
};

/// A sum of 128 bits.
struct WideSum {
  unsigned long long high;
  unsigned long long low;

  __device__ void add_product(std::uint64_t a, std::uint64_t b) {
#if defined(__CUDA_ARCH__)
    const std::uint64_t product_high = __umul64hi(a, b);
#else
    __extension__ using Wide = unsigned __int128;
    const auto product_high = static_cast<std::uint64_t>((static_cast<Wide>(a) * b) >> 64);
#endif
    const unsigned long long sum = low + a * b;
    high += product_high + (sum < low ? 1u : 0u);
    low = sum;
  }
  /// Exact in any order: the sum is one of integers, and each addition carries what it caused.
  __device__ void atomic_add(const WideSum& other) {
    if (other.low != 0) {
      const unsigned long long old = atomicAdd(&low, other.low);
      if (old + other.low < old) atomicAdd(&high, 1ull);
    }
    if (other.high != 0) atomicAdd(&high, other.high);
  }
  __device__ double value(double unit) const { return scalar::squared_sum_value(high, low, unit); }
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

/// The range that all candidates are a part of: it contains 0.
__device__ inline Range widest_range(const CalibrationTables& tables, bool symmetric) {
  const Distribution& sorted = symmetric ? tables.magnitudes : tables.values;
  if (sorted.size == 0) return {};
  const double least = sorted.value[0];
  const double largest = sorted.value[sorted.size - 1];
  return {symmetric ? -largest : (least < 0.0 ? least : 0.0), largest > 0.0 ? largest : 0.0};
}

__device__ inline double largest_magnitude(const CalibrationTables& tables) {
  const int size = tables.magnitudes.size;
  return size > 0 ? tables.magnitudes.value[size - 1] : 0.0;
}

__device__ inline Range range_of(const Range& widest, scalar::RangeEnds ends) {
  return {scalar::range_end(widest.low, ends.low), scalar::range_end(widest.high, ends.high)};
}

/// The first index whose value is_past, which is false before it and true from it on.
template <typename IsPast>
__device__ inline int first_past(const Distribution& sorted, const IsPast& is_past) {
  int begin = 0;
  int end = sorted.size;
  while (begin < end) {
    const int middle = begin + (end - begin) / 2;
    if (is_past(sorted.value[middle])) {
      end = middle;
    } else {
      begin = middle + 1;
    }
  }
  return begin;
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

}  // namespace detail

/// How costs are compared.
struct SearchRule {
  bool symmetric;
  double clipping_weight;
};

/// Candidates of a round. Symmetric: the line, then the refined steps; affine: the first round,
/// then the moves.
struct SearchRound {
  int first;
  int size;

  __host__ __device__ static constexpr SearchRound of(int round, bool symmetric) {
    if (symmetric) {
      constexpr int kRefined = scalar::kNumRefined * scalar::kRefinedCandidates;
      return round == 0 ? SearchRound{0, scalar::kRangeSteps}
                        : SearchRound{scalar::kRangeSteps, kRefined};
    }
    constexpr int kMove = scalar::kMoveCandidates;
    return round == 0 ? SearchRound{0, kAffineFirstRound}
                      : SearchRound{kAffineFirstRound + (round - 1) * kMove, kMove};
  }
  __host__ __device__ static constexpr int number_of(bool symmetric) {
    return symmetric ? 2 : 1 + scalar::kNumMoves;
  }
};

/// One block: chooses the candidates of a round from what those before have cost.
__global__ void plan_round_kernel(CalibrationState* state, SearchRule rule, int round) {
  auto& shared = shared_storage<int[kPlanThreads]>();
  ClippingCandidate* const candidate = state->search.candidate;
  const SearchRound all = SearchRound::of(round, rule.symmetric);
  const int thread = static_cast<int>(threadIdx.x);
  const auto set = [&](int i, scalar::RangeEnds ends) {
    candidate[all.first + i].ends = ends.is_valid() ? ends : scalar::RangeEnds{};
  };
  const Range widest = detail::widest_range(state->tables, rule.symmetric);
  if (rule.symmetric && round == 0) {
    for (int i = thread; i < all.size; i += kPlanThreads) set(i, scalar::symmetric_step(i));
  } else if (rule.symmetric) {
    int chosen[scalar::kNumRefined] = {-1, -1, -1};
    for (int& step : chosen) {
      const auto is_chosen = [&](int i) {
        return i == chosen[0] || i == chosen[1] || i == chosen[2];
      };
      step = detail::first_of(shared, scalar::kRangeSteps, [&](int a, int b) {
        if (is_chosen(a) != is_chosen(b)) return is_chosen(b);
        const double cost_a = candidate[a].cost(rule.clipping_weight);
        const double cost_b = candidate[b].cost(rule.clipping_weight);
        return cost_a != cost_b ? cost_a < cost_b : a > b;
      });
    }
    for (int i = thread; i < all.size; i += kPlanThreads) {
      set(i, scalar::refined_step(chosen[i / scalar::kRefinedCandidates],
                                  i % scalar::kRefinedCandidates));
    }
  } else if (round == 0) {
    const int size = scalar::num_affine_steps(widest.low < 0.0 && widest.high > 0.0);
    for (int i = thread; i < all.size; i += kPlanThreads) {
      set(i, i < size ? scalar::affine_step(i) : scalar::RangeEnds{});
    }
  } else {
    const int move = round - 1;
    const int best = detail::first_of(shared, all.first, [&](int a, int b) {
      const double cost_a = candidate[a].cost(rule.clipping_weight);
      const double cost_b = candidate[b].cost(rule.clipping_weight);
      return cost_a != cost_b ? cost_a < cost_b : a < b;
    });
    const bool has_end = scalar::moves_high(move) ? widest.high > 0.0 : widest.low < 0.0;
    for (int i = thread; i < all.size; i += kPlanThreads) {
      set(i, has_end ? scalar::moved_ends(candidate[best].ends, move, i) : scalar::RangeEnds{});
    }
  }
}

/// Shared memory of a block that has a candidate: where the run of each code ends, and its error.
struct CandidateStorage {
  static constexpr int kMaxCodes = 256;
  int end[kMaxCodes];
  double error[kMaxCodes];
  int inside_begin;
  int inside_end;
};

/// A block for each candidate, from number `first` on.
template <typename Q, typename C>
__global__ void candidate_cost_kernel(CalibrationState* state, RangeRule rule, Q quantizer,
                                      int first) {
  ClippingCandidate& candidate = state->search.candidate[first + static_cast<int>(blockIdx.x)];
  const Distribution& sorted = rule.symmetric ? state->tables.magnitudes : state->tables.values;
  if (!candidate.ends.is_valid() || sorted.size == 0) {
    constexpr double kInfinity = scalar::from_bits(scalar::FloatTraits<double>::kInfinity);
    if (threadIdx.x == 0) candidate.rounding = candidate.clipping = kInfinity;
    return;
  }
  auto& shared = shared_storage<CandidateStorage>();
  const Range widest = detail::widest_range(state->tables, rule.symmetric);
  const auto scale = detail::scale_of<C>(detail::range_of(widest, candidate.ends), rule);
  const scalar::CodeLadder<Q, C> ladder(quantizer, scale.scale, scale.zero_point, rule.symmetric);
  // The clipped values are at the two ends, if anywhere.
  if (threadIdx.x == 0) {
    shared.inside_begin = rule.symmetric ? 0 : detail::first_past(sorted, [&](double x) {
      return x > 0.0 || !ladder.clipped(x);
    });
  }
  if (threadIdx.x == kWarpThreads) {
    shared.inside_end =
        detail::first_past(sorted, [&](double x) { return x > 0.0 && ladder.clipped(x); });
  }
  const int num_codes = ladder.last() - ladder.first() + 1;
  const int thread = static_cast<int>(threadIdx.x);
  const std::int32_t code = ladder.first() + thread;
  const int past_code =
      code < ladder.last()
          ? detail::first_past(sorted, [&](double x) { return ladder.code(x) > code; })
          : sorted.size;
  __syncthreads();
  const auto inside = [&](int index) {
    return index < shared.inside_begin ? shared.inside_begin
           : index > shared.inside_end ? shared.inside_end
                                       : index;
  };
  if (thread < num_codes) shared.end[thread] = inside(past_code);
  __syncthreads();
  if (thread < num_codes) {
    const int begin = thread == 0 ? shared.inside_begin : shared.end[thread - 1];
    shared.error[thread] = sorted.squared_error(begin, shared.end[thread], ladder.value(code));
  }
  __syncthreads();
  if (thread != 0) return;
  double rounding = 0.0;
  for (int i = 0; i < num_codes; ++i) rounding += shared.error[i];
  candidate.rounding = rounding;
  candidate.clipping =
      sorted.squared_error(0, shared.inside_begin, ladder.value(ladder.first())) +
      sorted.squared_error(shared.inside_end, sorted.size, ladder.value(ladder.last()));
}

namespace detail {

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

/// One block: the best candidates by cost, of equals the widest; those that cost no more than
/// rounding may be off.
template <typename C>
__global__ void search_finalists_kernel(CalibrationState* state, SearchRule rule,
                                        int num_candidates) {
  constexpr double kRoundingSlack = 1e-9;
  auto& shared = shared_storage<int[kPlanThreads]>();
  CalibrationSearch& search = state->search;
  const ClippingCandidate* const candidate = search.candidate;
  const Range widest = detail::widest_range(state->tables, rule.symmetric);
  if (threadIdx.x == 0) search.num_finalists = 0;
  if (widest.low == 0.0 && widest.high == 0.0) {
    if (threadIdx.x == 0) detail::add_finalist<C>(search, 0.0, 0.0);
    return;
  }
  int chosen[kMaxFinalists] = {-1, -1, -1, -1};
  const auto is_chosen = [&](int i) {
    bool found = false;
#pragma unroll
    for (const int other : chosen) found |= i == other;
    return found;
  };
  for (int number = 0; number < kMaxFinalists; ++number) {
    const int best = detail::first_of(shared, num_candidates, [&](int a, int b) {
      if (is_chosen(a) != is_chosen(b)) return is_chosen(b);
      const double cost_a = candidate[a].cost(rule.clipping_weight);
      const double cost_b = candidate[b].cost(rule.clipping_weight);
      if (cost_a != cost_b) return cost_a < cost_b;
      const Range range_a = detail::range_of(widest, candidate[a].ends);
      const Range range_b = detail::range_of(widest, candidate[b].ends);
      const double width_a = range_a.high * 0.5 - range_a.low * 0.5;
      const double width_b = range_b.high * 0.5 - range_b.low * 0.5;
      if (width_a != width_b) return width_a > width_b;
      if (range_a.high != range_b.high) return range_a.high > range_b.high;
      return a < b;
    });
    const double least = candidate[chosen[0] < 0 ? best : chosen[0]].cost(rule.clipping_weight);
    if (candidate[best].cost(rule.clipping_weight) > least * (1.0 + kRoundingSlack)) break;
    if (threadIdx.x == 0) {
      const Range range = detail::range_of(widest, candidate[best].ends);
      detail::add_finalist<C>(search, range.low, range.high);
    }
#pragma unroll
    for (int i = 0; i < kMaxFinalists; ++i) {
      if (i == number) chosen[i] = best;
    }
  }
}

/// One thread: the extremes.
template <typename C>
__global__ void minmax_finalist_kernel(CalibrationState* state) {
  CalibrationSearch& search = state->search;
  const Statistics& statistics = state->tables.statistics;
  const bool any = statistics.finite() > 0;
  search.num_finalists = 0;
  detail::add_finalist<C>(search, any ? statistics.min : 0.0, any ? statistics.max : 0.0);
}

/// The value of a rank below the number of elements.
__device__ inline double order_statistic(const Distribution& sorted, std::int64_t rank) {
  int begin = 0;
  int end = sorted.size - 1;
  while (begin < end) {  // the last value with at most `rank` elements before it
    const int middle = begin + (end - begin + 1) / 2;
    if (sorted.count_before[middle] <= static_cast<std::uint64_t>(rank)) {
      begin = middle;
    } else {
      end = middle - 1;
    }
  }
  return sorted.value[begin];
}

/// One thread.
template <typename C>
__global__ void percentile_finalist_kernel(CalibrationState* state, bool symmetric,
                                           double percentile) {
  CalibrationSearch& search = state->search;
  const CalibrationTables& tables = state->tables;
  const std::int64_t n = tables.statistics.finite();
  search.num_finalists = 0;
  if (n == 0) {
    detail::add_finalist<C>(search, 0.0, 0.0);
  } else if (symmetric) {
    const double amax = order_statistic(tables.magnitudes, scalar::percentile_rank(n, percentile));
    detail::add_finalist<C>(search, -amax, amax);
  } else {
    detail::add_finalist<C>(
        search, order_statistic(tables.values, scalar::low_percentile_rank(n, percentile)),
        order_statistic(tables.values, scalar::high_percentile_rank(n, percentile)));
  }
}

/// Exact errors of the finalists, who have every kMaxFinalists-th block each. Of one nothing is
/// asked.
template <typename Q, typename C>
__global__ void finalist_errors_kernel(CalibrationState* state, RangeRule rule, Q quantizer) {
  CalibrationSearch& search = state->search;
  const int number = static_cast<int>(blockIdx.x % kMaxFinalists);
  if (search.num_finalists < 2 || number >= search.num_finalists) return;
  auto& shared = shared_storage<FinalistErrors>();
  if (threadIdx.x == 0) shared = {};
  __syncthreads();
  const Distribution& values = state->tables.values;
  const auto scale = detail::scale_of<C>(search.finalist[number], rule);
  const double amax = detail::largest_magnitude(state->tables);
  const double amax_reciprocal = 1.0 / amax;
  const double rounding_reciprocal =
      1.0 / scalar::rounding_unit(rule.quantizer.format, static_cast<double>(scale.scale), amax);
  FinalistErrors mine{};
  const unsigned block = blockIdx.x / kMaxFinalists;
  const int stride = static_cast<int>(gridDim.x / kMaxFinalists * blockDim.x);
  for (int i = static_cast<int>(block * blockDim.x + threadIdx.x); i < values.size; i += stride) {
    const double x = values.value[i];
    const auto y =
        scalar::fake_quantize_element(quantizer, static_cast<C>(x), scale.scale, scale.zero_point);
    const std::uint64_t term = scalar::squared_term(
        x - static_cast<double>(y.value), y.clipped ? amax_reciprocal : rounding_reciprocal);
    const std::uint64_t n = values.count(i);
    mine.rounding.add_product(term, y.clipped ? 0 : n);
    mine.clipping.add_product(term, y.clipped ? n : 0);
  }
  shared.rounding.atomic_add(mine.rounding);
  shared.clipping.atomic_add(mine.clipping);
  __syncthreads();
  if (threadIdx.x == 0) {
    search.errors[number].rounding.atomic_add(shared.rounding);
    search.errors[number].clipping.atomic_add(shared.clipping);
  }
}

/// One thread: the first finalist of least error, and its scale.
template <typename C>
__global__ void choose_finalist_kernel(const CalibrationState* state, RangeRule rule,
                                       double clipping_weight, ScaleOutput output) {
  const CalibrationSearch& search = state->search;
  const CalibrationTables& tables = state->tables;
  Range best = search.finalist[0];
  if (search.num_finalists > 1) {
    const double amax = detail::largest_magnitude(tables);
    double least = scalar::from_bits(scalar::FloatTraits<double>::kInfinity);
    for (int i = 0; i < search.num_finalists; ++i) {
      const auto scale = detail::scale_of<C>(search.finalist[i], rule);
      // Relative to amax, so that no square leaves f64.
      const double unit =
          scalar::rounding_unit(rule.quantizer.format, static_cast<double>(scale.scale), amax) /
          amax;
      const double error = search.errors[i].rounding.value(unit) +
                           clipping_weight * search.errors[i].clipping.value(1.0);
      if (error < least) {
        least = error;
        best = search.finalist[i];
      }
    }
  }
  store_scale(output, 0, detail::scale_of<C>(best, rule));
}

}  // namespace cuqat::gpu
