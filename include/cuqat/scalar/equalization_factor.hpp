// By how much a channel's activations are divided and its weights multiplied.
#pragma once

#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/logarithm.hpp"
#include "cuqat/scalar/power_of_two.hpp"

namespace cuqat::scalar {

/// activation^alpha / weight^(1 - alpha) of the largest magnitudes of a channel, as a normal f32; 1
/// where either is 0.
/// Source: Xiao et al., "SmoothQuant", ICML 2023, equation 4.
CUQAT_HD float equalization_factor(double activation, double weight, double alpha) {
  constexpr double kOneOverLn2 = 0x1.71547652b82fep+0;
  if (activation == 0.0 || weight == 0.0) return 1.0f;
  const double exponent =
      (alpha * logarithm(activation) - (1.0 - alpha) * logarithm(weight)) * kOneOverLn2;
  // The ends of the normal numbers of f32.
  const double bounded = exponent < -126.0 ? -126.0 : exponent > 127.0 ? 127.0 : exponent;
  return static_cast<float>(power_of_two(bounded));
}

}  // namespace cuqat::scalar
