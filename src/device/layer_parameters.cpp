// A layer's parameters on the device: where they come from, and where they go.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_statistics.hpp"
#include "device/layer_state.hpp"
#include "host/layer_parts.hpp"

namespace cuqat {
namespace {

using detail::throw_invalid;

detail::DeviceMemory copy_of(ConstTensorView view) {
  return detail::DeviceMemory(
      std::span(static_cast<const std::byte*>(view.data()), view.size_bytes()));
}

void check_on_device(const QatLayerConfig& config) {
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
}

void check_affine(std::string_view name, const CalibrationOptions& options) {
  if (!options.symmetric) return;
  throw_invalid("config." + std::string(name) + ".symmetric", "true",
                "false to change zero points");
}

/// How many of a tensor's elements are finite. Waits.
std::int64_t count_finite(const ConstDeviceTensorView& x, const DeviceContext& context,
                          StreamRef stream) {
  const detail::DeviceMemory memory(sizeof(Statistics));
  statistics(x, {static_cast<Statistics*>(memory.data()), 1}, context, stream);
  Statistics found;
  detail::read_back(memory.data(), std::as_writable_bytes(std::span(&found, 1)), stream);
  return found.finite();
}

/// What the work on the stream leaves in a tensor. Waits.
void read_back(const ConstDeviceTensorView& from, const TensorView& to, StreamRef stream) {
  detail::read_back(from.data(), {static_cast<std::byte*>(to.data()), to.size_bytes()}, stream);
}

}  // namespace

DeviceQatLayer::State::State(const QatLayer& host, int on_device)
    : device(on_device),
      in_features(host.in_features()),
      out_features(host.out_features()),
      config(host.config()),
      weight_memory(copy_of(host.weight())),
      bias_memory(copy_of(host.bias())),
      scales(config, weight_shape()),
      weight_codes(host.weight_codes_.empty()
                       ? detail::DeviceMemory(static_cast<std::size_t>(weight_shape().count()))
                       : detail::DeviceMemory(std::as_bytes(std::span(host.weight_codes_)))),
      has_codes(!host.weight_codes_.empty()),
      are_codes_given(has_codes) {
  if (takes_sums()) {
    const std::vector<std::int64_t> sums =
        has_codes ? detail::sums_of_rows(host.weight_codes_, weight_shape())
                  : std::vector<std::int64_t>(static_cast<std::size_t>(out_features));
    weight_sums = detail::DeviceMemory(std::as_bytes(std::span(sums)));
  }
  scales.set(host.weight_params_ ? &*host.weight_params_ : nullptr,
             host.activation_params_ ? &*host.activation_params_ : nullptr);
}

DeviceQatLayer::DeviceQatLayer(std::int64_t in_features, std::int64_t out_features,
                               const QatLayerConfig& config, std::uint64_t seed,
                               const DeviceContext& context)
    : DeviceQatLayer(QatLayer(in_features, out_features, config, seed), context) {}

DeviceQatLayer::DeviceQatLayer(const QatLayer& host, const DeviceContext& context) {
  context.state().check_is_current();
  check_on_device(host.config());
  state_ = std::make_unique<State>(host, context.device());
}

DeviceQatLayer DeviceQatLayer::of_quantized(const QuantizedLayer& layer,
                                            const QatLayerConfig& config,
                                            const DeviceContext& context) {
  return DeviceQatLayer(QatLayer::of_quantized(layer, config), context);
}

DeviceQatLayer::~DeviceQatLayer() = default;
DeviceQatLayer::DeviceQatLayer(DeviceQatLayer&&) noexcept = default;
DeviceQatLayer& DeviceQatLayer::operator=(DeviceQatLayer&&) noexcept = default;

std::int64_t DeviceQatLayer::in_features() const noexcept { return state_->in_features; }
std::int64_t DeviceQatLayer::out_features() const noexcept { return state_->out_features; }
const QatLayerConfig& DeviceQatLayer::config() const noexcept { return state_->config; }
ConstDeviceTensorView DeviceQatLayer::weight() const { return state_->weight(); }
ConstDeviceTensorView DeviceQatLayer::bias() const { return state_->bias(); }

bool DeviceQatLayer::is_calibrated() const noexcept { return state_->scales.activation.is_known(); }

DeviceTensorView DeviceQatLayer::change_weight() {
  state_->change_weight_codes();
  if (!state_->config.learn_weight_scale) state_->scales.weight.set_known(false);
  return state_->weight();
}

DeviceTensorView DeviceQatLayer::change_bias() { return state_->bias(); }

void DeviceQatLayer::calibrate_from_data(std::span<const ConstDeviceTensorView> batches,
                                         const DeviceContext& context, StreamRef stream) {
  state_->check_context(context);
  std::int64_t finite = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    const std::string name = "batches[" + std::to_string(i) + "]";
    detail::check_layer_input(name, detail::as_plain(batches[i]), state_->memory());
    detail::check_device_view(name, batches[i], context);
    finite += count_finite(batches[i], context, stream);
  }
  if (finite == 0) throw_invalid("the number of finite elements of batches", "0", "at least 1");
  const CalibrationResult activation =
      calibrate_layer(batches, state_->config.activation, context, stream);
  std::vector<std::byte> memory(weight().size_bytes());
  const TensorView weights(memory.data(), weight().dtype(), weight().shape());
  read_back(weight(), weights, stream);
  const QuantParams of_weight =
      detail::quantize_weights(weights, state_->config, nullptr, {}).params;
  state_->scales.set(&of_weight, &activation.params);
  state_->change_weight_codes();
}

void DeviceQatLayer::set_activation_params(const QuantParams& params,
                                           const DeviceContext& context) {
  state_->check_context(context);
  detail::check_activation_params("params", params, state_->config);
  state_->scales.set(nullptr, &params);
  state_->version = detail::next_parameters_version();
}

void DeviceQatLayer::set_weight_params(const QuantParams& params, const DeviceContext& context) {
  state_->check_context(context);
  detail::check_weight_params("params", params, state_->config, state_->weight_shape());
  state_->scales.set(&params, nullptr);
  state_->change_weight_codes();
}

DeviceQuantParams DeviceQatLayer::activation_params() const {
  detail::check_activations_calibrated(is_calibrated());
  return state_->scales.activation.params();
}

DeviceQuantParams DeviceQatLayer::weight_params() const {
  if (!state_->scales.weight.is_known() && !state_->has_codes) {
    throw InvalidArgument(
        "the layer's weights have not been quantized since they changed; run a pass first");
  }
  return state_->scales.weight.params();
}

DeviceTensorView DeviceQatLayer::change_weight_scale() {
  return state_->change_weight_scales().scale;
}

DeviceSpan<std::int32_t> DeviceQatLayer::change_weight_zero_point() {
  check_affine("weight", state_->config.weight);
  return state_->change_weight_scales().zero_point;
}

DeviceTensorView DeviceQatLayer::change_activation_scale() {
  return state_->change_activation_scale().scale;
}

DeviceSpan<std::int32_t> DeviceQatLayer::change_activation_zero_point() {
  check_affine("activation", state_->config.activation);
  return state_->change_activation_scale().zero_point;
}

void DeviceQatLayer::State::change_weight_codes() noexcept {
  version = detail::next_parameters_version();
  has_codes = are_codes_given = false;
}

DeviceScales DeviceQatLayer::State::change_weight_scales() {
  check_calibrated();
  if (!config.learn_weight_scale) {
    throw_invalid("config.learn_weight_scale", "false", "true to change the scales");
  }
  change_weight_codes();
  return scales.weight.to_write();
}

DeviceScales DeviceQatLayer::State::change_activation_scale() {
  detail::check_activations_calibrated(scales.activation.is_known());
  if (!config.learn_activation_scale) {
    throw_invalid("config.learn_activation_scale", "false", "true to change the scale");
  }
  version = detail::next_parameters_version();
  return scales.activation.to_write();
}

detail::LayerScales::OnHost DeviceQatLayer::State::scales_on_host(StreamRef stream) const {
  detail::LayerScales::OnHost result = scales.to_host(stream);
  if (scales.activation.is_known()) {
    detail::check_activation_params("activation_params", result.activation, config);
  }
  if (scales.weight.is_known() || has_codes) {
    detail::check_weight_params("weight_params", result.weight, config, weight_shape());
  }
  return result;
}

QuantizedLayer DeviceQatLayer::quantized(const DeviceContext& context, StreamRef stream) {
  state_->check_context(context);
  state_->check_calibrated();
  detail::check_finite_weights(count_finite(weight(), context, stream), weight().count());
  state_->quantize_weight(State::Pass::kInference, context, stream);
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(weight().count()));
  detail::read_back(state_->codes().data(), std::as_writable_bytes(std::span(codes)), stream);
  std::vector<std::byte> numbers(bias().size_bytes());
  detail::read_back(bias().data(), numbers, stream);
  detail::LayerScales::OnHost scales = state_->scales_on_host(stream);
  const DType dtype = state_->config.weight_dtype;
  return {detail::deployed_weights(std::move(codes), scales.weight, weight().shape(), dtype),
          detail::parameter_values(dtype, numbers), std::move(scales.activation)};
}

QatLayer DeviceQatLayer::to_host(const DeviceContext& context, StreamRef stream) const {
  state_->check_context(context);
  QatLayer host(state_->weight_shape(), state_->config);
  read_back(weight(), host.change_weight(), stream);
  read_back(bias(), host.change_bias(), stream);
  detail::LayerScales::OnHost scales = state_->scales_on_host(stream);
  if (state_->scales.activation.is_known()) host.activation_params_ = std::move(scales.activation);
  if (!state_->scales.weight.is_known()) return host;
  host.weight_params_ = std::move(scales.weight);
  if (state_->are_codes_given) {
    host.weight_codes_.resize(static_cast<std::size_t>(weight().count()));
    detail::read_back(state_->codes().data(), std::as_writable_bytes(std::span(host.weight_codes_)),
                      stream);
  }
  return host;
}

}  // namespace cuqat
