// The search for the clipping range of least squared error, in rounds: a plan of candidates by one
// block, then a block for each candidate, whose threads own a code each and find the run of values
// that gets it by bisection. A round takes as long as one candidate.
//
// Bytes moved: the tables of distribution.cuh, through the L2 cache, in each round. Bound by
// latency.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "calibration_state.cuh"
#include "cuqat/scalar/clipping_search.hpp"
#include "cuqat/scalar/element.hpp"
#include "shared_storage.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

namespace detail {

/// The range that all candidates are a part of, of the sorted values, or, symmetric, magnitudes: it
/// contains 0.
__device__ inline Range widest_range(const Distribution& sorted, bool symmetric) {
  if (sorted.size == 0) return {};
  const double least = sorted.value[0];
  const double largest = sorted.value[sorted.size - 1];
  return {symmetric ? -largest : (least < 0.0 ? least : 0.0), largest > 0.0 ? largest : 0.0};
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
__global__ void plan_round_kernel(CalibrationMemory memory, SearchRule rule, int round) {
  auto& shared = shared_storage<int[kPlanThreads]>();
  ClippingCandidate* const candidate = memory.own_search().candidate;
  const SearchRound all = SearchRound::of(round, rule.symmetric);
  const int thread = static_cast<int>(threadIdx.x);
  const auto set = [&](int i, scalar::RangeEnds ends) {
    candidate[all.first + i].ends = ends.is_valid() ? ends : scalar::RangeEnds{};
  };
  const Range widest = detail::widest_range(memory.own_values(), rule.symmetric);
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
__global__ void candidate_cost_kernel(CalibrationMemory memory, RangeRule rule, Q quantizer,
                                      int first) {
  ClippingCandidate& candidate =
      memory.own_search().candidate[first + static_cast<int>(blockIdx.x)];
  const Distribution sorted = memory.own_values();
  if (!candidate.ends.is_valid() || sorted.size == 0) {
    constexpr double kInfinity = scalar::from_bits(scalar::FloatTraits<double>::kInfinity);
    if (threadIdx.x == 0) candidate.rounding = candidate.clipping = kInfinity;
    return;
  }
  auto& shared = shared_storage<CandidateStorage>();
  const Range widest = detail::widest_range(sorted, rule.symmetric);
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

/// One block: the best candidates by cost, of equals the widest; those that cost no more than costs
/// may be off. Where they are estimates, of bins, the widest range is one more.
template <typename C>
__global__ void search_finalists_kernel(CalibrationMemory memory, SearchRule rule,
                                        int num_candidates, bool costs_are_estimates) {
  auto& shared = shared_storage<int[kPlanThreads]>();
  ScaleSearch& search = memory.own_search();
  const ClippingCandidate* const candidate = search.candidate;
  const Range widest = detail::widest_range(memory.own_values(), rule.symmetric);
  if (threadIdx.x == 0) search.num_finalists = 0;
  if (widest.low == 0.0 && widest.high == 0.0) {
    if (threadIdx.x == 0) detail::add_finalist<C>(search, 0.0, 0.0);
    return;
  }
  int chosen[scalar::kMaxFinalists] = {-1, -1, -1, -1};
  const auto is_chosen = [&](int i) {
    bool found = false;
#pragma unroll
    for (const int other : chosen) {
      found |= i == other;
      if (costs_are_estimates && other >= 0) {
        found |=
            scalar::nearest_step(candidate[i].ends) == scalar::nearest_step(candidate[other].ends);
      }
    }
    return found;
  };
  const double slack = costs_are_estimates ? scalar::kBinningSlack : scalar::kRoundingSlack;
  bool has_widest = !costs_are_estimates;
  for (int number = 0; number < scalar::kMaxFinalists; ++number) {
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
    if (is_chosen(best) || candidate[best].cost(rule.clipping_weight) > least * (1.0 + slack)) {
      break;
    }
    has_widest |= candidate[best].ends == scalar::kWidestRange;
    if (threadIdx.x == 0) {
      const Range range = detail::range_of(widest, candidate[best].ends);
      detail::add_finalist<C>(search, range.low, range.high);
    }
#pragma unroll
    for (int i = 0; i < scalar::kMaxFinalists; ++i) {
      if (i == number) chosen[i] = best;
    }
  }
  if (threadIdx.x == 0 && !has_widest) {
    detail::add_finalist<C>(search, widest.low, widest.high);
  }
}

}  // namespace cuqat::gpu
