#include <cmath>
#include <limits>
#include <string>

#include "cuqat/original.hpp"
#include "original/arithmetic.hpp"
#include "original/quantize.hpp"

namespace cuqat::original {
namespace {

double fake_quantize(QuantBits bits, double value, double scale, std::int32_t zero_point) {
  switch (bits) {
    case QuantBits::kInt4:
      return quantize_int4(value, scale, zero_point);
    case QuantBits::kFp8:
      return quantize_fp8(value);
    case QuantBits::kInt8:
      break;
  }
  return quantize_int8(value, scale, zero_point);
}

void check_lengths(const QatLayer& layer, std::size_t num_inputs) {
  if (num_inputs != layer.in_features) {
    throw InvalidArgument("Expected " + std::to_string(layer.in_features) + " inputs, got " +
                          std::to_string(num_inputs));
  }
  if (layer.bias.size() < layer.out_features) {
    throw InvalidArgument("Expected a bias of at least " + std::to_string(layer.out_features) +
                          " elements, got " + std::to_string(layer.bias.size()));
  }
  // Divided, because the product of the features may wrap.
  if (layer.in_features != 0 && layer.weights.size() / layer.in_features < layer.out_features) {
    throw InvalidArgument("Expected " + std::to_string(layer.out_features) + " rows of " +
                          std::to_string(layer.in_features) + " weights, got " +
                          std::to_string(layer.weights.size()) + " weights");
  }
}

std::vector<std::int32_t> int8_codes(std::span<const double> values, double scale,
                                     std::int32_t zero_point) {
  std::vector<std::int32_t> codes;
  codes.reserve(values.size());
  for (const double value : values) {
    codes.push_back(integer_code(value, scale, zero_point, kInt8Codes));
  }
  return codes;
}

std::uint64_t sum(std::span<const std::int32_t> codes) {
  std::uint64_t total = 0;
  for (const std::int32_t code : codes) total += modulo_2_64(code);
  return total;
}

std::uint64_t dot(std::span<const std::int32_t> a, std::span<const std::int32_t> b) {
  std::uint64_t total = 0;
  for (std::size_t i = 0; i < a.size(); ++i) total += modulo_2_64(a[i]) * modulo_2_64(b[i]);
  return total;
}

}  // namespace

QatLayer::QatLayer(std::size_t num_inputs, std::size_t num_outputs, const QatConfig& configuration)
    : bias(num_outputs, 0.0),
      in_features(num_inputs),
      out_features(num_outputs),
      config(configuration) {
  const double bound = std::sqrt(6.0 / static_cast<double>(in_features + out_features));
  std::uint64_t state = 0xDEAD'BEEF'CAFE'BABEu;
  weights.resize(in_features * out_features);
  for (double& weight : weights) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    // 31 bits over the largest number of 32: less than a half, so every weight is negative.
    const double uniform = static_cast<double>(state >> 33) /
                           static_cast<double>(std::numeric_limits<std::uint32_t>::max());
    weight = (uniform * 2.0 - 1.0) * bound;
  }
}

void QatLayer::calibrate_from_data(std::span<const double> activations) {
  CalibrationCollector weight_collector;
  weight_collector.observe(weights);
  const ScaleZeroPoint weight_range = weight_collector.min_max_scale();
  weight_scale = weight_range.scale;
  weight_zero_point = weight_range.zero_point;
  if (activations.empty()) return;

  CalibrationCollector activation_collector;
  activation_collector.observe(activations);
  const ScaleZeroPoint activation_range = activation_collector.min_max_scale();
  activation_scale = activation_range.scale;
  activation_zero_point = activation_range.zero_point;
}

std::vector<double> QatLayer::forward_train(std::span<const double> x) const {
  check_lengths(*this, x.size());
  std::vector<double> inputs;
  inputs.reserve(x.size());
  for (const double value : x) {
    inputs.push_back(fake_quantize(config.bits, value, activation_scale, activation_zero_point));
  }

  std::vector<double> outputs(out_features);
  for (std::size_t o = 0; o < out_features; ++o) {
    double total = bias[o];
    for (std::size_t i = 0; i < in_features; ++i) {
      const double weight = weights[o * in_features + i];
      total += fake_quantize(config.bits, weight, weight_scale, weight_zero_point) * inputs[i];
    }
    outputs[o] = total;
  }
  return outputs;
}

std::vector<double> QatLayer::forward_infer(std::span<const double> x) const {
  check_lengths(*this, x.size());
  const std::vector<std::int32_t> inputs = int8_codes(x, activation_scale, activation_zero_point);
  const std::vector<std::int32_t> codes = int8_codes(weights, weight_scale, weight_zero_point);
  const double output_scale = activation_scale * weight_scale;
  const std::uint64_t weight_zero = modulo_2_64(weight_zero_point);
  const std::uint64_t input_zero = modulo_2_64(activation_zero_point);
  const std::uint64_t input_sum = sum(inputs);

  std::vector<double> outputs(out_features);
  for (std::size_t o = 0; o < out_features; ++o) {
    const auto row = std::span(codes).subspan(o * in_features, in_features);
    const std::uint64_t zero_point_terms =
        weight_zero * input_sum + input_zero * sum(row) - weight_zero * input_zero * in_features;
    const auto total = static_cast<std::int64_t>(dot(row, inputs) - zero_point_terms);
    outputs[o] = static_cast<double>(total) * output_scale + bias[o];
  }
  return outputs;
}

QuantizedWeights quantize_model_weights(std::span<const double> weights, const QatConfig& config) {
  CalibrationCollector collector;
  collector.observe(weights);
  const auto [scale, zero_point] = collector.min_max_scale();
  const CodeRange range = config.bits == QuantBits::kInt4 ? kInt4Codes : kInt8Codes;

  QuantizedWeights result{{}, scale, zero_point};
  result.codes.reserve(weights.size());
  for (const double weight : weights) {
    result.codes.push_back(
        static_cast<std::int8_t>(integer_code(weight, scale, zero_point, range)));
  }
  return result;
}

std::vector<double> dequantize_weights(std::span<const std::int8_t> codes, double scale,
                                       std::int32_t zero_point) {
  std::vector<double> values;
  values.reserve(codes.size());
  for (const std::int8_t code : codes) values.push_back(integer_value(code, scale, zero_point));
  return values;
}

}  // namespace cuqat::original
