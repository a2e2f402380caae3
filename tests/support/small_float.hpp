// Binary floating-point types of 8 and 16 bits, from their definition and by real arithmetic: slow,
// and sharing nothing with the bit operations that it judges.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

namespace cuqat::test {

struct SmallFloat {
  int exponent_bits;
  int mantissa_bits;
  /// True: the exponent of all ones holds infinity and NaN, as IEEE 754 has it. False: only the
  /// pattern of all ones is a NaN, and there is no infinity.
  bool ieee;
};

inline constexpr SmallFloat kBFloat16{8, 7, true};
inline constexpr SmallFloat kBinary16{5, 10, true};
inline constexpr SmallFloat kE4M3{4, 3, false};
inline constexpr SmallFloat kE5M2{5, 2, true};

constexpr int bias(const SmallFloat& type) { return (1 << (type.exponent_bits - 1)) - 1; }

constexpr std::uint32_t sign_bit(const SmallFloat& type) {
  return 1u << (type.exponent_bits + type.mantissa_bits);
}

/// Pattern of the largest finite number.
constexpr std::uint32_t largest_pattern(const SmallFloat& type) {
  const std::uint32_t all_ones = sign_bit(type) - 1;
  return type.ieee ? all_ones - (1u << type.mantissa_bits) : all_ones - 1;
}

/// The positive quiet NaN; in a type of one NaN, that one.
constexpr std::uint32_t nan_pattern(const SmallFloat& type) {
  const std::uint32_t infinity = largest_pattern(type) + 1;
  return type.ieee ? infinity | (1u << (type.mantissa_bits - 1)) : infinity;
}

/// The number of a pattern; any NaN is the quiet NaN.
inline double decode(const SmallFloat& type, std::uint32_t pattern) {
  const std::uint32_t rest = pattern & (sign_bit(type) - 1);
  double result = 0.0;
  if (rest <= largest_pattern(type)) {
    const int exponent = static_cast<int>(rest >> type.mantissa_bits);
    const int mantissa = static_cast<int>(rest) & ((1 << type.mantissa_bits) - 1);
    const int implicit_one = exponent == 0 ? 0 : 1 << type.mantissa_bits;
    const int power = (exponent == 0 ? 1 : exponent) - bias(type) - type.mantissa_bits;
    result = std::ldexp(mantissa + implicit_one, power);
  } else if (type.ieee && rest == largest_pattern(type) + 1) {
    result = std::numeric_limits<double>::infinity();
  } else {
    return std::numeric_limits<double>::quiet_NaN();
  }
  return (pattern & sign_bit(type)) != 0 ? -result : result;
}

/// To nearest, ties to even. What overflows becomes infinite, or NaN in a type without infinity.
/// A NaN becomes the positive quiet NaN.
inline std::uint32_t encode(const SmallFloat& type, double value) {
  if (std::isnan(value)) return nan_pattern(type);
  const std::uint32_t sign = std::signbit(value) ? sign_bit(type) : 0u;
  const double positive = std::fabs(value);
  if (positive == 0.0) return sign;
  const std::uint32_t overflow = sign | (largest_pattern(type) + 1);
  if (std::isinf(positive)) return overflow;
  const int least = 1 - bias(type);
  const int exponent = std::ilogb(positive) < least ? least : std::ilogb(positive);
  const double unit = std::ldexp(1.0, exponent - type.mantissa_bits);
  const double units = std::nearbyint(positive / unit);
  if (units * unit > decode(type, largest_pattern(type))) return overflow;
  const int mantissa = static_cast<int>(units) - (1 << type.mantissa_bits);
  const int pattern = ((exponent + bias(type)) << type.mantissa_bits) + mantissa;
  return sign | static_cast<std::uint32_t>(pattern);
}

}  // namespace cuqat::test
