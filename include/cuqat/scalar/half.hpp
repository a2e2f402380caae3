// bfloat16 and binary16 to f32 and back, to nearest even, without branches (so loops vectorise).
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

CUQAT_HD constexpr float to_f32(bfloat16 value) {
  return from_bits(static_cast<std::uint32_t>(value.bits) << 16);
}

CUQAT_HD constexpr float to_f32(float16 value) {
  const std::uint32_t sign = (value.bits & 0x8000u) << 16;
  const std::uint32_t rest = value.bits & 0x7fffu;
  // Re-bias by 127 - 15; an exponent of all ones goes to all ones.
  const std::uint32_t rebias = rest >= 0x7c00u ? (255u - 31u) << 23 : (127u - 15u) << 23;
  const std::uint32_t normal = (rest << 13) + rebias;
  // A subnormal is a whole number of 2^-24; the conversion and the product are exact.
  const float subnormal = static_cast<float>(static_cast<std::int32_t>(rest)) * 0x1p-24f;
  return from_bits(sign | (rest < 0x0400u ? to_bits(subnormal) : normal));
}

CUQAT_HD constexpr float to_f32(float value) { return value; }

/// Any NaN becomes 0x7fc0.
CUQAT_HD constexpr bfloat16 to_bfloat16(float value) {
  const std::uint32_t bits = to_bits(value);
  const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  return {static_cast<std::uint16_t>(is_nan(value) ? 0x7fc0u : rounded)};
}

/// Any NaN becomes 0x7e00; magnitudes of 65 520 and more become infinite.
CUQAT_HD constexpr float16 to_float16(float value) {
  const std::uint32_t bits = to_bits(value);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  const std::uint32_t rest = bits & 0x7fff'ffffu;
  const std::uint32_t normal = ((rest + 0xfffu + ((rest >> 13) & 1u)) >> 13) - ((127u - 15u) << 10);
  // Below 2^-14 the unit is 2^-24, which is the unit of numbers in [0.5, 1): the addition rounds.
  const std::uint32_t subnormal = to_bits(magnitude(value) + 0.5f) - to_bits(0.5f);
  std::uint32_t result = rest < to_bits(0x1p-14f) ? subnormal : normal;
  result = rest >= to_bits(65520.0f) ? 0x7c00u : result;
  return {static_cast<std::uint16_t>(is_nan(value) ? 0x7e00u : sign | result)};
}

/// The compute type of a data type, and the way there and back.
template <typename T>
struct Compute {
  using Type = float;
};
template <>
struct Compute<double> {
  using Type = double;
};
template <typename T>
using ComputeType = typename Compute<T>::Type;

CUQAT_HD constexpr float load_compute(float value) { return value; }
CUQAT_HD constexpr double load_compute(double value) { return value; }
CUQAT_HD constexpr float load_compute(bfloat16 value) { return to_f32(value); }
CUQAT_HD constexpr float load_compute(float16 value) { return to_f32(value); }

/// From the compute type to T, to nearest even. Any NaN becomes T's positive quiet NaN.
template <typename T>
CUQAT_HD constexpr T store_compute(ComputeType<T> value);

template <>
CUQAT_HD constexpr float store_compute<float>(float value) {
  return is_nan(value) ? quiet_nan<float>() : value;
}
template <>
CUQAT_HD constexpr double store_compute<double>(double value) {
  return is_nan(value) ? quiet_nan<double>() : value;
}
template <>
CUQAT_HD constexpr bfloat16 store_compute<bfloat16>(float value) {
  return to_bfloat16(value);
}
template <>
CUQAT_HD constexpr float16 store_compute<float16>(float value) {
  return to_float16(value);
}

}  // namespace cuqat::scalar
