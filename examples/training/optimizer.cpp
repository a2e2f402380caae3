#include "optimizer.hpp"

#include <cmath>

namespace {

constexpr double kMeanDecay = 0.9;
constexpr double kSquareDecay = 0.999;
constexpr double kTiny = 1e-12;

}  // namespace

void Adam::start(std::size_t count) {
  mean_.resize(count);
  square_.resize(count);
  ++steps_;
  of_mean_ = 1.0 / (1.0 - std::pow(kMeanDecay, steps_));
  of_square_ = 1.0 / (1.0 - std::pow(kSquareDecay, steps_));
}

double Adam::direction(std::size_t i, double gradient) {
  mean_[i] += (1.0 - kMeanDecay) * (gradient - mean_[i]);
  square_[i] += (1.0 - kSquareDecay) * (gradient * gradient - square_[i]);
  return of_mean_ * mean_[i] / (std::sqrt(of_square_ * square_[i]) + kTiny);
}

void Adam::step(std::span<float> values, std::span<const float> gradient, double rate) {
  start(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] -= static_cast<float>(rate * direction(i, double{gradient[i]}));
  }
}

void Adam::step_scales(std::span<double> scales, std::span<const double> gradient, double rate) {
  start(scales.size());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    scales[i] *= std::exp(-rate * direction(i, scales[i] * gradient[i]));
  }
}
