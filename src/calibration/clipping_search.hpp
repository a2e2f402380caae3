// The clipping range of least squared error, from prefix sums over a sorted distribution.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "calibration/distribution.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/scalar/clipping_search.hpp"

namespace cuqat::calibration {

/// Squared error of a candidate: of the elements inside the range, and of the clipped ones.
struct ClippingCost {
  double rounding = 0.0;
  double clipping = 0.0;
};

/// A sorted distribution with prefix sums of n, x and x^2, and a quick way to find a value. It does
/// not depend on a format: searches for several share it. The distribution must outlive it.
class SortedMoments {
 public:
  /// At least one value is not 0.
  explicit SortedMoments(const Distribution& distribution);

  [[nodiscard]] const std::vector<double>& values() const noexcept { return values_; }

  /// Squared error of giving the values [begin, end) the value y.
  [[nodiscard]] double squared_error(std::size_t begin, std::size_t end, double y) const;

  /// The first index from `begin` on whose value is past the edge. The edge is only a guess; the
  /// predicate, false before the index and true from it on, decides.
  template <typename IsPast>
  [[nodiscard]] std::size_t first_past(double edge, std::size_t begin, IsPast is_past) const;

 private:
  struct Moments {
    double count = 0.0;
    double sum = 0.0;
    double sum_of_squares = 0.0;
  };
  [[nodiscard]] std::size_t lower_bound(double edge, std::size_t begin) const;

  const std::vector<double>& values_;
  std::vector<Moments> before_;        ///< Entry i is over the values before i.
  std::vector<std::uint32_t> bucket_;  ///< First value at or past each equal part of the span.
  double buckets_per_unit_ = 0.0;
};

/// Evaluates candidate ranges in O(levels): all elements that get one code are a run of the sorted
/// values, and with prefix sums of n, x and x^2 their error is Sxx - 2 y Sx + y^2 n. Where the runs
/// end is decided by the element functions themselves, so ties and rounding are the real ones.
/// Costs are kept: a search with another weight asks for many of the same.
class ClippingSearch {
 public:
  /// Of magnitudes for a symmetric search, of signed values for an affine one. `moments` must
  /// outlive the search.
  ClippingSearch(const SortedMoments& moments, const Quantizer& quantizer, bool symmetric,
                 DType dtype);

  [[nodiscard]] const Quantizer& quantizer() const noexcept { return quantizer_; }
  [[nodiscard]] bool symmetric() const noexcept { return symmetric_; }

  /// The best ranges by rounding + weight * clipping, best first: those that cost at most
  /// (1 + slack) times the least, `num_wanted` at most. Where costs are estimates, at most one from
  /// each coarse step (neighbours are alike) and the widest range, which needs no estimate, too.
  /// Symmetric: amax * i / 400 for i = 1..400, then sixteenths of a step around the best three.
  /// Affine: both ends scaled alike by i / 400; all pairs of twentieths; then each end in turn by
  /// steps of 1 / 400 and of 1 / 6400 around the best.
  [[nodiscard]] std::vector<Range> best(double clipping_weight, std::size_t num_wanted,
                                        double slack, bool costs_are_estimates);

 private:
  struct HashOfEnds {
    std::size_t operator()(scalar::RangeEnds ends) const noexcept {
      return static_cast<std::size_t>(ends.low) * 8191 + static_cast<std::size_t>(ends.high);
    }
  };
  struct Candidate {
    double cost;
    scalar::RangeEnds ends;
  };
  [[nodiscard]] Range range_of(scalar::RangeEnds ends) const;
  [[nodiscard]] Candidate evaluate(scalar::RangeEnds ends, double clipping_weight);
  void search_symmetric(double clipping_weight, std::vector<Candidate>& candidates);
  void search_affine(double clipping_weight, std::vector<Candidate>& candidates);

  [[nodiscard]] ClippingCost cost(Range range) const;
  template <typename Q, typename C>
  [[nodiscard]] ClippingCost cost_as(C scale, std::int32_t zero_point) const;
  template <typename C>
  [[nodiscard]] ClippingCost cost_in(ScaleZeroPoint params) const;

  const SortedMoments& moments_;
  Quantizer quantizer_;
  bool symmetric_;
  DType dtype_;
  double low_ = 0.0;  ///< Widest range: it contains 0.
  double high_ = 0.0;
  std::unordered_map<scalar::RangeEnds, ClippingCost, HashOfEnds> known_costs_;
};

}  // namespace cuqat::calibration
