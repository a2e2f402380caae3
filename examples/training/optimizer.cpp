#include "optimizer.hpp"

void Adam::step(std::span<float> values, std::span<const float> gradient, double rate) {
  states_.resize(values.size());
  const AdamCorrection correction = adam_correction(++steps_);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = adam_step(values[i], double{gradient[i]}, rate, states_[i], correction);
  }
}

void Adam::step_scales(std::span<double> scales, std::span<const double> gradient, double rate) {
  states_.resize(scales.size());
  const AdamCorrection correction = adam_correction(++steps_);
  for (std::size_t i = 0; i < scales.size(); ++i) {
    scales[i] = adam_step_scale(scales[i], gradient[i], rate, states_[i], correction);
  }
}
