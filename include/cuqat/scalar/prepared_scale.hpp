// Quantizers with a scale that many elements share: the bits of element.hpp in operations that a
// GPU does at full rate. Divisions, conversions to and from integers and the rounding instruction
// run at an eighth of it or less, and would keep a kernel from the speed of memory.
#pragma once

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/shared_divisor.hpp"

namespace cuqat::scalar {

/// An integer quantizer's scale and zero point, and all that their elements share. Nearest-even
/// convention, f32. Elements are finite and no larger than largest_input().
class PreparedInteger {
 public:
  PreparedInteger() = default;
  template <typename Q>
  CUQAT_HD PreparedInteger(const Q& quantizer, float scale, std::int32_t zero_point)
      : divisor_(scale),
        scale_(scale),
        low_(static_cast<float>(quantizer.low) - static_cast<float>(zero_point)),
        high_(static_cast<float>(quantizer.high) - static_cast<float>(zero_point)),
        code_of_none_(kWhole + static_cast<float>(zero_point)) {
    static_assert(is_integer(Q::kFormat) && Q::kRounding == Rounding::kNearestEven);
  }

  /// Whether this scale and zero point may be prepared; any that a calibration gives may.
  CUQAT_HD static bool is_ordinary(float scale, std::int32_t zero_point) {
    constexpr std::int32_t kLargestZero = 1 << 20;  // sums with codes stay exact
    return SharedDivisor::is_ordinary(scale) && zero_point >= -kLargestZero &&
           zero_point <= kLargestZero;
  }

  /// Infinite where all finite elements may be prepared.
  template <typename Q>
  CUQAT_HD static float largest_input(const Q&, float scale) {
    return SharedDivisor::kLargestQuotient * scale;
  }

  /// rint(x / scale): past 2^22 rounded once more, and past every code.
  [[nodiscard]] CUQAT_HD float steps(float x) const {
    return (divisor_.quotient(x) + kWhole) - kWhole;
  }
  /// The steps of the nearest code.
  [[nodiscard]] CUQAT_HD float clamped(float steps) const { return clamp(steps, low_, high_); }
  /// As dequantize_element of what clamped() gave.
  [[nodiscard]] CUQAT_HD float value_of(float steps) const { return steps * scale_; }
  /// The low eight bits of its code, as quantize_element.
  [[nodiscard]] CUQAT_HD std::uint8_t code_of(float steps) const {
    return static_cast<std::uint8_t>(to_bits(steps + code_of_none_));
  }

 private:
  /// Its last place is 1: a sum with it is a whole number, rounded to nearest even, and has the
  /// number in its low bits. Even, and not at the end of a binade.
  static constexpr float kWhole = 0x1.8p23f;

  SharedDivisor divisor_;
  float scale_;
  float low_;  ///< In steps, as high_.
  float high_;
  float code_of_none_;
};

/// A scale of FP8. Elements are finite and no larger than largest_input().
class PreparedFp8 {
 public:
  PreparedFp8() = default;
  template <typename Q>
  CUQAT_HD PreparedFp8(const Q&, float scale, std::int32_t) : divisor_(scale), scale_(scale) {
    static_assert(!is_integer(Q::kFormat));
  }

  CUQAT_HD static bool is_ordinary(float scale, std::int32_t) {
    return SharedDivisor::is_ordinary(scale);
  }

  /// Where the quantizer does not saturate, no such element overflows.
  template <typename Q>
  CUQAT_HD static float largest_input(const Q& quantizer, float scale) {
    return quantizer.saturate ? SharedDivisor::kLargestQuotient * scale : largest_whole<Q>(scale);
  }
  /// No element up to this is clipped.
  template <typename Q>
  CUQAT_HD static float largest_whole(float scale) {
    return static_cast<float>(Fp8Traits<Q::kFormat>::kMax) * scale;
  }

  /// What x / scale is to every FP8 format, with its sign.
  [[nodiscard]] CUQAT_HD float quotient(float x) const {
    return with_sign_of(magnitude(divisor_.quotient(x)), x);
  }
  [[nodiscard]] CUQAT_HD float scale() const { return scale_; }

 private:
  SharedDivisor divisor_;
  float scale_;
};

}  // namespace cuqat::scalar
