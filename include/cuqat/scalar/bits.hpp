// Bit patterns of IEEE numbers: reinterpretation, sign, NaN, and the order of the patterns.
#pragma once

#include <cstdint>
#include <limits>

#include "cuqat/host_device.hpp"

namespace cuqat::scalar {

CUQAT_HD constexpr std::uint32_t to_bits(float value) {
  return __builtin_bit_cast(std::uint32_t, value);
}
CUQAT_HD constexpr std::uint64_t to_bits(double value) {
  return __builtin_bit_cast(std::uint64_t, value);
}
CUQAT_HD constexpr float from_bits(std::uint32_t bits) { return __builtin_bit_cast(float, bits); }
CUQAT_HD constexpr double from_bits(std::uint64_t bits) { return __builtin_bit_cast(double, bits); }

/// Layout of a binary floating-point type.
template <typename C>
struct FloatTraits;

template <>
struct FloatTraits<float> {
  using Bits = std::uint32_t;
  static constexpr int kMantissaBits = 23;
  static constexpr int kBias = 127;
  static constexpr Bits kSign = 0x8000'0000u;
  static constexpr Bits kInfinity = 0x7f80'0000u;
  static constexpr Bits kQuietNaN = 0x7fc0'0000u;
  static constexpr Bits kLargest = 0x7f7f'ffffu;
  static constexpr Bits kLeastNormal = 0x0080'0000u;
};

template <>
struct FloatTraits<double> {
  using Bits = std::uint64_t;
  static constexpr int kMantissaBits = 52;
  static constexpr int kBias = 1023;
  static constexpr Bits kSign = 0x8000'0000'0000'0000u;
  static constexpr Bits kInfinity = 0x7ff0'0000'0000'0000u;
  static constexpr Bits kQuietNaN = 0x7ff8'0000'0000'0000u;
  static constexpr Bits kLargest = 0x7fef'ffff'ffff'ffffu;
  static constexpr Bits kLeastNormal = 0x0010'0000'0000'0000u;
};

template <typename C>
CUQAT_HD constexpr bool is_nan(C value) {
  return value != value;
}

/// Neither NaN nor infinite.
template <typename C>
CUQAT_HD constexpr bool is_finite(C value) {
  return (to_bits(value) & FloatTraits<C>::kInfinity) != FloatTraits<C>::kInfinity;
}

template <typename C>
CUQAT_HD constexpr C magnitude(C value) {
  using Bits = typename FloatTraits<C>::Bits;
  return from_bits(static_cast<Bits>(to_bits(value) & ~FloatTraits<C>::kSign));
}

/// A magnitude (sign bit 0) with the sign of another number.
template <typename C>
CUQAT_HD constexpr C with_sign_of(C size, C sign) {
  using Bits = typename FloatTraits<C>::Bits;
  return from_bits(static_cast<Bits>(to_bits(size) | (to_bits(sign) & FloatTraits<C>::kSign)));
}

template <typename C>
CUQAT_HD constexpr C quiet_nan() {
  return from_bits(FloatTraits<C>::kQuietNaN);
}

/// 2^exponent for an exponent of a normal number.
template <typename C>
CUQAT_HD constexpr C power_of_two(int exponent) {
  using Traits = FloatTraits<C>;
  using Bits = typename Traits::Bits;
  return from_bits(
      static_cast<Bits>(static_cast<Bits>(exponent + Traits::kBias) << Traits::kMantissaBits));
}

}  // namespace cuqat::scalar
