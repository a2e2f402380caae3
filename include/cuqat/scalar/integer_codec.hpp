// int8 and int4 codes: quantize, dequantize, range test, and the packing of two int4 in a byte.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/rounding.hpp"

namespace cuqat::scalar {

/// The quotient rounded to a whole number with the zero point added, not yet clamped: what decides
/// whether an element is clipped. NaN for NaN.
template <Rounding kRounding, typename C>
CUQAT_HD C integer_unclamped(C value, C scale, std::int32_t zero_point) {
  const C zero = static_cast<C>(zero_point);
  if constexpr (kRounding == Rounding::kNearestEven) {
    return round_half_even(value / scale) + zero;
  } else {
    return round_half_away(value / scale + zero);
  }
}

/// clamp(unclamped, low, high) as an integer; NaN gives the zero point, clamped.
/// The clamp is in floating point, before the cast: no value overflows an int.
template <typename C>
CUQAT_HD std::int32_t integer_code(C unclamped, std::int32_t zero_point, std::int32_t low,
                                   std::int32_t high) {
  const C number = is_nan(unclamped) ? static_cast<C>(zero_point) : unclamped;
  return static_cast<std::int32_t>(clamp(number, static_cast<C>(low), static_cast<C>(high)));
}

/// (code - zero_point) * scale, the difference in int32 (it wraps, as the original's does, for
/// zero points that no calibration of cuqat gives).
template <typename C>
CUQAT_HD constexpr C integer_decode(std::int32_t code, C scale, std::int32_t zero_point) {
  const auto difference = static_cast<std::int32_t>(static_cast<std::uint32_t>(code) -
                                                    static_cast<std::uint32_t>(zero_point));
  return static_cast<C>(difference) * scale;
}

/// Two int4 codes in a byte, the earlier element in the low four bits.
CUQAT_HD constexpr std::uint8_t pack_int4(std::int32_t low, std::int32_t high) {
  return static_cast<std::uint8_t>((low & 0xf) | ((high & 0xf) << 4));
}
CUQAT_HD constexpr std::int32_t unpack_int4_low(std::uint8_t byte) {
  return ((byte & 0xf) ^ 8) - 8;
}
CUQAT_HD constexpr std::int32_t unpack_int4_high(std::uint8_t byte) {
  return ((byte >> 4) ^ 8) - 8;
}

}  // namespace cuqat::scalar
