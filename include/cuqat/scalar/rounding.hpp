// Rounding to whole numbers, in both conventions.
#pragma once

#include "cuqat/scalar/bits.hpp"

namespace cuqat::scalar {

/// The sum and difference with this rounds a magnitude below it to a whole number.
CUQAT_HD constexpr float whole_number_magic(float) { return 0x1p23f; }
CUQAT_HD constexpr double whole_number_magic(double) { return 0x1p52; }

/// round_half_even without an instruction for it, in operations that every vector unit has.
template <typename C>
CUQAT_HD C round_half_even_by_addition(C value) {
  const C magic = whole_number_magic(value);
  const C size = magnitude(value);
  const C whole = with_sign_of((size + magic) - magic, value);
  return size < magic ? whole : value;
}

/// truncate in the same way.
template <typename C>
CUQAT_HD C truncate_by_addition(C value) {
  const C magic = whole_number_magic(value);
  const C size = magnitude(value);
  const C nearest = (size + magic) - magic;
  const C whole = with_sign_of(nearest > size ? nearest - C{1} : nearest, value);
  return size < magic ? whole : value;
}

#if defined(__SSE2__) && !defined(__SSE4_1__) && !defined(__CUDA_ARCH__)
// x86-64 without SSE4.1 calls a function for each element.
CUQAT_HD float round_half_even(float value) { return round_half_even_by_addition(value); }
CUQAT_HD double round_half_even(double value) { return round_half_even_by_addition(value); }
CUQAT_HD float truncate(float value) { return truncate_by_addition(value); }
CUQAT_HD double truncate(double value) { return truncate_by_addition(value); }
#else
/// To nearest, ties to even (the default rounding mode is assumed).
CUQAT_HD float round_half_even(float value) { return __builtin_rintf(value); }
CUQAT_HD double round_half_even(double value) { return __builtin_rint(value); }

CUQAT_HD float truncate(float value) { return __builtin_truncf(value); }
CUQAT_HD double truncate(double value) { return __builtin_trunc(value); }
#endif

/// To nearest, ties away from zero. Exact: value - truncate(value) has no rounding error, so
/// 0.49999997f rounds to 0, where adding 0.5 would give 1.
template <typename C>
CUQAT_HD C round_half_away(C value) {
  const C whole = truncate(value);
  const C one = value < C{0} ? C{-1} : C{1};
  return magnitude(value - whole) >= C{0.5} ? whole + one : whole;
}

/// The lesser and the larger of two numbers; b where a is NaN. Which of two zeros is not said.
#if defined(__CUDA_ARCH__)
// One instruction, which a comparison does not become.
CUQAT_HD float lesser(float a, float b) { return ::fminf(a, b); }
CUQAT_HD double lesser(double a, double b) { return ::fmin(a, b); }
CUQAT_HD float larger(float a, float b) { return ::fmaxf(a, b); }
CUQAT_HD double larger(double a, double b) { return ::fmax(a, b); }
#else
template <typename C>
CUQAT_HD C lesser(C a, C b) {
  return a < b ? a : b;
}
template <typename C>
CUQAT_HD C larger(C a, C b) {
  return a > b ? a : b;
}
#endif

/// Least of low, largest of high; NaN gives low. `low` must not exceed `high`, and neither is 0.
template <typename C>
CUQAT_HD C clamp(C value, C low, C high) {
  return lesser(larger(value, low), high);
}

}  // namespace cuqat::scalar
