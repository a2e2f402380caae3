// A layer's forward and backward passes on the device.
#include <cuda_runtime.h>

#include <optional>
#include <string>

#include "check.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_gemm.hpp"
#include "device/layer_state.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;
using detail::text;
using detail::throw_invalid;

bool is_capturing(StreamRef stream) {
  cudaStreamCaptureStatus status{};
  gpu::check(cudaStreamIsCapturing(stream.get(), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

bool is_wanted(ConstDeviceTensorView output) { return output.data() != nullptr; }

void check_output(std::string_view name, const ConstDeviceTensorView& output, DType dtype,
                  const Shape& shape, const DeviceContext& context) {
  if (output.dtype() != dtype) {
    throw_invalid(std::string(name) + ".dtype()", to_string(output.dtype()), to_string(dtype));
  }
  if (output.shape() != shape) {
    throw_invalid(std::string(name) + ".shape()", text(output.shape()), text(shape));
  }
  detail::check_device_view(name, output, context);
}

void check_learned(std::string_view name, const DeviceLearnedScaleGradient& gradient,
                   bool is_learned) {
  if (gradient.dscale.count() == 0 && gradient.dzero_point.count() == 0) return;
  if (!is_learned) {
    throw_invalid("gradients." + std::string(name), "asked for",
                  "empty, as config.learn_" + std::string(name) + "_scale is false");
  }
  if (gradient.dscale.count() == 0) {
    throw_invalid("gradients." + std::string(name) + ".dscale", "empty",
                  "asked for where dzero_point is");
  }
}

/// dx = the straight-through gradient of what x is quantized with, in place, and those of the
/// scale where they are asked for.
void pass_through(const ConstDeviceTensorView& x, const DeviceQuantParams& params,
                  const DeviceTensorView& dx, const DeviceLearnedScaleGradient& learned,
                  const DeviceContext& context, StreamRef stream) {
  if (learned.dscale.count() == 0) {
    fake_quantize_backward(dx, x, params, dx, context, stream);
  } else {
    learned_scale_backward(dx, x, params, dx, learned, std::nullopt, context, stream);
  }
}

}  // namespace

DeviceQatLayer::Saved::Saved() : state_(std::make_unique<State>()) {}
DeviceQatLayer::Saved::~Saved() = default;
DeviceQatLayer::Saved::Saved(Saved&&) noexcept = default;
DeviceQatLayer::Saved& DeviceQatLayer::Saved::operator=(Saved&&) noexcept = default;

void DeviceQatLayer::State::check_input(const std::string& name, const ConstDeviceTensorView& x,
                                        const DeviceContext& context) const {
  detail::check_context_of("layer", device, context);
  detail::check_matrix(name, as_plain(x));
  detail::check_device_view(name, x, context);
  if (x.shape()[1] != in_features) {
    throw_invalid(name + ".shape()", text(x.shape()), "[rows, " + text(in_features) + "]");
  }
  if ((x.dtype() == DType::kF64) != (config.weight_dtype == DType::kF64)) {
    throw_invalid(name + ".dtype()", to_string(x.dtype()),
                  config.weight_dtype == DType::kF64 ? "F64, as the weights"
                                                     : "F32, BF16 or F16, as the weights are F32");
  }
}

void DeviceQatLayer::State::check_activations_calibrated() const {
  if (!activation_scales.is_known()) {
    throw InvalidArgument(
        "the layer has no scale of its activations; call calibrate_from_data or "
        "set_activation_params first");
  }
}

void DeviceQatLayer::State::check_calibrated() const {
  check_activations_calibrated();
  if (config.learn_weight_scale && !weight_scales.is_known()) {
    throw InvalidArgument(
        "the layer learns its weight scales and has none; call "
        "calibrate_from_data or set_weight_params first");
  }
}

void DeviceQatLayer::State::check_pass(const ConstDeviceTensorView& x, const DeviceTensorView& y,
                                       const DeviceContext& context) const {
  check_input("x", x, context);
  check_output("y", y, x.dtype(), Shape{x.shape()[0], out_features}, context);
  detail::check_apart({{"y", as_plain(y)}}, {{"x", as_plain(x)},
                                             {"the layer's weights", as_plain(weight())},
                                             {"the layer's bias", as_plain(bias())}});
  check_calibrated();
}

void DeviceQatLayer::State::quantize_weight(const DeviceContext& context, StreamRef stream) {
  if (is_capturing(stream)) is_in_graphs = true;
  if (has_codes && !is_in_graphs) return;
  const CalibrationOptions& options = config.weight;
  const bool has_a_scale_a_row = config.weight_granularity == Granularity::channel(0);
  if (weight_scales.is_known()) {
    quantize(weight(), weight_scales.params(), codes(), CodeLayout::kBytes, context, stream);
  } else if (options.method == CalibMethod::kMinMax) {
    // A row of weights as a group: one read of them.
    const Granularity granularity =
        has_a_scale_a_row ? Granularity::group(in_features) : config.weight_granularity;
    quantize_dynamic(weight(), {weight_scales.quantizer(), granularity, options.symmetric}, codes(),
                     CodeLayout::kBytes, weight_scales.to_write(), context, stream);
  } else {
    calibrate_scales(weight(), config.weight_granularity, options, weight_scales.to_write(),
                     context, stream);
    quantize(weight(), weight_scales.params(), codes(), CodeLayout::kBytes, context, stream);
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
    dequantize(codes(), weight_scales.params(), result, CodeLayout::kBytes, context, stream);
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
  const DeviceQuantParams params = activation_scales.params();
  const DeviceSpan<std::uint8_t> x_codes = code_memory.bytes(static_cast<std::size_t>(x.count()));
  quantize(x, params, x_codes, CodeLayout::kBytes, context, stream);
  const GemmShape shape{x.shape()[0], out_features, in_features};
  if (multiplies_integers()) {
    int8_linear(x_codes, params, codes(), weight_scales.params(), shape, bias(), sums(), y, context,
                stream);
  } else {
    fp8_linear(x_codes, params, codes(), weight_scales.params(), shape, bias(), y, context, stream);
  }
}

void DeviceQatLayer::forward_train(ConstDeviceTensorView x, DeviceTensorView y, Saved& saved,
                                   const DeviceContext& context, StreamRef stream) {
  if (saved.state_ == nullptr) saved = Saved();  // it has been moved from
  Saved::State& kept = *saved.state_;
  kept.version = 0;
  state_->check_pass(x, y, context);
  kept.shape = x.shape();
  kept.dtype = x.dtype();
  state_->quantize_weight(context, stream);
  const DeviceTensorView quantized = kept.quantized.tensor(x.dtype(), x.shape());
  fake_quantize(x, state_->activation_scales.params(), quantized,
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
  detail::check_context_of("layer", state_->device, context);
  if (kept.version == 0) throw_invalid("saved", "of no forward pass", "what forward_train left");
  if (kept.version != state_->version) {
    throw_invalid("saved", "of another layer, or of parameters that have changed since",
                  "what forward_train of this layer left");
  }
  const std::int64_t rows = kept.shape[0];
  check_output("dy", dy, kept.dtype, Shape{rows, state_->out_features}, context);
  const auto check = [&](std::string_view name, const DeviceTensorView& output, DType dtype,
                         const Shape& shape) {
    if (is_wanted(output)) check_output(name, output, dtype, shape, context);
  };
  const Shape of_bias{state_->out_features};
  check("gradients.dx", gradients.dx, kept.dtype, kept.shape);
  check("gradients.dweight", gradients.dweight, config.weight_dtype, state_->weight_shape());
  check("gradients.dbias", gradients.dbias, config.weight_dtype, of_bias);
  check_learned("weight", gradients.weight, config.learn_weight_scale);
  check_learned("activation", gradients.activation, config.learn_activation_scale);
  detail::check_apart(
      {{"gradients.dx", as_plain(gradients.dx)},
       {"gradients.dweight", as_plain(gradients.dweight)},
       {"gradients.dbias", as_plain(gradients.dbias)},
       {"gradients.weight.dscale", as_plain(gradients.weight.dscale)},
       {"gradients.weight.dzero_point", as_plain(gradients.weight.dzero_point)},
       {"gradients.activation.dscale", as_plain(gradients.activation.dscale)},
       {"gradients.activation.dzero_point", as_plain(gradients.activation.dzero_point)}},
      {{"dy", as_plain(dy)},
       {"the layer's weights", as_plain(state_->weight())},
       {"the layer's bias", as_plain(state_->bias())},
       {"saved", as_plain(kept.quantized.tensor(kept.dtype, kept.shape))}});

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
  if (is_wanted(gradients.dweight) || gradients.weight.dscale.count() != 0) {
    const DeviceTensorView dweight =
        is_wanted(gradients.dweight)
            ? gradients.dweight
            : kept.unwanted.tensor(config.weight_dtype, state_->weight_shape());
    gemm(dy, Transpose::kYes, kept.quantized.tensor(kept.dtype, kept.shape), Transpose::kNo,
         dweight, context, stream);
    pass_through(state_->weight(), state_->weight_scales.params(), dweight, gradients.weight,
                 context, stream);
  }
  if (is_wanted(gradients.dx) || gradients.activation.dscale.count() != 0) {
    const DeviceTensorView dx =
        is_wanted(gradients.dx) ? gradients.dx : kept.unwanted.tensor(kept.dtype, kept.shape);
    gemm(dy, Transpose::kNo, state_->weight_numbers(kept.dtype, context, stream), Transpose::kNo,
         dx, context, stream);
    if (gradients.activation.dscale.count() == 0) {
      fake_quantize_backward(dx, kept.clip_mask.bytes(clip_mask_bytes(dx.count())), dx, context,
                             stream);
    } else {
      pass_through(kept.input.tensor(kept.dtype, kept.shape), state_->activation_scales.params(),
                   dx, gradients.activation, context, stream);
    }
  }
}

void DeviceQatLayer::forward_infer(ConstDeviceTensorView x, DeviceTensorView y,
                                   const DeviceContext& context, StreamRef stream) {
  state_->check_pass(x, y, context);
  state_->quantize_weight(context, stream);
  ConstDeviceTensorView quantized;
  if (state_->config.product == QatProduct::kNumbers) {
    const DeviceTensorView numbers = state_->infer_numbers.tensor(x.dtype(), x.shape());
    fake_quantize(x, state_->activation_scales.params(), numbers, {}, context, stream);
    quantized = numbers;
  }
  state_->multiply(x, quantized, state_->infer_codes, y, context, stream);
}

}  // namespace cuqat
