// The search for the clipping range of least squared error (docs/calibration.md, "mse"): which
// ranges are tried, in which order, and what one costs. The host's search and the kernels' are
// these functions.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/element.hpp"

namespace cuqat::scalar {

/// Sums over the sorted values are kept for runs of so many, and within them: sum_before[i] is the
/// sum of the runs before i's, added one after the other, plus the sum of the values before i in
/// its run. That is a fixed order which does not go from the first value to the last.
inline constexpr std::size_t kMomentsRun = 256;

/// Candidates of the line search; each step is cut into kRangeRefinement around the best.
inline constexpr std::int32_t kRangeSteps = 400;
inline constexpr std::int32_t kRangeRefinement = 16;
inline constexpr std::int32_t kRangeUnits = kRangeSteps * kRangeRefinement;
/// Symmetric: so many of the best steps are refined.
inline constexpr int kNumRefined = 3;
inline constexpr int kRefinedCandidates = 2 * (kRangeRefinement - 1);
/// Affine: candidates of each end in the coarse grid.
inline constexpr std::int32_t kAffineGrid = 20;
/// Affine: candidates on each side of the best when one end is moved: a little more than a step of
/// the coarser search.
inline constexpr std::int32_t kAffineReach = 24;
inline constexpr int kMoveCandidates = 2 * kAffineReach;
inline constexpr int kNumMoves = 8;

/// Candidates whose errors are then summed exactly.
inline constexpr int kMaxFinalists = 4;
/// Equal bins of a sign where a search looks at bins. An int8 step is more than 500 of them for any
/// range worth choosing.
inline constexpr int kSearchBins = 1 << 16;
/// Bins of equal relative width are the leading bits of f32 numbers, of a smaller amax those of the
/// numbers times a power of two that brings it near 1. Far below amax they do not matter any more.
inline constexpr double kLeastRelativeAmax = 0x1p-90;

/// How far a candidate's cost may be off by rounding, relative.
inline constexpr double kRoundingSlack = 1e-9;
/// The same by taking bins for values.
inline constexpr double kBinningSlack = 1e-2;
/// AIMET weighs clipping so against rounding.
inline constexpr double kSqnrClippingWeight = 3.0;

/// A range's ends, as multiples of 1 / kRangeUnits of the widest range's.
struct RangeEnds {
  std::int32_t low = 0;
  std::int32_t high = 0;

  /// Each end is part of the widest range and not 0.
  [[nodiscard]] CUQAT_HD constexpr bool is_valid() const {
    return low > 0 && low <= kRangeUnits && high > 0 && high <= kRangeUnits;
  }
  friend CUQAT_HD constexpr bool operator==(RangeEnds a, RangeEnds b) {
    return a.low == b.low && a.high == b.high;
  }
};

/// The widest range.
inline constexpr RangeEnds kWidestRange{kRangeUnits, kRangeUnits};

/// Ends to the nearest step of the line search: of candidates that are alike so, one is enough
/// where costs are estimates.
CUQAT_HD constexpr RangeEnds nearest_step(RangeEnds ends) {
  return {(ends.low + kRangeRefinement / 2) / kRangeRefinement,
          (ends.high + kRangeRefinement / 2) / kRangeRefinement};
}

/// Candidate i of the symmetric line, i in [0, kRangeSteps).
CUQAT_HD constexpr RangeEnds symmetric_step(int i) {
  const std::int32_t end = (i + 1) * kRangeRefinement;
  return {end, end};
}

/// Candidate i of those around step `step`, i in [0, kRefinedCandidates); some are not valid.
CUQAT_HD constexpr RangeEnds refined_step(int step, int i) {
  const std::int32_t offset =
      i < kRangeRefinement - 1 ? i - (kRangeRefinement - 1) : i - (kRangeRefinement - 2);
  const std::int32_t end = (step + 1) * kRangeRefinement + offset;
  return {end, end};
}

/// Candidate i of the affine search's first round: both ends alike, the widest first, then, where
/// the range has two sides, all pairs of the grid that are not alike.
CUQAT_HD constexpr int num_affine_steps(bool has_both_sides) {
  return kRangeSteps + (has_both_sides ? kAffineGrid * (kAffineGrid - 1) : 0);
}
CUQAT_HD constexpr RangeEnds affine_step(int i) {
  if (i < kRangeSteps) {
    const std::int32_t end = (kRangeSteps - i) * kRangeRefinement;
    return {end, end};
  }
  constexpr std::int32_t kGridStep = kRangeUnits / kAffineGrid;
  const std::int32_t pair = i - kRangeSteps;
  const std::int32_t low = kAffineGrid - pair / (kAffineGrid - 1);
  std::int32_t high = kAffineGrid - pair % (kAffineGrid - 1);
  if (high <= low) --high;  // the pair alike is left out
  return {low * kGridStep, high * kGridStep};
}

/// Whether the affine search's move number `move` moves the high end. The high and the low end take
/// turns, twice by coarse steps, then twice by fine ones.
CUQAT_HD constexpr bool moves_high(int move) { return move % 2 == 0; }
/// Candidate i of a move from `center`, i in [0, kMoveCandidates); some are not valid.
CUQAT_HD constexpr RangeEnds moved_ends(RangeEnds center, int move, int i) {
  const std::int32_t step = move < kNumMoves / 2 ? kRangeRefinement : 1;
  const std::int32_t offset = i < kAffineReach ? i - kAffineReach : i - kAffineReach + 1;
  (moves_high(move) ? center.high : center.low) += offset * step;
  return center;
}

/// An end of a candidate.
CUQAT_HD constexpr double range_end(double widest, std::int32_t units) {
  return widest * (static_cast<double>(units) / kRangeUnits);
}

/// Squared error of giving n values of these sums the value y.
CUQAT_HD constexpr double squared_error(double n, double sum, double squares, double y) {
  const double error = squares - 2.0 * y * sum + y * y * n;
  // Rounding may leave less than nothing; a value that is not finite is no value to choose.
  return is_finite(error) ? (error > 0.0 ? error : 0.0) : from_bits(FloatTraits<double>::kInfinity);
}

/// Codes of a quantizer in ascending order of value, from that of 0 (magnitudes) or of the lowest
/// value on.
template <typename Q, typename C>
class CodeLadder {
 public:
  CUQAT_HD CodeLadder(const Q& q, C scale, std::int32_t zero_point, bool magnitudes)
      : q_(q), scale_(scale), zero_point_(zero_point), first_(magnitudes ? 0 : q.low) {
    if constexpr (is_integer(Q::kFormat)) {
      last_ = q.high;
    } else {
      last_ = Fp8Traits<Q::kFormat>::kMaxCode;
    }
  }

  [[nodiscard]] CUQAT_HD std::int32_t first() const { return first_; }
  [[nodiscard]] CUQAT_HD std::int32_t last() const { return last_; }

  /// Never falls as x grows.
  [[nodiscard]] CUQAT_HD std::int32_t code(double x) const {
    return quantize_element(q_, static_cast<C>(x), scale_, zero_point_);
  }
  /// True for the least x, or the largest, or both, and for nothing between.
  [[nodiscard]] CUQAT_HD bool clipped(double x) const {
    return is_clipped(q_, static_cast<C>(x), scale_, zero_point_);
  }
  [[nodiscard]] CUQAT_HD double value(std::int32_t code) const {
    return static_cast<double>(dequantize_element(q_, code, scale_, zero_point_));
  }
  /// About where values begin to get `code`; past the last code, where they begin to be clipped.
  [[nodiscard]] double edge(std::int32_t code) const {
    const auto scale = static_cast<double>(scale_);
    if constexpr (is_integer(Q::kFormat)) {
      return (static_cast<double>(code) - zero_point_ - 0.5) * scale;
    } else {
      using Fp8 = Fp8Traits<Q::kFormat>;
      if (code > last_) return Fp8::kOverflowTie * scale;
      const double above = fp8_decode<Q::kFormat, double>(static_cast<std::uint8_t>(code));
      const double below = fp8_decode<Q::kFormat, double>(static_cast<std::uint8_t>(code - 1));
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

}  // namespace cuqat::scalar
