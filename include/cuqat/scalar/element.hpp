// One element through a whole quantizer: code, value, clip bit. What the loops of the CPU backend
// and the kernels call; every decision but the data is a template argument.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/fp8_codec.hpp"
#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/integer_codec.hpp"

namespace cuqat::scalar {

/// The compile-time part of a Quantizer. The code range and saturation stay run-time values.
template <Format kFormatValue, Rounding kRoundingValue = Rounding::kNearestEven>
struct ElementQuantizer {
  static constexpr Format kFormat = kFormatValue;
  static constexpr Rounding kRounding = kRoundingValue;
  std::int32_t low;   ///< Least code (integer formats).
  std::int32_t high;  ///< Largest code (integer formats).
  bool saturate;      ///< FP8.
};

template <typename Q>
CUQAT_HD constexpr Q make_element_quantizer(const Quantizer& quantizer) {
  return Q{qmin(quantizer), qmax(quantizer), quantizer.saturate};
}

/// A fake-quantized element in the compute type, and whether it was clipped.
template <typename C>
struct Quantized {
  C value;
  bool clipped;
};

/// What the code of x is made from. A NaN keeps its sign; a quotient need not.
template <typename C>
CUQAT_HD constexpr C fp8_quotient(C x, C scale) {
  return is_nan(x) ? x : x / scale;
}

/// The code of x, sign-extended for integers, the encoding for FP8.
template <typename Q, typename C>
CUQAT_HD std::int32_t quantize_element(const Q& q, C x, C scale, std::int32_t zero_point) {
  if constexpr (is_integer(Q::kFormat)) {
    return integer_code(integer_unclamped<Q::kRounding>(x, scale, zero_point), zero_point, q.low,
                        q.high);
  } else {
    return fp8_encode<Q::kFormat>(fp8_quotient(x, scale), q.saturate);
  }
}

/// The value of a code in the compute type.
template <typename Q, typename C>
CUQAT_HD C dequantize_element(const Q&, std::int32_t code, C scale, std::int32_t zero_point) {
  if constexpr (is_integer(Q::kFormat)) {
    return integer_decode(code, scale, zero_point);
  } else {
    return fp8_decode<Q::kFormat, C>(static_cast<std::uint8_t>(code)) * scale;
  }
}

/// True where the rounded but unclamped value is outside the format's finite range, and for NaN.
template <typename Q, typename C>
CUQAT_HD bool is_clipped(const Q& q, C x, C scale, std::int32_t zero_point) {
  if constexpr (is_integer(Q::kFormat)) {
    const C unclamped = integer_unclamped<Q::kRounding>(x, scale, zero_point);
    return !(unclamped >= static_cast<C>(q.low) && unclamped <= static_cast<C>(q.high));
  } else {
    return !fp8_in_range<Q::kFormat>(x / scale);
  }
}

/// What fake quantize makes of a value and its clip bit: NaN for NaN; a scale of 0, which only an
/// array in device memory can hold, passes x through unclipped.
template <typename C>
CUQAT_HD constexpr Quantized<C> fake_quantized(C x, C scale, C value, bool clipped) {
  const bool passes = scale == C{0};
  return {passes ? x : is_nan(x) ? quiet_nan<C>() : value, !passes && clipped};
}

/// dequantize(quantize(x)) in the compute type.
template <typename Q, typename C>
CUQAT_HD Quantized<C> fake_quantize_element(const Q& q, C x, C scale, std::int32_t zero_point) {
  C value;
  bool clipped;
  if constexpr (is_integer(Q::kFormat)) {
    const C unclamped = integer_unclamped<Q::kRounding>(x, scale, zero_point);
    const C low = static_cast<C>(q.low);
    const C high = static_cast<C>(q.high);
    const auto code = static_cast<std::int32_t>(clamp(unclamped, low, high));
    value = integer_decode(code, scale, zero_point);
    clipped = !(unclamped >= low && unclamped <= high);
  } else {
    const C quotient = x / scale;
    value = fp8_round<Q::kFormat>(quotient, q.saturate) * scale;
    clipped = !fp8_in_range<Q::kFormat>(quotient);
  }
  return fake_quantized(x, scale, value, clipped);
}

}  // namespace cuqat::scalar
