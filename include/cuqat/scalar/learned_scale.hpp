// What one element adds to the gradients of its scale and zero point (docs/numerics.md, "learned
// scale"), without branches.
#pragma once

#include <cstdint>

#include "cuqat/scalar/element.hpp"

namespace cuqat::scalar {

/// C(limit - zero_point), the difference in int32, wrapping as in integer_decode.
template <typename C>
CUQAT_HD constexpr C limit_distance(std::int32_t limit, std::int32_t zero_point) {
  return integer_decode<C>(limit, C{1}, zero_point);
}

/// dy * ((y - x) / s inside, qmin - z below, qmax - z above); +0 for x = NaN, whatever dy is. The
/// scale is not 0.
template <typename Q, typename C>
CUQAT_HD C learned_scale_term(const Q& q, C x, C dy, C scale, std::int32_t zero_point) {
  const C y = fake_quantize_element(q, x, scale, zero_point).value;
  C slope = (y - x) / scale;
  const C below = limit_distance<C>(q.low, zero_point);
  const C above = limit_distance<C>(q.high, zero_point);
  if constexpr (is_integer(Q::kFormat)) {
    const C unclamped = integer_unclamped<Q::kRounding>(x, scale, zero_point);
    slope = unclamped < static_cast<C>(q.low) ? below : slope;
    slope = unclamped > static_cast<C>(q.high) ? above : slope;
  } else {
    const C outside = x / scale < C{0} ? below : above;
    slope = is_clipped(q, x, scale, zero_point) ? outside : slope;
  }
  const C product = dy * slope;
  return is_nan(x) ? C{0} : product;
}

/// dy outside the range, +0 inside and for x = NaN. Flags are kept as numbers: loops with several
/// results vectorise where all their values have one width.
template <typename Q, typename C>
CUQAT_HD C learned_zero_point_term(const Q& q, C x, C dy, C scale, std::int32_t zero_point) {
  using Bits = typename FloatTraits<C>::Bits;
  const Bits outside = is_clipped(q, x, scale, zero_point) ? 1 : 0;
  const Bits number = is_nan(x) ? 0 : 1;
  return from_bits(static_cast<Bits>(to_bits(dy) & (Bits{0} - (outside & number))));
}

}  // namespace cuqat::scalar
