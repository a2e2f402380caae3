// From a range of values to a scale and a zero point.
#pragma once

#include <cstdint>

#include "cuqat/format.hpp"
#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/rounding.hpp"

namespace cuqat::scalar {

/// A scale in the compute type and a zero point.
template <typename C>
struct ScaleAndZero {
  C scale = C{1};
  std::int32_t zero_point = 0;
};

namespace detail {

/// The largest scale with which `steps` steps from the zero point are still a finite number.
template <typename C>
CUQAT_HD C largest_finite_scale(C steps) {
  using Bits = typename FloatTraits<C>::Bits;
  constexpr C kMax = from_bits(FloatTraits<C>::kLargest);
  const C scale = kMax / steps;
  return is_finite(scale * steps) ? scale : from_bits(static_cast<Bits>(to_bits(scale) - 1));
}

}  // namespace detail

/// amax / qmax, for zero point 0. amax is finite and not negative; 0 gives a scale of 1.
template <typename C>
CUQAT_HD C symmetric_scale(C amax, const Quantizer& quantizer) {
  constexpr C kLeast = from_bits(FloatTraits<C>::kLeastNormal);
  if (amax == C{0}) return C{1};
  const C largest = static_cast<C>(qmax(quantizer));
  const C steps = larger(largest, static_cast<C>(-qmin(quantizer)));
  return lesser(larger(amax / largest, kLeast), detail::largest_finite_scale(steps));
}

/// (high - low) / (qmax - qmin) with the range widened to contain 0, and the code of 0. The ends
/// are finite; [0, 0] gives a scale of 1.
template <typename C>
CUQAT_HD ScaleAndZero<C> affine_scale(C low, C high, const Quantizer& quantizer) {
  constexpr C kLeast = from_bits(FloatTraits<C>::kLeastNormal);
  low = lesser(low, C{0});
  high = larger(high, C{0});
  if (low == C{0} && high == C{0}) return {};
  const C first = static_cast<C>(qmin(quantizer));
  const C last = static_cast<C>(qmax(quantizer));
  const C width = high - low;
  // A range wider than the largest number still has a finite step.
  C scale =
      is_finite(width) ? width / (last - first) : high / (last - first) - low / (last - first);
  scale = larger(scale, kLeast);
  const C zero = clamp(round_half_even(first - low / scale), first, last);
  // Near the ends of C the rounded zero point can put a code past them.
  const C steps = larger(last - zero, zero - first);
  scale = lesser(scale, detail::largest_finite_scale(steps));
  return {scale, static_cast<std::int32_t>(zero)};
}

/// Of a range with low <= high, both finite: symmetric around 0 or affine.
template <typename C>
CUQAT_HD ScaleAndZero<C> range_to_scale(C low, C high, const Quantizer& quantizer, bool symmetric) {
  if (!symmetric) return affine_scale(low, high, quantizer);
  return {symmetric_scale(larger(magnitude(low), magnitude(high)), quantizer), 0};
}

}  // namespace cuqat::scalar
