#include "calibration/clipping_search.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "calibration/dispatch.hpp"

namespace cuqat::calibration {
namespace {

using scalar::RangeEnds;

constexpr std::size_t kMaxBuckets = 4096;

}  // namespace

SortedMoments::SortedMoments(const Distribution& distribution)
    : values_(distribution.values),
      before_(distribution.size() + 1),
      bucket_(std::min(kMaxBuckets, std::bit_ceil(distribution.size())) + 2) {
  std::uint64_t count = 0;
  Moments runs;  // before the run of i, and in it before i
  Moments run;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    if (i % scalar::kMomentsRun == 0) {
      runs = {0.0, runs.sum + run.sum, runs.sum_of_squares + run.sum_of_squares};
      run = {};
    }
    const auto n = static_cast<double>(distribution.counts[i]);
    const double x = values_[i];
    count += distribution.counts[i];
    run = {0.0, run.sum + n * x, run.sum_of_squares + n * (x * x)};
    before_[i + 1] = {static_cast<double>(count), runs.sum + run.sum,
                      runs.sum_of_squares + run.sum_of_squares};
  }
  const std::size_t num_buckets = bucket_.size() - 2;
  // Halves keep the span finite for values near the largest f64.
  const double half_span = values_.back() * 0.5 - values_.front() * 0.5;
  buckets_per_unit_ = half_span > 0.0 ? static_cast<double>(num_buckets) * 0.5 / half_span : 0.0;
  if (!std::isfinite(buckets_per_unit_)) buckets_per_unit_ = 0.0;
  std::size_t next = 0;
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const double position = (values_[i] - values_.front()) * buckets_per_unit_;
    const std::size_t b = position < static_cast<double>(num_buckets)
                              ? static_cast<std::size_t>(position)
                              : num_buckets;
    while (next <= b) bucket_[next++] = static_cast<std::uint32_t>(i);
  }
  while (next < bucket_.size()) bucket_[next++] = static_cast<std::uint32_t>(values_.size());
}

std::size_t SortedMoments::lower_bound(double edge, std::size_t begin) const {
  const double position = (edge - values_.front()) * buckets_per_unit_;
  const std::size_t num_buckets = bucket_.size() - 2;
  std::size_t low = begin;
  std::size_t high = values_.size();
  if (position < 0.0) {
    high = begin;
  } else if (position < static_cast<double>(num_buckets)) {
    const auto b = static_cast<std::size_t>(position);
    low = std::max<std::size_t>(begin, bucket_[b]);
    high = std::max<std::size_t>(low, bucket_[b + 1]);
  } else if (position >= static_cast<double>(num_buckets)) {
    low = std::max<std::size_t>(begin, bucket_[num_buckets]);
  }
  const auto from = values_.begin();
  return static_cast<std::size_t>(std::lower_bound(from + static_cast<std::ptrdiff_t>(low),
                                                   from + static_cast<std::ptrdiff_t>(high), edge) -
                                  from);
}

template <typename IsPast>
std::size_t SortedMoments::first_past(double edge, std::size_t begin, IsPast is_past) const {
  std::size_t index = lower_bound(edge, begin);
  while (index > begin && is_past(values_[index - 1])) --index;
  while (index < values_.size() && !is_past(values_[index])) ++index;
  return index;
}

double SortedMoments::squared_error(std::size_t begin, std::size_t end, double y) const {
  if (begin >= end) return 0.0;
  const Moments& from = before_[begin];
  const Moments& to = before_[end];
  return scalar::squared_error(to.count - from.count, to.sum - from.sum,
                               to.sum_of_squares - from.sum_of_squares, y);
}

ClippingSearch::ClippingSearch(const SortedMoments& moments, const Quantizer& quantizer,
                               bool symmetric, DType dtype)
    : moments_(moments), quantizer_(quantizer), symmetric_(symmetric), dtype_(dtype) {
  low_ = symmetric ? -moments.values().back() : std::min(moments.values().front(), 0.0);
  high_ = std::max(moments.values().back(), 0.0);
}

template <typename Q, typename C>
ClippingCost ClippingSearch::cost_as(C scale, std::int32_t zero_point) const {
  const scalar::CodeLadder<Q, C> ladder(scalar::make_element_quantizer<Q>(quantizer_), scale,
                                        zero_point, symmetric_);
  // The clipped values are at the two ends, if anywhere.
  const std::size_t inside_begin =
      symmetric_ ? 0 : moments_.first_past(ladder.edge(ladder.first()), 0, [&](double x) {
        return x > 0.0 || !ladder.clipped(x);
      });
  const std::size_t inside_end =
      moments_.first_past(ladder.edge(ladder.last() + 1), inside_begin,
                          [&](double x) { return x > 0.0 && ladder.clipped(x); });
  ClippingCost cost;
  cost.clipping =
      moments_.squared_error(0, inside_begin, ladder.value(ladder.first())) +
      moments_.squared_error(inside_end, moments_.values().size(), ladder.value(ladder.last()));
  // From run to run: codes that no value gets are passed over.
  for (std::size_t begin = inside_begin; begin < inside_end;) {
    const std::int32_t code = ladder.code(moments_.values()[begin]);
    const std::size_t end =
        code == ladder.last()
            ? inside_end
            : std::min(inside_end,
                       moments_.first_past(ladder.edge(code + 1), begin + 1,
                                           [&](double x) { return ladder.code(x) > code; }));
    cost.rounding += moments_.squared_error(begin, end, ladder.value(code));
    begin = end;
  }
  return cost;
}

template <typename C>
ClippingCost ClippingSearch::cost_in(ScaleZeroPoint params) const {
  return dispatch_quantizer(quantizer_, [&]<typename Q>() {
    return cost_as<Q, C>(static_cast<C>(params.scale), params.zero_point);
  });
}

ClippingCost ClippingSearch::cost(Range range) const {
  const ScaleZeroPoint params = range_to_scale(range, quantizer_, symmetric_, dtype_);
  return dtype_ == DType::kF64 ? cost_in<double>(params) : cost_in<float>(params);
}

Range ClippingSearch::range_of(RangeEnds ends) const {
  return {scalar::range_end(low_, ends.low), scalar::range_end(high_, ends.high)};
}

ClippingSearch::Candidate ClippingSearch::evaluate(RangeEnds ends, double clipping_weight) {
  const auto [known, is_new] = known_costs_.try_emplace(ends);
  if (is_new) known->second = cost(range_of(ends));
  return {known->second.rounding + clipping_weight * known->second.clipping, ends};
}

void ClippingSearch::search_symmetric(double clipping_weight, std::vector<Candidate>& candidates) {
  const auto try_at = [&](RangeEnds ends) {
    if (ends.is_valid()) candidates.push_back(evaluate(ends, clipping_weight));
  };
  for (int i = 0; i < scalar::kRangeSteps; ++i) try_at(scalar::symmetric_step(i));
  std::vector<int> steps(scalar::kRangeSteps);
  std::iota(steps.begin(), steps.end(), 0);
  const auto best = steps.begin() + scalar::kNumRefined;
  std::partial_sort(steps.begin(), best, steps.end(), [&](int a, int b) {
    const double cost_a = candidates[static_cast<std::size_t>(a)].cost;
    const double cost_b = candidates[static_cast<std::size_t>(b)].cost;
    return cost_a != cost_b ? cost_a < cost_b : a > b;
  });
  for (auto step = steps.begin(); step != best; ++step) {
    for (int i = 0; i < scalar::kRefinedCandidates; ++i) try_at(scalar::refined_step(*step, i));
  }
}

void ClippingSearch::search_affine(double clipping_weight, std::vector<Candidate>& candidates) {
  const bool has_low = low_ < 0.0;
  const bool has_high = high_ > 0.0;
  RangeEnds best{scalar::kRangeUnits, scalar::kRangeUnits};
  double best_cost = std::numeric_limits<double>::infinity();
  const auto try_at = [&](RangeEnds ends) {
    if (!ends.is_valid()) return;
    candidates.push_back(evaluate(ends, clipping_weight));
    if (candidates.back().cost < best_cost) {
      best_cost = candidates.back().cost;
      best = ends;
    }
  };
  for (int i = 0; i < scalar::num_affine_steps(has_low && has_high); ++i) {
    try_at(scalar::affine_step(i));
  }
  for (int move = 0; move < scalar::kNumMoves; ++move) {
    if (!(scalar::moves_high(move) ? has_high : has_low)) continue;
    const RangeEnds center = best;
    for (int i = 0; i < scalar::kMoveCandidates; ++i) {
      try_at(scalar::moved_ends(center, move, i));
    }
  }
}

std::vector<Range> ClippingSearch::best(double clipping_weight, std::size_t num_wanted,
                                        double slack, bool costs_are_estimates) {
  std::vector<Candidate> candidates;
  if (symmetric_) {
    search_symmetric(clipping_weight, candidates);
  } else {
    search_affine(clipping_weight, candidates);
  }
  const auto width = [](const Range& range) { return range.high * 0.5 - range.low * 0.5; };
  std::sort(candidates.begin(), candidates.end(), [&](const Candidate& a, const Candidate& b) {
    if (a.cost != b.cost) return a.cost < b.cost;
    const Range range_a = range_of(a.ends);
    const Range range_b = range_of(b.ends);
    if (width(range_a) != width(range_b)) return width(range_a) > width(range_b);
    return range_a.high > range_b.high;
  });
  std::vector<RangeEnds> chosen;
  for (const Candidate& candidate : candidates) {
    if (chosen.size() == num_wanted) break;
    if (!chosen.empty() && candidate.cost > candidates[0].cost * (1.0 + slack)) break;
    const bool is_repeated =
        costs_are_estimates && std::any_of(chosen.begin(), chosen.end(), [&](RangeEnds other) {
          return scalar::nearest_step(other) == scalar::nearest_step(candidate.ends);
        });
    if (!is_repeated) chosen.push_back(candidate.ends);
  }
  if (costs_are_estimates &&
      std::find(chosen.begin(), chosen.end(), scalar::kWidestRange) == chosen.end()) {
    chosen.push_back(scalar::kWidestRange);
  }
  std::vector<Range> result;
  for (const RangeEnds ends : chosen) result.push_back(range_of(ends));
  return result;
}

}  // namespace cuqat::calibration
