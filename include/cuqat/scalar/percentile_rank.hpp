// Which order statistic a percentile is.
#pragma once

#include <cstdint>

#include "cuqat/host_device.hpp"

namespace cuqat::scalar {

namespace detail {

/// A rank computed in f64, at most n - 1. The comparison comes before the cast: for n near 2^63 the
/// f64 may be 2^63 itself.
CUQAT_HD std::int64_t rank_below(double rank, std::int64_t n) {
  return rank >= static_cast<double>(n - 1) ? n - 1 : static_cast<std::int64_t>(rank);
}

}  // namespace detail

/// ceil(p / 100 * n) - 1, at least 0, of n > 0 magnitudes and p in [0, 100].
CUQAT_HD std::int64_t percentile_rank(std::int64_t n, double p) {
  const double rank = __builtin_ceil(p / 100.0 * static_cast<double>(n)) - 1.0;
  return detail::rank_below(rank > 0.0 ? rank : 0.0, n);
}

/// With f = (100 - p) / 200: floor(n * f) and ceil(n * (1 - f)), at most n - 1.
CUQAT_HD std::int64_t low_percentile_rank(std::int64_t n, double p) {
  const double f = (100.0 - p) / 200.0;
  return detail::rank_below(__builtin_floor(static_cast<double>(n) * f), n);
}
CUQAT_HD std::int64_t high_percentile_rank(std::int64_t n, double p) {
  const double f = (100.0 - p) / 200.0;
  return detail::rank_below(__builtin_ceil(static_cast<double>(n) * (1.0 - f)), n);
}

}  // namespace cuqat::scalar
