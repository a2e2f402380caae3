// int8 and int4 with a scale that many elements share: the bits of element.hpp in operations that a
// GPU does at full rate. Conversions to and from integers and the rounding instruction run at an
// eighth of it, and would keep a kernel from the speed of memory.
#pragma once

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/shared_divisor.hpp"

namespace cuqat::scalar {

/// A scale and a zero point with all that their elements share. Nearest-even convention, f32.
class PreparedScale {
 public:
  template <typename Q>
  CUQAT_HD PreparedScale(const Q& quantizer, float scale, std::int32_t zero_point)
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
    const float value = (code - zero_) * scale_;
    return {is_nan(x) ? quiet_nan<float>() : value, code != unclamped};
  }

  /// As quantize_element; only the low eight bits.
  [[nodiscard]] CUQAT_HD std::uint8_t quantize(float x) const {
    const float number = is_nan(x) ? zero_ : rounded(x);
    return static_cast<std::uint8_t>(to_bits(clamp(number, low_, high_) + kWhole));
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

  /// rint(x / scale) + zero point; some number below every code for NaN.
  [[nodiscard]] CUQAT_HD float rounded(float x) const {
    return (divisor_.quotient(x) + kWhole) - (kWhole - zero_);
  }

  SharedDivisor divisor_;
  float scale_;
  float zero_;
  float low_;
  float high_;
};

}  // namespace cuqat::scalar
