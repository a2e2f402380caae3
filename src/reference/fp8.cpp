#include "reference/fp8.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace cuqat::reference {

namespace {

struct Fp8Format {
  int mantissa_bits;
  int bias;
  int largest_code;   ///< Of a finite value.
  int overflow_code;  ///< Past the largest, where it does not saturate.
  int infinity_code;  ///< -1: there is none.
  int nan_code;
};

constexpr Fp8Format kE4M3{3, 7, 0x7e, 0x7f, -1, 0x7f};
constexpr Fp8Format kE5M2{2, 15, 0x7b, 0x7c, 0x7c, 0x7e};

const Fp8Format& description(Format format) { return format == Format::kE4M3 ? kE4M3 : kE5M2; }

/// The value that exponent and mantissa of a code spell, special codes not looked at.
double spelled_value(const Fp8Format& format, int code) {
  const int exponent = code >> format.mantissa_bits;
  const int mantissa = code - (exponent << format.mantissa_bits);
  if (exponent == 0) return std::ldexp(mantissa, 1 - format.bias - format.mantissa_bits);
  const int significand = mantissa + (1 << format.mantissa_bits);
  return std::ldexp(significand, exponent - format.bias - format.mantissa_bits);
}

/// Values of the codes 0, 1, ... to the largest finite one, and the one that would come next.
std::vector<double> make_values(const Fp8Format& format) {
  std::vector<double> values;
  for (int code = 0; code <= format.largest_code + 1; ++code) {
    values.push_back(spelled_value(format, code));
  }
  return values;
}

const std::vector<double>& values_of(Format format) {
  static const std::vector<double> e4m3 = make_values(kE4M3);
  static const std::vector<double> e5m2 = make_values(kE5M2);
  return format == Format::kE4M3 ? e4m3 : e5m2;
}

/// Code of the value nearest to a magnitude; largest_code + 1 for all that is past the format.
int nearest_code(Format format, double magnitude) {
  const std::vector<double>& values = values_of(format);
  const auto at_least = std::lower_bound(values.begin(), values.end(), magnitude);
  if (at_least == values.end()) return static_cast<int>(values.size()) - 1;
  const auto upper = static_cast<int>(at_least - values.begin());
  if (*at_least == magnitude) return upper;
  const int lower = upper - 1;
  const double middle = (*(at_least - 1) + *at_least) / 2.0;
  if (magnitude == middle) return lower % 2 == 0 ? lower : upper;
  return magnitude < middle ? lower : upper;
}

}  // namespace

std::uint8_t encode_fp8(Format format, double value, bool saturate) {
  const Fp8Format& fp8 = description(format);
  const int sign = std::signbit(value) ? 0x80 : 0;
  int code = fp8.nan_code;
  if (!std::isnan(value)) {
    code = nearest_code(format, std::fabs(value));
    if (code > fp8.largest_code) code = saturate ? fp8.largest_code : fp8.overflow_code;
  }
  return static_cast<std::uint8_t>(sign | code);
}

bool is_in_fp8_range(Format format, double value) {
  if (std::isnan(value)) return false;
  return nearest_code(format, std::fabs(value)) <= description(format).largest_code;
}

double decode_fp8(Format format, std::uint8_t code) {
  const Fp8Format& fp8 = description(format);
  const int magnitude = code & 0x7f;
  double value = std::numeric_limits<double>::quiet_NaN();
  if (magnitude <= fp8.largest_code) value = spelled_value(fp8, magnitude);
  if (magnitude == fp8.infinity_code) value = std::numeric_limits<double>::infinity();
  return (code & 0x80) != 0 ? std::copysign(value, -1.0) : value;
}

}  // namespace cuqat::reference
