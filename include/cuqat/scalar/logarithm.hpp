// The natural logarithm with the same bits everywhere. Entropy compares sums of logarithms, and
// those of C libraries and of CUDA differ in the last place.
#pragma once

#include <cstdint>

#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

/// ln(x) of a positive normal number, within 2 units in the last place.
///
/// x = 2^k m with m in [1/sqrt(2), sqrt(2)), and ln m = 2 artanh s = 2 (s + s^3/3 + s^5/5 + ...)
/// with s = (m - 1) / (m + 1), |s| < 0.172: past s^21/21 the terms are below 2^-55.
CUQAT_HD constexpr double logarithm(double x) {
  constexpr std::uint64_t kHalfRoot = 0x3fe6'a09e'667f'3bcdu;  // 1/sqrt(2)
  constexpr double kLn2High = 0x1.62e42fefa38p-1;              // times any k is exact
  constexpr double kLn2Low = 0x1.ef35793c7673p-45;
  // The pattern counted from 1/sqrt(2) on, in binades.
  const std::int64_t k = static_cast<std::int64_t>(to_bits(x) - kHalfRoot) >> 52;
  const double m = from_bits(to_bits(x) - (static_cast<std::uint64_t>(k) << 52));
  const double f = m - 1.0;
  const double s = f / (m + 1.0);
  const double z = s * s;
  double series = 1.0 / 21.0;
  series = series * z + 1.0 / 19.0;
  series = series * z + 1.0 / 17.0;
  series = series * z + 1.0 / 15.0;
  series = series * z + 1.0 / 13.0;
  series = series * z + 1.0 / 11.0;
  series = series * z + 1.0 / 9.0;
  series = series * z + 1.0 / 7.0;
  series = series * z + 1.0 / 5.0;
  series = series * z + 1.0 / 3.0;
  // 2 s is f - s f: what is rounded is small beside f, which is exact.
  const double ln_m = f - s * (f - 2.0 * (z * series));
  const auto exponent = static_cast<double>(k);
  return exponent * kLn2High + (exponent * kLn2Low + ln_m);
}

}  // namespace cuqat::scalar
