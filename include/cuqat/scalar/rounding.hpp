// Rounding to whole numbers, in both conventions.
#pragma once

#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

/// To nearest, ties to even (the default rounding mode is assumed).
CUQAT_HD float round_half_even(float value) { return __builtin_rintf(value); }
CUQAT_HD double round_half_even(double value) { return __builtin_rint(value); }

CUQAT_HD float truncate(float value) { return __builtin_truncf(value); }
CUQAT_HD double truncate(double value) { return __builtin_trunc(value); }

/// To nearest, ties away from zero. Exact: value - truncate(value) has no rounding error, so
/// 0.49999997f rounds to 0, where adding 0.5 would give 1.
template <typename C>
CUQAT_HD C round_half_away(C value) {
  const C whole = truncate(value);
  const C one = value < C{0} ? C{-1} : C{1};
  return magnitude(value - whole) >= C{0.5} ? whole + one : whole;
}

/// Least of low, largest of high; NaN gives low. `low` must not exceed `high`.
template <typename C>
CUQAT_HD constexpr C clamp(C value, C low, C high) {
  const C raised = value > low ? value : low;
  return raised < high ? raised : high;
}

}  // namespace cuqat::scalar
