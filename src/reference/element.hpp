// One element through a quantizer, step by step as docs/numerics.md writes it. C is the compute
// type: each named constant below is one operation, rounded once.
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "cuqat/format.hpp"
#include "reference/fp8.hpp"

namespace cuqat::reference {

/// What quantizing an element gives.
template <typename C>
struct Outcome {
  std::uint8_t code = 0;
  C value{};             ///< Fake-quantized.
  bool clipped = false;  ///< Also for NaN.
  bool below = false;    ///< Clipped at the lower end.
};

/// a - b in int32; it wraps.
inline std::int32_t subtract(std::int32_t a, std::int32_t b) {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(std::int64_t{a} - std::int64_t{b}));
}

/// The value of a code. Integer codes are two's complement in the whole byte.
template <typename C>
C dequantize_element(const Quantizer& quantizer, std::uint8_t code, C scale,
                     std::int32_t zero_point) {
  if (is_integer(quantizer.format)) {
    const auto difference = static_cast<C>(subtract(static_cast<std::int8_t>(code), zero_point));
    return difference * scale;
  }
  const auto decoded = static_cast<C>(decode_fp8(quantizer.format, code));
  return decoded * scale;
}

/// Rounded to a whole number, not yet clamped.
template <typename C>
C unclamped(Rounding rounding, C x, C scale, std::int32_t zero_point) {
  const C quotient = x / scale;
  const auto zero = static_cast<C>(zero_point);
  if (rounding == Rounding::kNearestEven) {
    const C whole = std::nearbyint(quotient);
    return whole + zero;
  }
  const C shifted = quotient + zero;
  return std::round(shifted);
}

template <typename C>
Outcome<C> quantize_integer(const Quantizer& quantizer, C x, C scale, std::int32_t zero_point) {
  const auto least = static_cast<C>(qmin(quantizer));
  const auto largest = static_cast<C>(qmax(quantizer));
  const bool nan = std::isnan(x);
  C number = nan ? static_cast<C>(zero_point) : unclamped(quantizer.rounding, x, scale, zero_point);
  Outcome<C> result;
  result.below = !nan && number < least;
  result.clipped = nan || number < least || number > largest;
  if (number < least) number = least;
  if (number > largest) number = largest;
  result.code = static_cast<std::uint8_t>(static_cast<std::int32_t>(number));
  return result;
}

template <typename C>
Outcome<C> quantize_fp8(const Quantizer& quantizer, C x, C scale) {
  // A NaN keeps its sign; that of a quotient is the machine's choice.
  const C quotient = std::isnan(x) ? x : x / scale;
  Outcome<C> result;
  result.code = encode_fp8(quantizer.format, quotient, quantizer.saturate);
  result.clipped = !is_in_fp8_range(quantizer.format, quotient);
  result.below = result.clipped && quotient < 0;
  return result;
}

template <typename C>
Outcome<C> quantize_element(const Quantizer& quantizer, C x, C scale, std::int32_t zero_point) {
  Outcome<C> result = is_integer(quantizer.format)
                          ? quantize_integer(quantizer, x, scale, zero_point)
                          : quantize_fp8(quantizer, x, scale);
  result.value = std::isnan(x) ? std::numeric_limits<C>::quiet_NaN()
                               : dequantize_element(quantizer, result.code, scale, zero_point);
  return result;
}

}  // namespace cuqat::reference
