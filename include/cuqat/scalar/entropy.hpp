// The divergence of one candidate of modelopt's entropy rule (docs/calibration.md), from prefix
// sums. The host's search and the kernels' are this function.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/logarithm.hpp"

namespace cuqat::scalar {

/// Bins of both rules, and the first candidate of modelopt's.
inline constexpr int kEntropyBins = 2048;
inline constexpr int kFirstEntropyCandidate = 128;

/// Levels that the bins are merged into: half of the codes. The floating-point formats have eight
/// bits as int8 has; entropy knows equal steps only.
CUQAT_HD constexpr int num_entropy_levels(Format format) {
  return format == Format::kInt4 ? 8 : 128;
}

/// Sums of c ln c over the bins are kept for runs of so many, and within them, as those over the
/// values of a distribution are (kMomentsRun).
inline constexpr std::size_t kEntropyRun = 64;

/// Entry i is over the bins before i: how many elements, how many bins that are not empty, and the
/// sum of c ln c.
struct EntropyPrefixes {
  const std::uint64_t* count;
  const std::uint32_t* non_empty;
  const double* c_log_c;
};

CUQAT_HD constexpr double x_log_x(double x) { return x > 0.0 ? x * logarithm(x) : 0.0; }

/// sum p ln(p / q), p and q normalised, for the first i of num_bins bins, i at least 1. With P the
/// total, Q the count kept, S and m the count and the non-empty bins of a level, and all bins past
/// i folded into the last:
///   KL = (sum p ln p - sum over levels (sum of p) ln(S / m)) / P + ln(Q / P)
CUQAT_HD double modelopt_divergence(const EntropyPrefixes& prefix, std::size_t num_bins,
                                    std::size_t i, std::size_t num_levels) {
  constexpr double kInfinity = from_bits(FloatTraits<double>::kInfinity);
  const auto count_between = [&](std::size_t begin, std::size_t end) {
    return static_cast<double>(prefix.count[end] - prefix.count[begin]);
  };
  const double total = count_between(0, num_bins);
  const double kept = count_between(0, i);
  const double outliers = count_between(i, num_bins);
  const double last = count_between(i - 1, i);
  if (kept == 0.0 || (last == 0.0 && outliers > 0.0)) return kInfinity;
  double cross = 0.0;
  std::size_t begin = 0;
  // Bin k is in level floor(k * num_levels / i), so level l ends before bin ceil((l + 1) * i /
  // num_levels); quotient and remainder are carried along instead of divided anew.
  const std::size_t step = i / num_levels;
  const std::size_t step_remainder = i % num_levels;
  std::size_t floor_end = 0;
  std::size_t remainder = 0;
  for (std::size_t level = 0; level < num_levels; ++level) {
    floor_end += step;
    remainder += step_remainder;
    if (remainder >= num_levels) {
      remainder -= num_levels;
      ++floor_end;
    }
    const std::size_t end = floor_end + (remainder != 0 ? 1 : 0);
    const double sum = count_between(begin, end);
    if (sum > 0.0) {
      const double mean = sum / (prefix.non_empty[end] - prefix.non_empty[begin]);
      cross += (end == i ? sum + outliers : sum) * logarithm(mean);
    }
    begin = end;
  }
  const double own = prefix.c_log_c[i - 1] + x_log_x(last + outliers);
  const double divergence = (own - cross) / total + logarithm(kept / total);
  // Where p and q are equal only rounding is left: it must not decide among equals.
  constexpr double kRoundingOnly = 1e-12;
  return magnitude(divergence) < kRoundingOnly ? 0.0 : divergence;
}

}  // namespace cuqat::scalar
