// Adam for parameters on the host. cuqat gives gradients; the step is yours.
#pragma once

#include <span>
#include <vector>

#include "adam.hpp"

class Adam {
 public:
  void step(std::span<float> values, std::span<const float> gradient, double rate);

  void step_scales(std::span<double> scales, std::span<const double> gradient, double rate);

 private:
  std::vector<AdamState> states_;
  int steps_ = 0;
};
