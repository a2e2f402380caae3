// Keys of the 65 536-key histogram, and the order of bit patterns.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

/// bf16 and f16: the pattern itself. f32: its upper 16 bits.
CUQAT_HD constexpr std::uint16_t histogram_key(bfloat16 value) { return value.bits; }
CUQAT_HD constexpr std::uint16_t histogram_key(float16 value) { return value.bits; }
CUQAT_HD constexpr std::uint16_t histogram_key(float value) {
  return static_cast<std::uint16_t>(to_bits(value) >> 16);
}

/// The number that stands for all f32 of a finite key: its middle. The keys of zeros, which have
/// subnormal numbers below 2^-133 too, are 0.
CUQAT_HD constexpr float middle_of_f32_key(std::uint16_t key) {
  if ((key & 0x7fffu) == 0) return 0.0f;
  return from_bits((std::uint32_t{key} << 16) | 0x8000u);
}

/// An unsigned integer that is ordered as the numbers are: negative patterns are inverted, positive
/// ones get the sign bit. -0 comes just below +0.
template <typename Bits>
CUQAT_HD constexpr Bits ordered_key(Bits pattern) {
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (sizeof(Bits) * 8 - 1));
  return static_cast<Bits>((pattern & kSign) != 0 ? ~pattern : pattern | kSign);
}

/// The pattern of an ordered key.
template <typename Bits>
CUQAT_HD constexpr Bits pattern_of_ordered_key(Bits key) {
  constexpr Bits kSign = static_cast<Bits>(Bits{1} << (sizeof(Bits) * 8 - 1));
  return static_cast<Bits>((key & kSign) != 0 ? key & ~kSign : ~key);
}

}  // namespace cuqat::scalar
