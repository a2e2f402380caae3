// 2 to any power with the same bits everywhere, as those of C libraries and of CUDA differ.
#pragma once

#include <cstdint>

#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/rounding.hpp"

namespace cuqat::scalar {

/// 2^x for x in [-1022, 1023], within 2 units in the last place.
///
/// 2^x = 2^n e^t with n the whole number nearest to x and t = (x - n) ln 2, |t| < 0.35: past
/// t^13/13! the terms of the series are below 2^-57.
CUQAT_HD double power_of_two(double x) {
  constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  const double n = round_half_even(x);
  const double t = (x - n) * kLn2;
  double series = 1.0;
  for (int i = 13; i > 0; --i) series = series * t / i + 1.0;
  return series * from_bits(static_cast<std::uint64_t>(static_cast<std::int64_t>(n) + 1023) << 52);
}

}  // namespace cuqat::scalar
