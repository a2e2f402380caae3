#include "reference/number.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

namespace cuqat::reference {

namespace {

/// A binary format of 16 bits: sign, exponent, mantissa.
struct HalfFormat {
  int exponent_bits;
  int mantissa_bits;

  [[nodiscard]] int bias() const { return (1 << (exponent_bits - 1)) - 1; }
  [[nodiscard]] int least_exponent() const { return 1 - bias(); }
  [[nodiscard]] int infinity() const { return ((1 << exponent_bits) - 1) << mantissa_bits; }
  [[nodiscard]] int quiet_nan() const { return infinity() | (1 << (mantissa_bits - 1)); }
};

constexpr HalfFormat kBFloat16{8, 7};
constexpr HalfFormat kFloat16{5, 10};

double decode(const HalfFormat& format, std::uint16_t pattern) {
  const int magnitude = pattern & 0x7fff;
  const int exponent = magnitude >> format.mantissa_bits;
  const int mantissa = magnitude - (exponent << format.mantissa_bits);
  double value = 0.0;
  if (magnitude > format.infinity()) {
    value = std::numeric_limits<double>::quiet_NaN();
  } else if (magnitude == format.infinity()) {
    value = std::numeric_limits<double>::infinity();
  } else if (exponent == 0) {
    value = std::ldexp(mantissa, format.least_exponent() - format.mantissa_bits);
  } else {
    const int significand = mantissa + (1 << format.mantissa_bits);
    value = std::ldexp(significand, exponent - format.bias() - format.mantissa_bits);
  }
  return (pattern & 0x8000) != 0 ? std::copysign(value, -1.0) : value;
}

std::uint16_t encode(const HalfFormat& format, double value) {
  if (std::isnan(value)) return static_cast<std::uint16_t>(format.quiet_nan());
  const int sign = std::signbit(value) ? 0x8000 : 0;
  const double magnitude = std::fabs(value);
  int pattern = format.infinity();
  if (magnitude == 0.0) {
    pattern = 0;
  } else if (std::isfinite(magnitude)) {
    const int exponent = std::max(std::ilogb(magnitude), format.least_exponent());
    // In units of the last place: exact, but for the rounding to a whole number.
    const double units = std::nearbyint(std::ldexp(magnitude, format.mantissa_bits - exponent));
    // Units that carry into the next exponent, and the leading 1 of a normal number, add 1 to it.
    const double code =
        std::ldexp(exponent - format.least_exponent(), format.mantissa_bits) + units;
    pattern = static_cast<int>(std::min<double>(code, format.infinity()));
  }
  return static_cast<std::uint16_t>(sign | pattern);
}

/// memcpy, as an element may lie at any address.
template <typename T>
T read(const void* data, std::int64_t index) {
  T value;
  std::memcpy(&value, static_cast<const unsigned char*>(data) + index * std::int64_t{sizeof(T)},
              sizeof(T));
  return value;
}

template <typename T>
void write(void* data, std::int64_t index, T value) {
  std::memcpy(static_cast<unsigned char*>(data) + index * std::int64_t{sizeof(T)}, &value,
              sizeof(T));
}

}  // namespace

double load(DType dtype, const void* data, std::int64_t index) {
  switch (dtype) {
    case DType::kF32:
      return read<float>(data, index);
    case DType::kF64:
      return read<double>(data, index);
    case DType::kF16:
      return decode(kFloat16, read<std::uint16_t>(data, index));
    case DType::kBF16:
      return decode(kBFloat16, read<std::uint16_t>(data, index));
  }
  return 0.0;
}

void store(DType dtype, void* data, std::int64_t index, double value) {
  if (std::isnan(value)) value = std::numeric_limits<double>::quiet_NaN();
  switch (dtype) {
    case DType::kF32:
      write(data, index, static_cast<float>(value));
      break;
    case DType::kF64:
      write(data, index, value);
      break;
    case DType::kF16:
      write(data, index, encode(kFloat16, value));
      break;
    case DType::kBF16:
      write(data, index, encode(kBFloat16, value));
      break;
  }
}

}  // namespace cuqat::reference
