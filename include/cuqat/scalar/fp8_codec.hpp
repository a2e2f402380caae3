// FP8 E4M3 ("fn") and E5M2, encode and decode, without branches.
//
// Source of the encodings: OCP 8-bit Floating Point Specification (OFP8), revision 1.0.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

template <Format kFormat>
struct Fp8Traits;

template <>
struct Fp8Traits<Format::kE4M3> {
  static constexpr int kMantissaBits = 3;
  static constexpr int kBias = 7;
  static constexpr std::uint8_t kMaxCode = 0x7e;       // 448
  static constexpr std::uint8_t kOverflowCode = 0x7f;  // NaN: there is no infinity
  static constexpr std::uint8_t kNaNCode = 0x7f;
  static constexpr double kMax = 448.0;
  /// The tie between the largest finite value and the next one that the format would have, 480.
  /// 448 has the even mantissa, so the tie itself still rounds down.
  static constexpr double kOverflowTie = 464.0;
  static constexpr bool kTieOverflows = false;
};

template <>
struct Fp8Traits<Format::kE5M2> {
  static constexpr int kMantissaBits = 2;
  static constexpr int kBias = 15;
  static constexpr std::uint8_t kMaxCode = 0x7b;       // 57 344
  static constexpr std::uint8_t kOverflowCode = 0x7c;  // infinity
  static constexpr std::uint8_t kNaNCode = 0x7e;
  static constexpr double kMax = 57344.0;
  /// Between 57 344, whose mantissa is odd, and 65 536: the tie rounds up.
  static constexpr double kOverflowTie = 61440.0;
  static constexpr bool kTieOverflows = true;
};

/// True where `value` rounds to a finite number of the format before saturation; false for NaN.
template <Format kFormat, typename C>
CUQAT_HD constexpr bool fp8_in_range(C value) {
  using Fp8 = Fp8Traits<kFormat>;
  const C tie = static_cast<C>(Fp8::kOverflowTie);
  return Fp8::kTieOverflows ? magnitude(value) < tie : magnitude(value) <= tie;
}

/// A magnitude rounded to the format, as a number and as a code; past the largest finite value it
/// is that one, for NaN it is nothing. Adding a power of two whose last place is the format's step
/// at this magnitude rounds to a multiple of that step, to nearest even; below the normal numbers
/// the step stays the same. The multiple is in the low bits of the sum.
template <Format kFormat, typename C>
struct Fp8Rounding {
  using Traits = FloatTraits<C>;
  using Bits = typename Traits::Bits;

  CUQAT_HD explicit constexpr Fp8Rounding(C positive) {
    using Fp8 = Fp8Traits<kFormat>;
    constexpr int kDropped = Traits::kMantissaBits - Fp8::kMantissaBits;
    constexpr C kMax = static_cast<C>(Fp8::kMax);
    constexpr Bits kLeastBinade = to_bits(power_of_two<C>(1 - Fp8::kBias));
    constexpr Bits kToMagic = static_cast<Bits>(kDropped) << Traits::kMantissaBits;
    const C bounded = positive > kMax ? kMax : positive;  // a NaN stays one
    const Bits own_binade = to_bits(bounded) & Traits::kInfinity;
    const Bits binade = own_binade > kLeastBinade ? own_binade : kLeastBinade;
    magic_ = static_cast<Bits>(binade + kToMagic);
    sum_ = bounded + from_bits(magic_);
    first_code_ = static_cast<Bits>((binade - kLeastBinade) >> kDropped);
  }

  [[nodiscard]] CUQAT_HD constexpr C number() const { return sum_ - from_bits(magic_); }
  [[nodiscard]] CUQAT_HD constexpr Bits code() const {
    return static_cast<Bits>(to_bits(sum_) - magic_ + first_code_);
  }

 private:
  Bits magic_;       ///< The power of two.
  C sum_;            ///< The magnitude and it.
  Bits first_code_;  ///< The code that a multiple of 0 would have in this binade.
};

/// To nearest, ties to even, straight from C (f64 is not rounded to f32 first). NaN gives the NaN
/// code with its sign. Values past the largest finite one give it (saturate), or NaN (E4M3) and
/// infinity (E5M2).
template <Format kFormat, typename C>
CUQAT_HD constexpr std::uint8_t fp8_encode(C value, bool saturate) {
  using Fp8 = Fp8Traits<kFormat>;
  using Bits = typename FloatTraits<C>::Bits;
  const auto sign = static_cast<std::uint8_t>((to_bits(value) >> (sizeof(C) * 8 - 8)) & 0x80u);
  const Bits rounded = Fp8Rounding<kFormat, C>(magnitude(value)).code();
  const bool overflows = !saturate && !fp8_in_range<kFormat>(value);
  Bits code = overflows ? Bits{Fp8::kOverflowCode} : rounded;
  code = is_nan(value) ? Bits{Fp8::kNaNCode} : code;
  return static_cast<std::uint8_t>(static_cast<std::uint8_t>(code) | sign);
}

/// decode(encode(value)) without passing through the code; NaN gives a NaN.
template <Format kFormat, typename C>
CUQAT_HD constexpr C fp8_round(C value, bool saturate) {
  using Traits = FloatTraits<C>;
  constexpr C kOverflow =
      from_bits(kFormat == Format::kE4M3 ? Traits::kQuietNaN : Traits::kInfinity);
  const C rounded = Fp8Rounding<kFormat, C>(magnitude(value)).number();
  const bool overflows = !saturate && !fp8_in_range<kFormat>(value) && !is_nan(value);
  return with_sign_of(overflows ? kOverflow : rounded, value);
}

/// Exact. C is float or double.
template <Format kFormat, typename C>
CUQAT_HD constexpr C fp8_decode(std::uint8_t code) {
  using Fp8 = Fp8Traits<kFormat>;
  using Traits = FloatTraits<C>;
  using Bits = typename Traits::Bits;
  constexpr int kDropped = Traits::kMantissaBits - Fp8::kMantissaBits;
  const Bits rest = code & 0x7fu;
  const Bits sign = static_cast<Bits>(code & 0x80u) << (sizeof(C) * 8 - 8);
  const Bits normal =
      (rest << kDropped) + (static_cast<Bits>(Traits::kBias - Fp8::kBias) << Traits::kMantissaBits);
  const C step = power_of_two<C>(1 - Fp8::kBias - Fp8::kMantissaBits);
  const C subnormal = static_cast<C>(static_cast<std::int32_t>(rest)) * step;
  Bits result = rest < (Bits{1} << Fp8::kMantissaBits) ? to_bits(subnormal) : normal;
  if constexpr (kFormat == Format::kE4M3) {
    result = rest == Fp8::kNaNCode ? Traits::kQuietNaN : result;
  } else {
    result = rest == Fp8::kOverflowCode ? Traits::kInfinity : result;
    result = rest > Fp8::kOverflowCode ? Traits::kQuietNaN : result;
  }
  return from_bits(static_cast<Bits>(result | sign));
}

}  // namespace cuqat::scalar
