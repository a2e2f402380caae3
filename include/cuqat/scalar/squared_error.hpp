// Squared quantization errors as integers (docs/numerics.md, "Squared errors"): one term, its unit,
// and the number that a sum of them stands for.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

/// min((error * reciprocal)^2, 1) in units of 2^-51, to nearest even, at least 1. No error is 0,
/// also where the reciprocal is infinite.
CUQAT_HD constexpr std::uint64_t squared_term(double error, double reciprocal) {
  const double t = error * reciprocal;
  const double square = t * t;
  const double capped = square < 1.0 ? square : 1.0;
  const double scaled = capped * 0x1p51;
  const double at_least_one = scaled < 1.0 ? 1.0 : scaled;
  const double kept = error == 0.0 ? 0.0 : at_least_one;
  // The unit in the last place of 2^52 is 1: the addition rounds to a whole number.
  return to_bits(kept + 0x1p52) - to_bits(0x1p52);
}

/// No rounding error exceeds it: s for integer formats, 32 s for E4M3, 8192 s for E5M2; amax where
/// that is less.
CUQAT_HD constexpr double rounding_unit(Format format, double scale, double amax) {
  const double steps = format == Format::kE4M3 ? 32.0 : format == Format::kE5M2 ? 8192.0 : 1.0;
  return amax < steps * scale ? amax : steps * scale;
}

/// high * 2^64 + low as the nearest f64, ties to even.
CUQAT_HD constexpr double number_of_128_bits(std::uint64_t high, std::uint64_t low) {
  if (high == 0) return static_cast<double>(low);
  int shift = 64;  // bits that do not fit into 64
  while (high >> 63 == 0) {
    high = high << 1 | low >> 63;
    low <<= 1;
    --shift;
  }
  // What is cut off decides nothing but ties.
  const double leading = static_cast<double>(high | (low != 0 ? 1u : 0u));
  return leading * from_bits(static_cast<std::uint64_t>(1023 + shift) << 52);
}

/// A sum of terms times unit^2.
CUQAT_HD constexpr double squared_sum_value(std::uint64_t high, std::uint64_t low, double unit) {
  return number_of_128_bits(high, low) * 0x1p-51 * unit * unit;
}

}  // namespace cuqat::scalar
