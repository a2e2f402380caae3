// A layer quantized by calibration, and then trained to give what the f32 layer gives.
#pragma once

#include <functional>
#include <string>

#include "cuqat/layer.hpp"
#include "linear_layer.hpp"

struct Tuning {
  cuqat::Format weight = cuqat::Format::kInt4;
  cuqat::Format input = cuqat::Format::kInt8;
  int steps = 600;
  double weight_rate = 3e-3;  // Of Adam, at first, relative to the step between two codes.
  double scale_rate = 1e-3;   // Of Adam, at first, relative to the scale.
  double settling = 0.01;     // Share of its way to its code that a weight goes in the last step.
};

struct Tuned {
  std::string calibration{};  // The best of min-max and mse, of the weights and of the inputs.
  double before = 0.0;        // Its error on the held-out tokens.
  double after = 0.0;         // The error after training, on the same.
};

/// Errors are sums of squared differences to the outputs of the f32 layer, relative to the sum of
/// squares of those. Training sees the layer's tokens for training alone.
Tuned tune(const LinearLayer& layer, const Tuning& tuning, const cuqat::HostOptions& host,
           const std::function<void(int step)>& after_step);
