#include "cuqat/device_layer.hpp"

#include <cuda_runtime.h>

#include <cstring>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibration/methods.hpp"
#include "check.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_gemm.hpp"
#include "cuqat/device_statistics.hpp"
#include "device/arguments.hpp"
#include "device/memory.hpp"
#include "device/stream.hpp"

namespace cuqat {
namespace {

using detail::as_plain;
using detail::text;
using detail::throw_invalid;

/// Device memory that is allocated again where more of it is asked for.
class GrowingMemory {
 public:
  void* at_least(std::size_t bytes) {
    if (bytes > bytes_) {
      memory_ = detail::DeviceMemory(bytes);
      bytes_ = bytes;
    }
    return memory_.data();
  }
  [[nodiscard]] DeviceTensorView tensor(DType dtype, const Shape& shape) {
    const auto count = static_cast<std::size_t>(shape.count());
    return {at_least(count * dtype_bytes(dtype)), dtype, shape};
  }
  [[nodiscard]] DeviceSpan<std::uint8_t> bytes(std::size_t size) {
    return {static_cast<std::uint8_t*>(at_least(size)), static_cast<std::int64_t>(size)};
  }

 private:
  detail::DeviceMemory memory_;
  std::size_t bytes_ = 0;
};

void overwrite(void* to, std::span<const std::byte> bytes) {
  const detail::OwnStream stream;
  gpu::check(cudaMemcpyAsync(to, bytes.data(), bytes.size(), cudaMemcpyHostToDevice, stream.get()),
             "cudaMemcpyAsync");
  stream.wait();
}

/// What the work on the stream leaves in device memory.
void read_back(const void* from, std::span<std::byte> bytes, StreamRef stream) {
  gpu::check(
      cudaMemcpyAsync(bytes.data(), from, bytes.size(), cudaMemcpyDeviceToHost, stream.get()),
      "cudaMemcpyAsync");
  gpu::check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
}

/// Scales and zero points in device memory.
struct KeptScales {
  KeptScales(const QatLayerConfig& config, const CalibrationOptions& options,
             const Granularity& of_tensor, std::int64_t num_scales)
      : quantizer(calibration::quantizer_of(options)),
        granularity(of_tensor),
        dtype(config.weight_dtype),
        count(num_scales),
        scale(static_cast<std::size_t>(count) * dtype_bytes(dtype)) {
    if (!options.symmetric) {
      zero_point = detail::DeviceMemory(static_cast<std::size_t>(count) * sizeof(std::int32_t));
    }
  }

  [[nodiscard]] DeviceScales to_write() const {
    return {{scale.data(), dtype, Shape{count}}, zero_points()};
  }
  [[nodiscard]] DeviceQuantParams params() const {
    return {quantizer, granularity, to_write().scale, zero_points()};
  }
  [[nodiscard]] DeviceSpan<std::int32_t> zero_points() const {
    if (zero_point.data() == nullptr) return {};
    return {static_cast<std::int32_t*>(zero_point.data()), count};
  }
  /// Of the host's, where the memory is: graphs find them. Waits.
  void set(const QuantParams& of_host) {
    std::vector<std::byte> numbers(static_cast<std::size_t>(count) * dtype_bytes(dtype));
    for (std::size_t i = 0; i < of_host.scale.size(); ++i) {
      if (dtype == DType::kF64) {
        std::memcpy(numbers.data() + i * sizeof(double), &of_host.scale[i], sizeof(double));
      } else {
        const auto narrow = static_cast<float>(of_host.scale[i]);
        std::memcpy(numbers.data() + i * sizeof(float), &narrow, sizeof(float));
      }
    }
    std::vector<std::int32_t> zeros = of_host.zero_point;
    zeros.resize(static_cast<std::size_t>(count));
    overwrite(scale.data(), numbers);
    if (zero_point.data() != nullptr) {
      overwrite(zero_point.data(), std::as_bytes(std::span(zeros)));
    }
    is_known = true;
  }

  [[nodiscard]] QuantParams to_host(StreamRef stream) const {
    QuantParams result{quantizer, granularity, {}, {}};
    std::vector<std::byte> numbers(static_cast<std::size_t>(count) * dtype_bytes(dtype));
    read_back(scale.data(), numbers, stream);
    result.scale.resize(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < result.scale.size(); ++i) {
      if (dtype == DType::kF64) {
        std::memcpy(&result.scale[i], numbers.data() + i * sizeof(double), sizeof(double));
      } else {
        float narrow;
        std::memcpy(&narrow, numbers.data() + i * sizeof(float), sizeof(float));
        result.scale[i] = narrow;
      }
    }
    if (zero_point.data() != nullptr) {
      result.zero_point.resize(static_cast<std::size_t>(count));
      read_back(zero_point.data(), std::as_writable_bytes(std::span(result.zero_point)), stream);
    }
    return result;
  }

  Quantizer quantizer;
  Granularity granularity;
  DType dtype;
  std::int64_t count;
  detail::DeviceMemory scale;
  detail::DeviceMemory zero_point;  // None where they are all 0.
  bool is_known = false;
};

detail::DeviceMemory copy_of(ConstTensorView view) {
  return detail::DeviceMemory(
      std::span(static_cast<const std::byte*>(view.data()), view.size_bytes()));
}

/// `count` ones.
std::vector<std::byte> ones_of(DType dtype, std::int64_t count) {
  std::vector<std::byte> ones(static_cast<std::size_t>(count) * dtype_bytes(dtype));
  const std::vector<double> numbers(static_cast<std::size_t>(count), 1.0);
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    switch (dtype) {
      case DType::kF64: {
        std::memcpy(ones.data() + i * sizeof(double), &numbers[i], sizeof(double));
        break;
      }
      case DType::kF32: {
        const float one = 1.0f;
        std::memcpy(ones.data() + i * sizeof(one), &one, sizeof(one));
        break;
      }
      case DType::kF16:
      case DType::kBF16: {
        const std::uint16_t one = dtype == DType::kF16 ? 0x3c00 : 0x3f80;
        std::memcpy(ones.data() + i * sizeof(one), &one, sizeof(one));
        break;
      }
    }
  }
  return ones;
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
  if (is_learned || (gradient.dscale.count() == 0 && gradient.dzero_point.count() == 0)) return;
  throw_invalid("gradients." + std::string(name), "asked for",
                "empty, as config.learn_" + std::string(name) + "_scale is false");
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

struct DeviceQatLayer::Saved::State {
  GrowingMemory input;      // Only where the scale of activations is learned.
  GrowingMemory quantized;  // The fake-quantized input.
  GrowingMemory clip_mask;
  GrowingMemory codes;     // Scratch of forward_train.
  GrowingMemory unwanted;  // A gradient that only another one is made of.
  detail::DeviceMemory ones;
  std::int64_t num_ones = 0;
  DType ones_dtype = DType::kF32;
  Shape shape{0};
  DType dtype = DType::kF32;
  std::uint64_t version = 0;  // Of the parameters; 0 before the first step.
};

DeviceQatLayer::Saved::Saved() : state_(std::make_unique<State>()) {}
DeviceQatLayer::Saved::~Saved() = default;
DeviceQatLayer::Saved::Saved(Saved&&) noexcept = default;
DeviceQatLayer::Saved& DeviceQatLayer::Saved::operator=(Saved&&) noexcept = default;

struct DeviceQatLayer::State {
  State(const QatLayer& host, int on_device)
      : device(on_device),
        in_features(host.in_features()),
        out_features(host.out_features()),
        config(host.config()),
        weight_memory(copy_of(host.weight())),
        bias_memory(copy_of(host.bias())),
        weight_scales(config, config.weight, config.weight_granularity,
                      num_scales(config.weight_granularity, weight_shape())),
        activation_scales(config, config.activation, Granularity::tensor(), 1),
        weight_codes(static_cast<std::size_t>(weight_shape().count())) {
    if (takes_sums()) {
      weight_sums =
          detail::DeviceMemory(static_cast<std::size_t>(out_features) * sizeof(std::int64_t));
    }
  }

  [[nodiscard]] Shape weight_shape() const { return Shape{out_features, in_features}; }
  [[nodiscard]] DeviceTensorView weight() const {
    return {weight_memory.data(), config.weight_dtype, weight_shape()};
  }
  [[nodiscard]] DeviceTensorView bias() const {
    return {bias_memory.data(), config.weight_dtype, Shape{out_features}};
  }
  [[nodiscard]] DeviceSpan<std::uint8_t> codes() const {
    return {static_cast<std::uint8_t*>(weight_codes.data()), weight_shape().count()};
  }
  [[nodiscard]] bool multiplies_integers() const {
    return config.product == QatProduct::kCodes && is_integer(config.weight.format);
  }
  /// Sums of the weights' codes, which zero points of the activations are multiplied with.
  [[nodiscard]] bool takes_sums() const {
    return multiplies_integers() && !config.activation.symmetric;
  }
  [[nodiscard]] DeviceSpan<std::int64_t> sums() const {
    if (!takes_sums()) return {};
    return {static_cast<std::int64_t*>(weight_sums.data()), out_features};
  }

  void check_input(const ConstDeviceTensorView& x, const DeviceContext& context) const;
  void check_pass(const ConstDeviceTensorView& x, const DeviceTensorView& y,
                  const DeviceContext& context) const;
  void check_calibrated() const;
  void quantize_weight(const DeviceContext& context, StreamRef stream);
  ConstDeviceTensorView weight_numbers(DType dtype, const DeviceContext& context, StreamRef stream);
  void multiply(const ConstDeviceTensorView& x, const ConstDeviceTensorView& quantized,
                GrowingMemory& code_memory, const DeviceTensorView& y, const DeviceContext& context,
                StreamRef stream);

  int device;
  std::int64_t in_features;
  std::int64_t out_features;
  QatLayerConfig config;
  detail::DeviceMemory weight_memory;
  detail::DeviceMemory bias_memory;
  KeptScales weight_scales;  // Known: not to be calibrated.
  KeptScales activation_scales;
  detail::DeviceMemory weight_codes;  // A byte each.
  bool has_codes = false;             // Of the weights as they are.
  detail::DeviceMemory weight_sums;
  GrowingMemory numbers;  // The codes' values.
  std::optional<DType> numbers_dtype;
  GrowingMemory infer_codes;
  GrowingMemory infer_numbers;
  std::uint64_t version = 1;  // Counts changes of parameters.
};

void DeviceQatLayer::State::check_input(const ConstDeviceTensorView& x,
                                        const DeviceContext& context) const {
  detail::check_context_of("layer", device, context);
  detail::check_matrix("x", as_plain(x));
  detail::check_device_view("x", x, context);
  if (x.shape()[1] != in_features) {
    throw_invalid("x.shape()", text(x.shape()), "[rows, " + text(in_features) + "]");
  }
  if ((x.dtype() == DType::kF64) != (config.weight_dtype == DType::kF64)) {
    throw_invalid("x.dtype()", to_string(x.dtype()),
                  config.weight_dtype == DType::kF64 ? "F64, as the weights"
                                                     : "F32, BF16 or F16, as the weights are F32");
  }
}

void DeviceQatLayer::State::check_calibrated() const {
  if (!activation_scales.is_known) {
    throw InvalidArgument(
        "the layer has no scale of its activations; call calibrate_from_data or "
        "set_activation_params first");
  }
  if (config.learn_weight_scale && !weight_scales.is_known) {
    throw InvalidArgument(
        "the layer learns its weight scales and has none; call "
        "calibrate_from_data or set_weight_params first");
  }
}

void DeviceQatLayer::State::check_pass(const ConstDeviceTensorView& x, const DeviceTensorView& y,
                                       const DeviceContext& context) const {
  check_input(x, context);
  check_output("y", y, x.dtype(), Shape{x.shape()[0], out_features}, context);
  detail::check_apart({{"y", as_plain(y)}}, {{"x", as_plain(x)}});
  check_calibrated();
}

void DeviceQatLayer::State::quantize_weight(const DeviceContext& context, StreamRef stream) {
  if (has_codes) return;
  const CalibrationOptions& options = config.weight;
  const bool has_a_scale_a_row = config.weight_granularity == Granularity::channel(0);
  if (weight_scales.is_known) {
    quantize(weight(), weight_scales.params(), codes(), CodeLayout::kBytes, context, stream);
  } else if (options.method == CalibMethod::kMinMax) {
    // A row of weights as a group: one read of them.
    const Granularity granularity =
        has_a_scale_a_row ? Granularity::group(in_features) : config.weight_granularity;
    quantize_dynamic(weight(), {weight_scales.quantizer, granularity, options.symmetric}, codes(),
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
  if (numbers_dtype != dtype) {
    numbers_dtype.reset();
    dequantize(codes(), weight_scales.params(), result, CodeLayout::kBytes, context, stream);
    numbers_dtype = dtype;
  }
  return result;
}

void DeviceQatLayer::State::multiply(const ConstDeviceTensorView& x,
                                     const ConstDeviceTensorView& quantized,
                                     GrowingMemory& code_memory, const DeviceTensorView& y,
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

DeviceQatLayer::DeviceQatLayer(std::int64_t in_features, std::int64_t out_features,
                               const QatLayerConfig& config, std::uint64_t seed,
                               const DeviceContext& context) {
  context.state().check_is_current();
  const QatLayer host(in_features, out_features, config, seed);
  if (config.weight_dtype == DType::kF64 && config.weight.method != CalibMethod::kMinMax &&
      !config.learn_weight_scale) {
    throw_invalid("config.weight.method", to_string(config.weight.method), "minmax for F64");
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
  ++state_->version;
  state_->has_codes = false;
  if (!state_->config.learn_weight_scale) state_->weight_scales.is_known = false;
  return state_->weight();
}

DeviceTensorView DeviceQatLayer::change_bias() { return state_->bias(); }

void DeviceQatLayer::calibrate_from_data(std::span<const ConstDeviceTensorView> batches,
                                         const DeviceContext& context, StreamRef stream) {
  std::int64_t finite = 0;
  const detail::DeviceMemory memory(sizeof(Statistics));
  for (const ConstDeviceTensorView& batch : batches) {
    state_->check_input(batch, context);
    statistics(batch, {static_cast<Statistics*>(memory.data()), 1}, context, stream);
    Statistics found;
    read_back(memory.data(), std::as_writable_bytes(std::span(&found, 1)), stream);
    finite += found.finite();
  }
  if (finite == 0) throw_invalid("the number of finite elements of batches", "0", "at least 1");
  const CalibrationResult activation =
      calibrate_layer(batches, state_->config.activation, context, stream);
  QatLayerConfig following = state_->config;
  following.learn_weight_scale = false;
  QatLayer host(state_->in_features, state_->out_features, following);
  const TensorView weights = host.change_weight();
  read_back(weight().data(), {static_cast<std::byte*>(weights.data()), weights.size_bytes()},
            stream);
  const QuantParams weight_params = host.weight_params();
  state_->activation_scales.set(activation.params);
  state_->weight_scales.set(weight_params);
  state_->has_codes = false;
  ++state_->version;
}

void DeviceQatLayer::set_activation_params(const QuantParams& params,
                                           const DeviceContext& context) {
  detail::check_context_of("layer", state_->device, context);
  context.state().check_is_current();
  QatLayer checks(state_->in_features, 1, state_->config);
  checks.set_activation_params(params);
  state_->activation_scales.set(params);
  ++state_->version;
}

void DeviceQatLayer::set_weight_params(const QuantParams& params, const DeviceContext& context) {
  detail::check_context_of("layer", state_->device, context);
  context.state().check_is_current();
  QatLayer checks(state_->in_features, state_->out_features, state_->config);
  checks.set_weight_params(params);
  state_->weight_scales.set(params);
  state_->has_codes = false;
  ++state_->version;
}

DeviceQuantParams DeviceQatLayer::activation_params() const {
  state_->check_calibrated();
  return state_->activation_scales.params();
}

DeviceQuantParams DeviceQatLayer::weight_params() const {
  if (!state_->weight_scales.is_known && !state_->has_codes) {
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
  ++state_->version;
  state_->has_codes = false;
  return state_->weight_scales.to_write().scale;
}

DeviceTensorView DeviceQatLayer::change_activation_scale() {
  state_->check_calibrated();
  if (!state_->config.learn_activation_scale) {
    throw_invalid("config.learn_activation_scale", "false", "true to change the scale");
  }
  ++state_->version;
  return state_->activation_scales.to_write().scale;
}

void DeviceQatLayer::forward_train(ConstDeviceTensorView x, DeviceTensorView y, Saved& saved,
                                   const DeviceContext& context, StreamRef stream) {
  state_->check_pass(x, y, context);
  Saved::State& kept = *saved.state_;
  kept.version = 0;
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
  Saved::State& kept = *saved.state_;
  detail::check_context_of("layer", state_->device, context);
  if (kept.version == 0) throw_invalid("saved", "of no forward pass", "what forward_train left");
  if (kept.version != state_->version) {
    throw_invalid("saved", "of parameters that have changed since",
                  "of the parameters as they are");
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
      {{"dy", as_plain(dy)}});

  if (is_wanted(gradients.dbias)) {
    if (kept.num_ones < rows || kept.ones_dtype != kept.dtype) {
      kept.ones = detail::DeviceMemory(ones_of(kept.dtype, rows));
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

QatLayer DeviceQatLayer::to_host(const DeviceContext& context, StreamRef stream) const {
  detail::check_context_of("layer", state_->device, context);
  context.state().check_is_current();
  QatLayer host(state_->in_features, state_->out_features, state_->config);
  const auto read = [&](const ConstDeviceTensorView& from, const TensorView& to) {
    read_back(from.data(), {static_cast<std::byte*>(to.data()), to.size_bytes()}, stream);
  };
  read(weight(), host.change_weight());
  read(bias(), host.change_bias());
  if (state_->activation_scales.is_known) {
    host.set_activation_params(state_->activation_scales.to_host(stream));
  }
  if (state_->weight_scales.is_known) {
    host.set_weight_params(state_->weight_scales.to_host(stream));
  }
  return host;
}

}  // namespace cuqat
