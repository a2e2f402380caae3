// Adam (Kingma and Ba 2015). cuqat gives gradients; the step is yours.
#pragma once

#include <span>
#include <vector>

class Adam {
 public:
  void step(std::span<float> values, std::span<const float> gradient, double rate);

  /// Scales stay positive and differ by orders of magnitude: what is stepped is their logarithm.
  void step_scales(std::span<double> scales, std::span<const double> gradient, double rate);

 private:
  double direction(std::size_t i, double gradient);
  void start(std::size_t count);

  std::vector<double> mean_;
  std::vector<double> square_;
  int steps_ = 0;
  double of_mean_ = 1.0;  // What corrects for means that began at 0.
  double of_square_ = 1.0;
};
