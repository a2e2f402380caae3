// The gradients of a layer from their definition, in f64, and how far from them a layer may be.
#pragma once

#include <span>
#include <vector>

#include "layer/layer_support.hpp"

namespace cuqat::test {

/// A matrix of sums: their values, and how far from them a product in the compute type may be.
struct Sums {
  std::vector<double> value;
  std::vector<double> bound;
};

/// Before the straight-through masks.
struct GradientOracle {
  Sums dx;       ///< dy wq
  Sums dweight;  ///< dy^T xq
  Sums dbias;    ///< Of dy's columns.
  FakeQuantized x;
  FakeQuantized weight;  ///< In the dtype of the weights.
};

GradientOracle gradient_oracle(QatLayer& layer, const Numbers& x, const Numbers& dy);

/// Gradients of all parameters, with memory of their own that does not start as zeros.
struct Gradients {
  Numbers dx;
  Numbers dweight;
  Numbers dbias;
  std::vector<double> weight_dscale;
  std::vector<double> weight_dzero_point;
  std::vector<double> activation_dscale;
  std::vector<double> activation_dzero_point;

  Gradients(QatLayer& layer, const Numbers& x);
  /// Of what the layer learns.
  [[nodiscard]] QatGradients views();
};

/// Forward and backward on these options.
Gradients gradients_of(QatLayer& layer, const Numbers& x, const Numbers& dy,
                       const HostOptions& options = {});

/// Expects +0 where `clipped`, else the oracle's value: for f64 its bits, for others within its
/// bound and the rounding to the dtype.
void expect_straight_through(const Numbers& found, const Sums& oracle,
                             const std::vector<bool>& clipped);

}  // namespace cuqat::test
