#include "host/layer_parts.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "cuqat/calibration.hpp"
#include "cuqat/dynamic_quant.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/statistics.hpp"
#include "host/arguments.hpp"
#include "host/layer_arguments.hpp"

namespace cuqat::detail {

std::vector<std::byte> parameter_bytes(DType dtype, std::span<const double> values) {
  std::vector<std::byte> bytes(values.size() * dtype_bytes(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF64) {
      std::memcpy(bytes.data() + i * sizeof(double), &values[i], sizeof(double));
    } else {
      const auto narrow = static_cast<float>(values[i]);
      std::memcpy(bytes.data() + i * sizeof(float), &narrow, sizeof(float));
    }
  }
  return bytes;
}

std::vector<double> parameter_values(DType dtype, std::span<const std::byte> bytes) {
  std::vector<double> values(bytes.size() / dtype_bytes(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (dtype == DType::kF64) {
      std::memcpy(&values[i], bytes.data() + i * sizeof(double), sizeof(double));
    } else {
      float narrow = 0.0f;
      std::memcpy(&narrow, bytes.data() + i * sizeof(float), sizeof(float));
      values[i] = narrow;
    }
  }
  return values;
}

QuantParams deployed_params(QuantParams params, bool is_symmetric) {
  params.zero_point.resize(is_symmetric ? 0 : params.scale.size());
  return params;
}

QuantizedWeights deployed_weights(std::vector<std::uint8_t> codes, const QuantParams& params,
                                  const Shape& shape, DType dtype) {
  if (params.quantizer.format != Format::kInt4) {
    return {std::move(codes), CodeLayout::kBytes, params, shape, dtype};
  }
  std::vector<std::uint8_t> pairs((codes.size() + 1) / 2);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    pairs[i / 2] |= static_cast<std::uint8_t>((codes[i] & 0xfu) << (i % 2 * 4));
  }
  return {std::move(pairs), CodeLayout::kNibbles, params, shape, dtype};
}

std::vector<std::uint8_t> code_bytes(const QuantizedWeights& weights) {
  if (weights.layout == CodeLayout::kBytes) return weights.codes;
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(weights.shape.count()));
  for (std::size_t i = 0; i < codes.size(); ++i) {
    const unsigned code = weights.codes[i / 2] >> (i % 2 * 4) & 0xfu;
    codes[i] = static_cast<std::uint8_t>((code ^ 8u) - 8u);
  }
  return codes;
}

std::vector<std::int64_t> sums_of_rows(std::span<const std::uint8_t> codes, const Shape& shape) {
  std::vector<std::int64_t> sums(static_cast<std::size_t>(shape[0]));
  const auto columns = static_cast<std::size_t>(shape[1]);
  for (std::size_t row = 0; row < sums.size(); ++row) {
    for (const std::uint8_t code : codes.subspan(row * columns, columns)) {
      sums[row] += static_cast<std::int8_t>(code);
    }
  }
  return sums;
}

void check_deployed(const QuantizedLayer& layer, const QatLayerConfig& config) {
  const QuantizedWeights& weight = layer.weight;
  if (weight.shape.rank() != 2) {
    throw_invalid("layer.weight.shape", text(weight.shape), "of rank 2");
  }
  if (weight.dtype != config.weight_dtype) {
    throw_invalid("layer.weight.dtype", to_string(weight.dtype),
                  "config's, " + std::string(to_string(config.weight_dtype)));
  }
  const Shape shape = check_features(weight.shape[1], weight.shape[0]);
  const QatLayerConfig checked = check_layer_config(config, shape);
  check_size("layer.bias", layer.bias.size(), static_cast<std::size_t>(shape[0]),
             "one for each output");
  check_weight_params("layer.weight.params", weight.params, checked, shape);
  check_activation_params("layer.activation", layer.activation, checked);
  check_codes(weight.codes.size(), shape.count(), config.weight.format, weight.layout);
}

void dequantize_finite(const QuantizedWeights& weights, TensorView y, const HostOptions& options) {
  dequantize_weights(weights, y, options);
  check_finite_weights(statistics(y, options).finite(), y.count());
}

WeightCodes quantize_weights(ConstTensorView weight, const QatLayerConfig& config,
                             const QuantParams* params, const HostOptions& options) {
  check_finite_weights(statistics(weight, options).finite(), weight.count());
  WeightCodes result;
  result.codes.resize(static_cast<std::size_t>(weight.count()));
  const Granularity& granularity = config.weight_granularity;
  if (params != nullptr) {
    result.params = *params;
  } else if (config.weight.method == CalibMethod::kMinMax) {
    result.params =
        quantize_dynamic(weight, {config.weight.quantizer(), granularity, config.weight.symmetric},
                         result.codes, CodeLayout::kBytes, options);
    return result;
  } else {
    result.params = std::move(
        calibrate({&weight, 1}, granularity, {&config.weight, 1}, options).front().params);
  }
  quantize(weight, result.params, result.codes, CodeLayout::kBytes, options);
  return result;
}

}  // namespace cuqat::detail
