// Quantizers with a scale that many elements share: the bits of element.hpp in operations that a
// GPU does at full rate. Divisions, conversions to and from integers and the rounding instruction
// run at an eighth of it or less, and would keep a kernel from the speed of memory.
#pragma once

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/shared_divisor.hpp"

namespace cuqat::scalar {

/// An integer quantizer's scale and zero point, and all that their elements share. Nearest-even
/// convention, f32. No element is NaN.
class PreparedInteger {
 public:
  PreparedInteger() = default;
  template <typename Q>
  CUQAT_HD PreparedInteger(const Q& quantizer, float scale, std::int32_t zero_point)
      : divisor_(scale),
        scale_(scale),
        zero_(static_cast<float>(zero_point)),
        low_(static_cast<float>(quantizer.low)),
        high_(static_cast<float>(quantizer.high)) {
    static_assert(is_integer(Q::kFormat) && Q::kRounding == Rounding::kNearestEven);
  }

  /// Whether this scale and zero point may be prepared; any that a calibration gives may.
  CUQAT_HD static bool is_ordinary(float scale, std::int32_t zero_point) {
    constexpr std::int32_t kLargestZero = 1 << 20;  // sums with codes stay exact
    return SharedDivisor::is_ordinary(scale) && zero_point >= -kLargestZero &&
           zero_point <= kLargestZero;
  }

  /// As fake_quantize_element.
  [[nodiscard]] CUQAT_HD Quantized<float> fake_quantize(float x) const {
    const float unclamped = rounded(x);
    const float code = clamp(unclamped, low_, high_);
    return {(code - zero_) * scale_, code != unclamped};
  }

  /// The low eight bits of quantize_element.
  [[nodiscard]] CUQAT_HD std::uint8_t quantize(float x) const {
    return static_cast<std::uint8_t>(to_bits(clamp(rounded(x), low_, high_) + kWhole));
  }

  /// As is_clipped.
  [[nodiscard]] CUQAT_HD bool clips(float x) const {
    const float unclamped = rounded(x);
    return !(unclamped >= low_ && unclamped <= high_);
  }

 private:
  /// Its last place is 1: a sum with it is a whole number, rounded to nearest even, and has the
  /// number in its low bits. Even, and not at the end of a binade.
  static constexpr float kWhole = 0x1.8p23f;

  /// rint(x / scale) + zero point.
  [[nodiscard]] CUQAT_HD float rounded(float x) const {
    return (divisor_.quotient(x) + kWhole) - (kWhole - zero_);
  }

  SharedDivisor divisor_;
  float scale_;
  float zero_;
  float low_;
  float high_;
};

/// A scale of FP8. No element is NaN.
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
