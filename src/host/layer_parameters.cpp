// A layer's parameters: where they come from, how they are quantized, how they are deployed.
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "cuqat/layer.hpp"
#include "cuqat/statistics.hpp"
#include "host/arguments.hpp"
#include "host/layer_arguments.hpp"
#include "host/layer_parts.hpp"
#include "host/parameters_version.hpp"

namespace cuqat {
namespace {

/// As numbers of the dtype, which is how they are used.
QuantParams rounded_to(DType dtype, QuantParams params) {
  if (dtype == DType::kF64) return params;
  for (double& scale : params.scale) scale = static_cast<float>(scale);
  return params;
}

}  // namespace

QatLayer::QatLayer(std::int64_t in_features, std::int64_t out_features,
                   const QatLayerConfig& config, std::uint64_t seed)
    : QatLayer(detail::check_features(in_features, out_features), config) {
  std::vector<float> start(static_cast<std::size_t>(weight_shape().count()));
  xavier_uniform(seed, in_features, out_features, start);
  if (config_.weight_dtype == DType::kF32) {
    std::memcpy(weight_.data(), start.data(), weight_.size());
    return;
  }
  for (std::size_t i = 0; i < start.size(); ++i) {
    const double value = start[i];
    std::memcpy(weight_.data() + i * sizeof(value), &value, sizeof(value));
  }
}

QatLayer::QatLayer(const Shape& weight_shape, const QatLayerConfig& config)
    : in_features_(weight_shape[1]),
      out_features_(weight_shape[0]),
      config_(detail::check_layer_config(config, weight_shape)),
      weight_(static_cast<std::size_t>(weight_shape.count()) * dtype_bytes(config_.weight_dtype)),
      bias_(static_cast<std::size_t>(out_features_) * dtype_bytes(config_.weight_dtype)),
      version_(detail::next_parameters_version()) {}

QatLayer QatLayer::of_quantized(const QuantizedLayer& layer, const QatLayerConfig& config,
                                const HostOptions& options) {
  detail::check_deployed(layer, config);
  const QuantizedWeights& weight = layer.weight;
  QatLayer result(weight.shape, config);
  detail::dequantize_finite(weight, {result.weight_.data(), weight.dtype, weight.shape}, options);
  result.bias_ = detail::parameter_bytes(weight.dtype, layer.bias);
  result.set_weight_params(weight.params);
  result.set_activation_params(layer.activation);
  result.weight_codes_ = detail::code_bytes(weight);
  return result;
}

ConstTensorView QatLayer::weight() const {
  return {weight_.data(), config_.weight_dtype, weight_shape()};
}

ConstTensorView QatLayer::bias() const {
  return {bias_.data(), config_.weight_dtype, Shape{out_features_}};
}

TensorView QatLayer::change_weight() {
  version_ = detail::next_parameters_version();
  weight_codes_.clear();
  if (!config_.learn_weight_scale) weight_params_.reset();
  return {weight_.data(), config_.weight_dtype, weight_shape()};
}

TensorView QatLayer::change_bias() {
  return {bias_.data(), config_.weight_dtype, Shape{out_features_}};
}

void QatLayer::calibrate_from_data(std::span<const ConstTensorView> batches,
                                   const HostOptions& options) {
  std::int64_t finite = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    detail::check_layer_input("batches[" + std::to_string(i) + "]", batches[i],
                              {config_, weight(), bias()});
    finite += statistics(batches[i], options).finite();
  }
  if (finite == 0)
    detail::throw_invalid("the number of finite elements of batches", "0", "at least 1");
  CalibrationResult activation = std::move(
      calibrate(batches, Granularity::tensor(), {&config_.activation, 1}, options).front());
  detail::WeightCodes now = detail::quantize_weights(weight(), config_, nullptr, options);
  activation_params_ = std::move(activation.params);
  weight_params_ = std::move(now.params);
  weight_codes_ = std::move(now.codes);
  weight_numbers_.clear();
  version_ = detail::next_parameters_version();
}

const QuantParams& QatLayer::activation_params() const {
  detail::check_activations_calibrated(activation_params_.has_value());
  return *activation_params_;
}

const QuantParams& QatLayer::weight_params(const HostOptions& options) {
  quantize_weight(options);
  return *weight_params_;
}

void QatLayer::set_activation_params(const QuantParams& params) {
  detail::check_activation_params("params", params, config_);
  activation_params_ = rounded_to(config_.weight_dtype, params);
  version_ = detail::next_parameters_version();
}

void QatLayer::set_weight_params(const QuantParams& params) {
  detail::check_weight_params("params", params, config_, weight_shape());
  weight_params_ = rounded_to(config_.weight_dtype, params);
  weight_codes_.clear();
  version_ = detail::next_parameters_version();
}

void QatLayer::quantize_weight(const HostOptions& options) {
  if (!weight_codes_.empty()) return;
  detail::check_weights_calibrated(config_, weight_params_.has_value());
  detail::WeightCodes now = detail::quantize_weights(
      weight(), config_, weight_params_ ? &*weight_params_ : nullptr, options);
  weight_params_ = std::move(now.params);
  weight_codes_ = std::move(now.codes);
  weight_numbers_.clear();
}

QuantizedLayer QatLayer::quantized(const HostOptions& options) {
  QuantParams of_activations =
      detail::deployed_params(activation_params(), config_.activation.symmetric);
  quantize_weight(options);
  return {detail::deployed_weights(
              weight_codes_, detail::deployed_params(*weight_params_, config_.weight.symmetric),
              weight_shape(), config_.weight_dtype),
          detail::parameter_values(config_.weight_dtype, bias_), std::move(of_activations)};
}

}  // namespace cuqat
