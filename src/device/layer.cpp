// A layer's forward and backward passes on the device.
#include <cuda_runtime.h>

#include <string_view>

#include "check.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_gemm.hpp"
#include "device/layer_state.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

bool is_capturing(StreamRef stream) {
  cudaStreamCaptureStatus status{};
  gpu::check(cudaStreamIsCapturing(stream.get(), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

bool is_wanted(const DeviceTensorView& gradient) { return detail::is_wanted(as_plain(gradient)); }

detail::LayerGradients as_addresses(const DeviceQatGradients& gradients) {
  return {as_plain(gradients.dx),
          as_plain(gradients.dweight),
          as_plain(gradients.dbias),
          as_plain(gradients.weight.dscale),
          as_plain(gradients.weight.dzero_point),
          as_plain(gradients.activation.dscale),
          as_plain(gradients.activation.dzero_point),
          gradients.weight_gradient_scale,
          gradients.activation_gradient_scale};
}

}  // namespace

DeviceQatLayer::Saved::Saved() : state_(std::make_unique<State>()) {}
DeviceQatLayer::Saved::~Saved() = default;
DeviceQatLayer::Saved::Saved(Saved&&) noexcept = default;
DeviceQatLayer::Saved& DeviceQatLayer::Saved::operator=(Saved&&) noexcept = default;

void DeviceQatLayer::State::check_context(const DeviceContext& context,
                                          std::source_location operation) const {
  detail::check_context_of("layer", device, context);
  context.state().check_is_current(operation);
}

void DeviceQatLayer::State::check_calibrated() const {
  detail::check_activations_calibrated(scales.activation.is_known());
  detail::check_weights_calibrated(config, scales.weight.is_known());
}

void DeviceQatLayer::State::check_pass(const ConstDeviceTensorView& x, const DeviceTensorView& y,
                                       const DeviceContext& context) const {
  detail::check_forward(as_plain(x), as_plain(y), memory());
  detail::check_device_view("x", x, context);
  detail::check_device_view("y", y, context);
  check_calibrated();
}

void DeviceQatLayer::State::check_backward(const ConstDeviceTensorView& dy,
                                           const ConstDeviceTensorView& saved,
                                           const DeviceQatGradients& gradients,
                                           const DeviceContext& context) const {
  detail::check_backward(as_plain(dy), as_plain(saved), as_addresses(gradients), memory());
  detail::check_device_view("dy", dy, context);
  detail::check_device_view("gradients.dx", gradients.dx, context);
  detail::check_device_view("gradients.dweight", gradients.dweight, context);
  detail::check_device_view("gradients.dbias", gradients.dbias, context);
  const auto check = [&](std::string_view name, const DeviceTensorView& of_scales) {
    if (of_scales.count() == 0) return;
    detail::check_per_scale(name, of_scales, config.weight_dtype, of_scales.count(), context);
  };
  check("gradients.weight.dscale", gradients.weight.dscale);
  check("gradients.weight.dzero_point", gradients.weight.dzero_point);
  check("gradients.activation.dscale", gradients.activation.dscale);
  check("gradients.activation.dzero_point", gradients.activation.dzero_point);
}

void DeviceQatLayer::State::quantize_weight(Pass pass, const DeviceContext& context,
                                            StreamRef stream) {
  if (is_capturing(stream)) {
    is_in_graphs = true;
    // Its replays may change the weights.
    if (pass == Pass::kTraining) are_codes_given = false;
  }
  if (has_codes && (are_codes_given || !is_in_graphs)) return;
  const CalibrationOptions& options = config.weight;
  const bool has_a_scale_a_row = config.weight_granularity == Granularity::channel(0);
  if (scales.weight.is_known()) {
    quantize(weight(), scales.weight.params(), codes(), CodeLayout::kBytes, context, stream);
  } else if (options.method == CalibMethod::kMinMax) {
    // A row of weights as a group: one read of them.
    const Granularity granularity =
        has_a_scale_a_row ? Granularity::group(in_features) : config.weight_granularity;
    quantize_dynamic(weight(), {scales.weight.quantizer(), granularity, options.symmetric}, codes(),
                     CodeLayout::kBytes, scales.weight.to_write(), context, stream);
  } else {
    calibrate_scales(weight(), config.weight_granularity, options, scales.weight.to_write(),
                     context, stream);
    quantize(weight(), scales.weight.params(), codes(), CodeLayout::kBytes, context, stream);
  }
  if (takes_sums()) sum_code_rows(codes(), in_features, sums(), context, stream);
  numbers_dtype.reset();
  has_codes = true;
}

ConstDeviceTensorView DeviceQatLayer::State::weight_numbers(DType dtype,
                                                            const DeviceContext& context,
                                                            StreamRef stream) {
  const DeviceTensorView result = numbers.tensor(dtype, weight_shape());
  if (numbers_dtype != dtype || is_in_graphs) {
    numbers_dtype.reset();
    dequantize(codes(), scales.weight.params(), result, CodeLayout::kBytes, context, stream);
    numbers_dtype = dtype;
  }
  return result;
}

void DeviceQatLayer::State::multiply(const ConstDeviceTensorView& x,
                                     const ConstDeviceTensorView& quantized,
                                     detail::GrowingMemory& code_memory, const DeviceTensorView& y,
                                     const DeviceContext& context, StreamRef stream) {
  if (config.product == QatProduct::kNumbers) {
    linear(quantized, weight_numbers(x.dtype(), context, stream), bias(), y, context, stream);
    return;
  }
  const DeviceQuantParams params = scales.activation.params();
  const DeviceSpan<std::uint8_t> x_codes = code_memory.bytes(static_cast<std::size_t>(x.count()));
  quantize(x, params, x_codes, CodeLayout::kBytes, context, stream);
  const GemmShape shape{x.shape()[0], out_features, in_features};
  if (multiplies_integers()) {
    int8_linear(x_codes, params, codes(), scales.weight.params(), shape, bias(), sums(), y, context,
                stream);
  } else {
    fp8_linear(x_codes, params, codes(), scales.weight.params(), shape, bias(), y, context, stream);
  }
}

void DeviceQatLayer::forward_train(ConstDeviceTensorView x, DeviceTensorView y, Saved& saved,
                                   const DeviceContext& context, StreamRef stream) {
  if (saved.state_ == nullptr) saved = Saved();  // it has been moved from
  Saved::State& kept = *saved.state_;
  kept.version = 0;
  state_->check_context(context);
  state_->check_pass(x, y, context);
  if (kept.device != state_->device) {
    kept = Saved::State();
    kept.device = state_->device;
  }
  kept.shape = x.shape();
  kept.dtype = x.dtype();
  state_->quantize_weight(State::Pass::kTraining, context, stream);
  const DeviceTensorView quantized = kept.quantized.tensor(x.dtype(), x.shape());
  fake_quantize(x, state_->scales.activation.params(), quantized,
                {kept.clip_mask.bytes(clip_mask_bytes(x.count())), {}}, context, stream);
  if (state_->config.learn_activation_scale) {
    gpu::check(cudaMemcpyAsync(kept.input.at_least(x.size_bytes()), x.data(), x.size_bytes(),
                               cudaMemcpyDeviceToDevice, stream.get()),
               "cudaMemcpyAsync");
  }
  state_->multiply(x, quantized, kept.codes, y, context, stream);
  kept.version = state_->version;
}

void DeviceQatLayer::backward(ConstDeviceTensorView dy, Saved& saved,
                              const DeviceQatGradients& gradients, const DeviceContext& context,
                              StreamRef stream) {
  const QatLayerConfig& config = state_->config;
  if (saved.state_ == nullptr) saved = Saved();  // it has been moved from
  Saved::State& kept = *saved.state_;
  state_->check_context(context);
  detail::check_saved(kept.version, state_->version);
  const DeviceTensorView quantized = kept.quantized.tensor(kept.dtype, kept.shape);
  state_->check_backward(dy, quantized, gradients, context);

  const std::int64_t rows = kept.shape[0];
  if (is_wanted(gradients.dbias)) {
    if (kept.num_ones < rows || kept.ones_dtype != kept.dtype) {
      kept.ones = detail::DeviceMemory(detail::ones_of(kept.dtype, rows));
      kept.num_ones = rows;
      kept.ones_dtype = kept.dtype;
    }
    gemm({kept.ones.data(), kept.dtype, Shape{1, rows}}, Transpose::kNo, dy, Transpose::kNo,
         {gradients.dbias.data(), config.weight_dtype, Shape{1, state_->out_features}}, context,
         stream);
  }
  const bool of_weight = gradients.weight.dscale.count() != 0;
  if (is_wanted(gradients.dweight) || of_weight) {
    const DeviceTensorView dweight =
        is_wanted(gradients.dweight)
            ? gradients.dweight
            : kept.unwanted.tensor(config.weight_dtype, state_->weight_shape());
    gemm(dy, Transpose::kYes, quantized, Transpose::kNo, dweight, context, stream);
    const DeviceQuantParams params = state_->scales.weight.params();
    if (of_weight) {
      learned_scale_backward(dweight, state_->weight(), params, dweight, gradients.weight,
                             gradients.weight_gradient_scale, context, stream);
    } else {
      fake_quantize_backward(dweight, state_->weight(), params, dweight, context, stream);
    }
  }
  const bool of_activation = gradients.activation.dscale.count() != 0;
  if (is_wanted(gradients.dx) || of_activation) {
    const DeviceTensorView dx =
        is_wanted(gradients.dx) ? gradients.dx : kept.unwanted.tensor(kept.dtype, kept.shape);
    gemm(dy, Transpose::kNo, state_->weight_numbers(kept.dtype, context, stream), Transpose::kNo,
         dx, context, stream);
    if (of_activation) {
      learned_scale_backward(dx, kept.input.tensor(kept.dtype, kept.shape),
                             state_->scales.activation.params(), dx, gradients.activation,
                             gradients.activation_gradient_scale, context, stream);
    } else {
      fake_quantize_backward(dx, kept.clip_mask.bytes(clip_mask_bytes(dx.count())), dx, context,
                             stream);
    }
  }
}

void DeviceQatLayer::forward_infer(ConstDeviceTensorView x, DeviceTensorView y,
                                   const DeviceContext& context, StreamRef stream) {
  state_->check_context(context);
  state_->check_pass(x, y, context);
  state_->quantize_weight(State::Pass::kInference, context, stream);
  ConstDeviceTensorView quantized;
  if (state_->config.product == QatProduct::kNumbers) {
    const DeviceTensorView numbers = state_->infer_numbers.tensor(x.dtype(), x.shape());
    fake_quantize(x, state_->scales.activation.params(), numbers, {}, context, stream);
    quantized = numbers;
  }
  state_->multiply(x, quantized, state_->infer_codes, y, context, stream);
}

}  // namespace cuqat
