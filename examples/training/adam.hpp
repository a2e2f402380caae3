// A step of Adam (Kingma and Ba 2015) for one number, on the host and on a GPU: the same bits where
// the compiler fuses nothing (-ffp-contract=off, -fmad=false), but for the exponential of scales.
#pragma once

#include <cmath>

#include "cuqat/host_device.hpp"

/// What corrects for means that began at 0.
struct AdamCorrection {
  double of_mean;
  double of_square;
};

inline constexpr double kMeanDecay = 0.9;
inline constexpr double kSquareDecay = 0.999;
inline constexpr double kTiny = 1e-12;

/// Of step 1, 2, ...
inline AdamCorrection adam_correction(int step) {
  return {1.0 / (1.0 - std::pow(kMeanDecay, step)), 1.0 / (1.0 - std::pow(kSquareDecay, step))};
}

/// Running means of a number's gradient and of its square.
struct AdamState {
  double mean;
  double square;
};

CUQAT_HD double adam_direction(AdamState& state, double gradient,
                               const AdamCorrection& correction) {
  state.mean += (1.0 - kMeanDecay) * (gradient - state.mean);
  state.square += (1.0 - kSquareDecay) * (gradient * gradient - state.square);
  return correction.of_mean * state.mean / (std::sqrt(correction.of_square * state.square) + kTiny);
}

CUQAT_HD float adam_step(float value, double gradient, double rate, AdamState& state,
                         const AdamCorrection& correction) {
  return value - static_cast<float>(rate * adam_direction(state, gradient, correction));
}

/// Scales stay positive and differ by orders of magnitude: what is stepped is their logarithm.
CUQAT_HD double adam_step_scale(double scale, double gradient, double rate, AdamState& state,
                                const AdamCorrection& correction) {
  return scale * std::exp(-rate * adam_direction(state, scale * gradient, correction));
}
