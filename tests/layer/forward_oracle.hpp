// The outputs of a layer from their definition, and how far from them a layer may be.
#pragma once

#include <vector>

#include "layer/layer_support.hpp"

namespace cuqat::test {

/// The product of integer codes, each step rounded in C, then to y's type.
Bytes integer_product(QatLayer& layer, const Numbers& x);

/// What a product of numbers takes: fake-quantized numbers of x's dtype.
std::vector<double> quantized_input(const QatLayer& layer, const Numbers& x);
std::vector<double> quantized_weight(QatLayer& layer, DType dtype);

/// Dot products of the rows of x and of w, times a factor for each output, and the bias.
struct Dots {
  std::vector<double> x;
  std::vector<double> w;
  std::vector<double> factor;
  std::vector<double> bias;
};

/// Expects abs(y - exact) to be within `relative` of the sum of the terms' sizes and `absolute`,
/// apart from the rounding of y; NaN where the exact number is.
void expect_dots(const Numbers& y, const Dots& dots, double relative, double absolute = 0.0);

/// Expects y to be the layer's output for x: of integer codes and of numbers in f64 its bits, else
/// within the bound of gemm.hpp.
void expect_forward(QatLayer& layer, const Numbers& x, const Numbers& y);

}  // namespace cuqat::test
