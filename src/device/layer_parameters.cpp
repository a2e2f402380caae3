// A layer's parameters on the device: where they come from, and where they go.
#include <cstring>
#include <string>
#include <vector>

#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_statistics.hpp"
#include "device/layer_state.hpp"

namespace cuqat {
namespace {

using detail::text;
using detail::throw_invalid;

detail::DeviceMemory copy_of(ConstTensorView view) {
  return detail::DeviceMemory(
      std::span(static_cast<const std::byte*>(view.data()), view.size_bytes()));
}

}  // namespace

DeviceQatLayer::State::State(const QatLayer& host, int on_device)
    : device(on_device),
      in_features(host.in_features()),
      out_features(host.out_features()),
      config(host.config()),
      weight_memory(copy_of(host.weight())),
      bias_memory(copy_of(host.bias())),
      weight_scales(config.weight, config.weight_granularity, config.weight_dtype,
                    num_scales(config.weight_granularity, weight_shape())),
      activation_scales(config.activation, Granularity::tensor(), config.weight_dtype, 1),
      weight_codes(static_cast<std::size_t>(weight_shape().count())) {
  if (takes_sums()) {
    weight_sums =
        detail::DeviceMemory(static_cast<std::size_t>(out_features) * sizeof(std::int64_t));
  }
}

DeviceQatLayer::DeviceQatLayer(std::int64_t in_features, std::int64_t out_features,
                               const QatLayerConfig& config, std::uint64_t seed,
                               const DeviceContext& context) {
  context.state().check_is_current();
  const QatLayer host(in_features, out_features, config, seed);
  if (config.weight_dtype == DType::kF64 && config.weight.method != CalibMethod::kMinMax &&
      !config.learn_weight_scale) {
    throw_invalid("config.weight.method", to_string(config.weight.method), "minmax for F64");
  }
  if (config.weight.method == CalibMethod::kEntropy &&
      config.weight.dialect == EntropyDialect::kOriginal && !config.learn_weight_scale) {
    throw_invalid("config.weight.dialect", to_string(config.weight.dialect),
                  "one that the device answers");
  }
  if (config.product == QatProduct::kCodes && config.weight.format == Format::kE5M2 &&
      config.activation.format == Format::kE5M2) {
    throw_invalid("config.activation.format", to_string(config.activation.format),
                  "e4m3 beside weights in e5m2: no device multiplies two e5m2");
  }
  state_ = std::make_unique<State>(host, context.device());
}
DeviceQatLayer::~DeviceQatLayer() = default;
DeviceQatLayer::DeviceQatLayer(DeviceQatLayer&&) noexcept = default;
DeviceQatLayer& DeviceQatLayer::operator=(DeviceQatLayer&&) noexcept = default;

std::int64_t DeviceQatLayer::in_features() const noexcept { return state_->in_features; }
std::int64_t DeviceQatLayer::out_features() const noexcept { return state_->out_features; }
const QatLayerConfig& DeviceQatLayer::config() const noexcept { return state_->config; }
ConstDeviceTensorView DeviceQatLayer::weight() const { return state_->weight(); }
ConstDeviceTensorView DeviceQatLayer::bias() const { return state_->bias(); }

DeviceTensorView DeviceQatLayer::change_weight() {
  state_->version = detail::next_parameters_version();
  state_->has_codes = false;
  if (!state_->config.learn_weight_scale) state_->weight_scales.forget();
  return state_->weight();
}

DeviceTensorView DeviceQatLayer::change_bias() { return state_->bias(); }

void DeviceQatLayer::calibrate_from_data(std::span<const ConstDeviceTensorView> batches,
                                         const DeviceContext& context, StreamRef stream) {
  std::int64_t finite = 0;
  const detail::DeviceMemory memory(sizeof(Statistics));
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const ConstDeviceTensorView& batch = batches[i];
    state_->check_input("batches[" + std::to_string(i) + "]", batch, context);
    statistics(batch, {static_cast<Statistics*>(memory.data()), 1}, context, stream);
    Statistics found;
    detail::read_back(memory.data(), std::as_writable_bytes(std::span(&found, 1)), stream);
    finite += found.finite();
  }
  if (finite == 0) throw_invalid("the number of finite elements of batches", "0", "at least 1");
  const CalibrationResult activation =
      calibrate_layer(batches, state_->config.activation, context, stream);
  QatLayerConfig following = state_->config;
  following.learn_weight_scale = false;
  QatLayer host(state_->in_features, state_->out_features, following);
  const TensorView weights = host.change_weight();
  detail::read_back(weight().data(),
                    {static_cast<std::byte*>(weights.data()), weights.size_bytes()}, stream);
  const QuantParams weight_params = host.weight_params();
  state_->has_codes = false;
  state_->version = detail::next_parameters_version();
  state_->activation_scales.set(activation.params);
  state_->weight_scales.set(weight_params);
}

void DeviceQatLayer::set_activation_params(const QuantParams& params,
                                           const DeviceContext& context) {
  detail::check_context_of("layer", state_->device, context);
  context.state().check_is_current();
  QatLayer checks(state_->in_features, 1, state_->config);
  checks.set_activation_params(params);
  state_->version = detail::next_parameters_version();
  state_->activation_scales.set(params);
}

void DeviceQatLayer::set_weight_params(const QuantParams& params, const DeviceContext& context) {
  detail::check_context_of("layer", state_->device, context);
  context.state().check_is_current();
  QatLayer checks(state_->in_features, state_->out_features, state_->config);
  checks.set_weight_params(params);
  state_->has_codes = false;
  state_->version = detail::next_parameters_version();
  state_->weight_scales.set(params);
}

DeviceQuantParams DeviceQatLayer::activation_params() const {
  state_->check_activations_calibrated();
  return state_->activation_scales.params();
}

DeviceQuantParams DeviceQatLayer::weight_params() const {
  if (!state_->weight_scales.is_known() && !state_->has_codes) {
    throw InvalidArgument(
        "the layer's weights have not been quantized since they changed; run a pass first");
  }
  return state_->weight_scales.params();
}

DeviceTensorView DeviceQatLayer::change_weight_scale() {
  state_->check_calibrated();
  if (!state_->config.learn_weight_scale) {
    throw_invalid("config.learn_weight_scale", "false", "true to change the scales");
  }
  state_->version = detail::next_parameters_version();
  state_->has_codes = false;
  return state_->weight_scales.to_write().scale;
}

DeviceTensorView DeviceQatLayer::change_activation_scale() {
  state_->check_activations_calibrated();
  if (!state_->config.learn_activation_scale) {
    throw_invalid("config.learn_activation_scale", "false", "true to change the scale");
  }
  state_->version = detail::next_parameters_version();
  return state_->activation_scales.to_write().scale;
}

QatLayer DeviceQatLayer::to_host(const DeviceContext& context, StreamRef stream) const {
  detail::check_context_of("layer", state_->device, context);
  context.state().check_is_current();
  QatLayer host(state_->in_features, state_->out_features, state_->config);
  const auto read = [&](const ConstDeviceTensorView& from, const TensorView& to) {
    detail::read_back(from.data(), {static_cast<std::byte*>(to.data()), to.size_bytes()}, stream);
  };
  read(weight(), host.change_weight());
  read(bias(), host.change_bias());
  if (state_->activation_scales.is_known()) {
    host.set_activation_params(state_->activation_scales.to_host(stream));
  }
  if (state_->weight_scales.is_known()) {
    host.set_weight_params(state_->weight_scales.to_host(stream));
  }
  return host;
}

}  // namespace cuqat
