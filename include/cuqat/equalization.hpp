// Channel equalization: the spread of a linear layer's input channels is moved into its weights,
// which are quantized with a scale for each output channel and bear it better.
//
//   x w^T = (x / f) (w f)^T, with a factor f for each input channel.
//
// The division costs nothing where the layer before can take it (a normalization's weights), or
// where the input is quantized anyway: quantizing x / f with scale s is quantizing x with the
// scales s f of a channel granularity. Source: Xiao et al., "SmoothQuant", ICML 2023.
#pragma once

#include <span>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Factors f = amax(activations)^alpha / amax(weights)^(1 - alpha), one for each input channel: 0
/// leaves the weights' channels alike, 1 the activations'. Where either is 0 the factor is 1.
/// Shape:  activations and weights one Statistics for each input channel, of the whole data.
/// Values: normal f32 numbers, within 1 unit in the last place of the formula.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for sizes that differ, an alpha outside [0, 1].
std::vector<double> equalization_factors(std::span<const Statistics> activations,
                                         std::span<const Statistics> weights, double alpha);

/// y = x / factor, or x * factor, of each element's channel, rounded once in the compute type and
/// to y's dtype.
/// Shape:  y as x, which may be x itself; factors one for each index of the axis, which counts from
///         the last where it is negative.
/// Values: a NaN, of x or of inf * 0, becomes the positive quiet NaN.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for shapes or dtypes that differ, factors that are not positive and
///         finite in the compute type, y in memory that x uses otherwise.
void divide_channels(ConstTensorView x, int axis, std::span<const double> factors, TensorView y,
                     const HostOptions& options = {});
void multiply_channels(ConstTensorView x, int axis, std::span<const double> factors, TensorView y,
                       const HostOptions& options = {});

/// Relative squared error of a quantized linear layer: the sum of (x w^T - xq wq^T)^2 over that of
/// (x w^T)^2; 0 where both are 0. All products and sums are f64, in an order that depends on the
/// shapes alone.
/// Shape:  x and xq [rows, inputs], w and wq [outputs, inputs], of any dtypes.
/// Values: the positive quiet NaN where a NaN or an infinity makes it NaN.
/// Order:  as divide_channels.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for shapes that do not fit together.
double output_error(ConstTensorView x, ConstTensorView w, ConstTensorView xq, ConstTensorView wq,
                    const HostOptions& options = {});

/// How a layer is quantized once it is equalized.
struct EqualizationOptions {
  CalibrationOptions activation{};  ///< Of x / f, one scale for the tensor.
  CalibrationOptions weight{};      ///< Of w f, one scale for each output channel.
  /// Strengths to try: by default 0, 0.05, ... 1.
  std::vector<double> alphas{};
};

struct Equalization {
  double alpha = 0.0;
  std::vector<double> factor;      ///< One for each input channel.
  CalibrationResult activation;    ///< Of x / factor.
  CalibrationResult weight;        ///< Of w * factor.
  double output_error = 0.0;       ///< With these.
  double unequalized_error = 0.0;  ///< With all factors 1.
};

/// The strength of least output error; the least of equals. NaN is the largest error.
/// Shape:  x [rows, inputs], w [outputs, inputs], both of one dtype.
/// Order:  as divide_channels. Takes a product of the layer's size for each strength.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for shapes that do not fit together, an alpha outside [0, 1], options as
///         calibrate.
Equalization find_equalization(ConstTensorView x, ConstTensorView w,
                               const EqualizationOptions& options = {},
                               const HostOptions& host = {});

}  // namespace cuqat
