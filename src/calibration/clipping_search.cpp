#include "calibration/clipping_search.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "calibration/dispatch.hpp"
#include "cuqat/scalar/element.hpp"

namespace cuqat::calibration {
namespace {

constexpr int kSteps = 400;      ///< Candidates of the coarse line search.
constexpr int kRefinement = 16;  ///< Each step is cut into so many around the best.
constexpr int kUnit = kSteps * kRefinement;
constexpr int kAffineGrid = 20;  ///< Candidates of each end in the coarse affine grid.
constexpr std::size_t kMaxBuckets = 4096;

/// Codes of a quantizer in ascending order of value: code(0) is that of 0 or of the lowest value.
template <typename Q, typename C>
class CodeLadder {
 public:
  CodeLadder(const Q& q, C scale, std::int32_t zero_point, bool magnitudes)
      : q_(q), scale_(scale), zero_point_(zero_point), first_(magnitudes ? 0 : q.low) {
    if constexpr (is_integer(Q::kFormat)) {
      last_ = q.high;
    } else {
      last_ = scalar::Fp8Traits<Q::kFormat>::kMaxCode;
    }
  }

  [[nodiscard]] std::int32_t first() const { return first_; }
  [[nodiscard]] std::int32_t last() const { return last_; }

  [[nodiscard]] std::int32_t code(double x) const {
    return scalar::quantize_element(q_, static_cast<C>(x), scale_, zero_point_);
  }
  [[nodiscard]] bool clipped(double x) const {
    return scalar::is_clipped(q_, static_cast<C>(x), scale_, zero_point_);
  }
  [[nodiscard]] double value(std::int32_t code) const {
    return static_cast<double>(scalar::dequantize_element(q_, code, scale_, zero_point_));
  }
  /// About where values begin to get `code`; past the last code, where they begin to be clipped.
  [[nodiscard]] double edge(std::int32_t code) const {
    const auto scale = static_cast<double>(scale_);
    if constexpr (is_integer(Q::kFormat)) {
      return (static_cast<double>(code) - zero_point_ - 0.5) * scale;
    } else {
      using Fp8 = scalar::Fp8Traits<Q::kFormat>;
      if (code > last_) return Fp8::kOverflowTie * scale;
      const double above = scalar::fp8_decode<Q::kFormat, double>(static_cast<std::uint8_t>(code));
      const double below =
          scalar::fp8_decode<Q::kFormat, double>(static_cast<std::uint8_t>(code - 1));
      return (above + below) * 0.5 * scale;
    }
  }

 private:
  Q q_;
  C scale_;
  std::int32_t zero_point_;
  std::int32_t first_;
  std::int32_t last_ = 0;
};

}  // namespace

SortedMoments::SortedMoments(const Distribution& distribution)
    : values_(distribution.values),
      before_(distribution.size() + 1),
      bucket_(std::min(kMaxBuckets, std::bit_ceil(distribution.size())) + 2) {
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const auto n = static_cast<double>(distribution.counts[i]);
    const double x = values_[i];
    const Moments& m = before_[i];
    before_[i + 1] = {m.count + n, m.sum + n * x, m.sum_of_squares + n * (x * x)};
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
  const double n = to.count - from.count;
  const double sum = to.sum - from.sum;
  const double squares = to.sum_of_squares - from.sum_of_squares;
  const double error = squares - 2.0 * y * sum + y * y * n;
  // Rounding may leave less than nothing; a value that is not finite is no value to choose.
  return std::isfinite(error) ? std::max(0.0, error) : std::numeric_limits<double>::infinity();
}

ClippingSearch::ClippingSearch(const SortedMoments& moments, const Quantizer& quantizer,
                               bool symmetric, DType dtype)
    : moments_(moments), quantizer_(quantizer), symmetric_(symmetric), dtype_(dtype) {
  low_ = symmetric ? -moments.values().back() : std::min(moments.values().front(), 0.0);
  high_ = std::max(moments.values().back(), 0.0);
}

template <typename Q, typename C>
ClippingCost ClippingSearch::cost_as(C scale, std::int32_t zero_point) const {
  const CodeLadder<Q, C> ladder(scalar::make_element_quantizer<Q>(quantizer_), scale, zero_point,
                                symmetric_);
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

Range ClippingSearch::range_of(Ends ends) const {
  return {low_ * (static_cast<double>(ends.low) / kUnit),
          high_ * (static_cast<double>(ends.high) / kUnit)};
}

ClippingSearch::Candidate ClippingSearch::evaluate(Ends ends, double clipping_weight) {
  const auto [known, is_new] = known_costs_.try_emplace(ends);
  if (is_new) known->second = cost(range_of(ends));
  return {known->second.rounding + clipping_weight * known->second.clipping, ends};
}

void ClippingSearch::search_symmetric(double clipping_weight, std::vector<Candidate>& candidates) {
  const auto try_at = [&](int end) { candidates.push_back(evaluate({end, end}, clipping_weight)); };
  for (int i = 1; i <= kSteps; ++i) try_at(i * kRefinement);
  std::vector<int> order(kSteps);
  for (int i = 0; i < kSteps; ++i) order[static_cast<std::size_t>(i)] = i;
  constexpr int kNumRefined = 3;
  std::partial_sort(order.begin(), order.begin() + kNumRefined, order.end(), [&](int a, int b) {
    const double cost_a = candidates[static_cast<std::size_t>(a)].cost;
    const double cost_b = candidates[static_cast<std::size_t>(b)].cost;
    return cost_a != cost_b ? cost_a < cost_b : a > b;
  });
  for (int best = 0; best < kNumRefined; ++best) {
    const int center = (order[static_cast<std::size_t>(best)] + 1) * kRefinement;
    for (int j = center - kRefinement + 1; j < center + kRefinement; ++j) {
      if (j != center && j > 0 && j <= kUnit) try_at(j);
    }
  }
}

void ClippingSearch::search_affine(double clipping_weight, std::vector<Candidate>& candidates) {
  const bool has_low = low_ < 0.0;
  const bool has_high = high_ > 0.0;
  Ends best{kUnit, kUnit};
  double best_cost = std::numeric_limits<double>::infinity();
  const auto try_at = [&](Ends ends) {
    candidates.push_back(evaluate(ends, clipping_weight));
    if (candidates.back().cost < best_cost) {
      best_cost = candidates.back().cost;
      best = ends;
    }
  };
  for (int i = kSteps; i >= 1; --i) try_at({i * kRefinement, i * kRefinement});
  if (has_low && has_high) {
    constexpr int kGridStep = kUnit / kAffineGrid;
    for (int low = kAffineGrid; low >= 1; --low) {
      for (int high = kAffineGrid; high >= 1; --high) {
        if (low != high) try_at({low * kGridStep, high * kGridStep});
      }
    }
  }
  for (const int step : {kRefinement, kRefinement, 1, 1}) {
    constexpr int kReach = 24;  // a little more than a step of the coarser search
    for (const bool move_high : {true, false}) {
      if (!(move_high ? has_high : has_low)) continue;
      const Ends center = best;
      for (int j = -kReach; j <= kReach; ++j) {
        Ends ends = center;
        int& moved = move_high ? ends.high : ends.low;
        moved += j * step;
        if (j != 0 && moved > 0 && moved <= kUnit) try_at(ends);
      }
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
  const auto coarse = [](Ends ends) {
    constexpr int kHalf = kRefinement / 2;
    return Ends{(ends.low + kHalf) / kRefinement, (ends.high + kHalf) / kRefinement};
  };
  std::vector<Ends> chosen;
  for (const Candidate& candidate : candidates) {
    if (chosen.size() == num_wanted) break;
    if (!chosen.empty() && candidate.cost > candidates[0].cost * (1.0 + slack)) break;
    const bool is_repeated =
        costs_are_estimates && std::any_of(chosen.begin(), chosen.end(), [&](Ends other) {
          return coarse(other) == coarse(candidate.ends);
        });
    if (!is_repeated) chosen.push_back(candidate.ends);
  }
  constexpr Ends kWidest{kUnit, kUnit};
  if (costs_are_estimates && std::find(chosen.begin(), chosen.end(), kWidest) == chosen.end()) {
    chosen.push_back(kWidest);
  }
  std::vector<Range> result;
  for (const Ends ends : chosen) result.push_back(range_of(ends));
  return result;
}

}  // namespace cuqat::calibration
