#include "original/quantize.hpp"

#include <algorithm>
#include <cmath>

#include "cuqat/original.hpp"
#include "original/arithmetic.hpp"

namespace cuqat::original {

std::int32_t integer_code(double x, double scale, std::int32_t zero_point, CodeRange codes) {
  const double rounded = std::round(x / scale + static_cast<double>(zero_point));
  return saturate_to_int32(clamp(rounded, codes.low, codes.high));
}

double integer_value(std::int32_t code, double scale, std::int32_t zero_point) {
  return static_cast<double>(wrapping_subtract(code, zero_point)) * scale;
}

double quantize_int8(double x, double scale, std::int32_t zero_point) {
  if (scale == 0.0) return x;
  return integer_value(integer_code(x, scale, zero_point, kInt8Codes), scale, zero_point);
}

double quantize_int4(double x, double scale, std::int32_t zero_point) {
  if (scale == 0.0) return x;
  return integer_value(integer_code(x, scale, zero_point, kInt4Codes), scale, zero_point);
}

double quantize_fp8(double x) {
  constexpr double kLargest = 448.0;
  constexpr double kSmallestNormal = 0x1p-6;
  constexpr double kSubnormalStep = 0x1p-9;
  constexpr double kMantissaLevels = 8.0;
  constexpr int kLeastExponent = -6;
  constexpr int kLargestExponent = 8;

  if (x == 0.0 || std::isnan(x)) return 0.0;
  const double sign = x < 0.0 ? -1.0 : 1.0;
  const double magnitude = std::min(std::abs(x), kLargest);
  if (magnitude < kSmallestNormal) {
    const double mantissa = std::min(std::round(magnitude / kSubnormalStep), kMantissaLevels - 1.0);
    return sign * mantissa * kSubnormalStep;
  }

  // log2 may round up to a whole number just below a power of two: the significand is then less
  // than 1 and its fraction negative. So frexp would be another function.
  const auto floor_log2 = static_cast<int>(std::floor(std::log2(magnitude)));
  const double power = std::ldexp(1.0, std::clamp(floor_log2, kLeastExponent, kLargestExponent));
  const double fraction = (magnitude / power - 1.0) * kMantissaLevels;
  const double mantissa = clamp(std::round(fraction), 0.0, kMantissaLevels - 1.0);
  return sign * ((1.0 + mantissa / kMantissaLevels) * power);
}

}  // namespace cuqat::original
