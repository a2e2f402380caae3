// A layer's parameters on their way in and out, on the host and on the device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/layer.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"
#include "cuqat/weights.hpp"

namespace cuqat::detail {

/// Scales or a bias in the dtype of the weights, F32 or F64, and their values.
std::vector<std::byte> parameter_bytes(DType dtype, std::span<const double> values);
std::vector<double> parameter_values(DType dtype, std::span<const std::byte> bytes);

/// Parameters as a layer is deployed: no zero points where the range is symmetric, else all.
QuantParams deployed_params(QuantParams params, bool is_symmetric);

/// Codes of a byte each as a layer is deployed: those of int4 two in a byte.
QuantizedWeights deployed_weights(std::vector<std::uint8_t> codes, const QuantParams& params,
                                  const Shape& shape, DType dtype);
/// The codes of deployed weights, a byte each.
std::vector<std::uint8_t> code_bytes(const QuantizedWeights& weights);

/// The sums of each row's codes, which are integers.
std::vector<std::int64_t> sums_of_rows(std::span<const std::uint8_t> codes, const Shape& shape);

/// The parts fit each other and config; their values are not looked at.
/// @throws InvalidArgument otherwise.
void check_deployed(const QuantizedLayer& layer, const QatLayerConfig& config);

/// dequantize_weights of values that are finite.
/// @throws InvalidArgument otherwise; y is then undefined.
void dequantize_finite(const QuantizedWeights& weights, TensorView y, const HostOptions& options);

struct WeightCodes {
  QuantParams params;
  std::vector<std::uint8_t> codes;  ///< A byte each.
};

/// The weights' codes, with the parameters given or, where they are null, with those that the
/// weights are calibrated to.
/// @throws InvalidArgument for weights that are not finite.
WeightCodes quantize_weights(ConstTensorView weight, const QatLayerConfig& config,
                             const QuantParams* params, const HostOptions& options);

}  // namespace cuqat::detail
