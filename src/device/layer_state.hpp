// What a layer on the device holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <source_location>
#include <span>

#include "cuqat/device_layer.hpp"
#include "cuqat/device_observers.hpp"
#include "device/arguments.hpp"
#include "device/memory.hpp"
#include "host/layer_arguments.hpp"
#include "host/parameters_version.hpp"

namespace cuqat {
namespace detail {

/// Device memory that is allocated again where more of it is asked for.
class GrowingMemory {
 public:
  void* at_least(std::size_t bytes) {
    if (bytes > bytes_) {
      memory_ = DeviceMemory(bytes);
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
  DeviceMemory memory_;
  std::size_t bytes_ = 0;
};

/// Scales, and behind them zero points, in a part of a layer's block of them.
class KeptScales {
 public:
  /// Not known yet. Those of a symmetric range have no zero points.
  KeptScales(const CalibrationOptions& options, const Granularity& granularity, DType dtype,
             std::int64_t count);

  /// A multiple of 8.
  [[nodiscard]] std::size_t bytes() const noexcept;
  /// Device memory of so many bytes, at a multiple of 8.
  void place(std::byte* memory) noexcept { memory_ = memory; }

  [[nodiscard]] DeviceScales to_write() const;
  [[nodiscard]] DeviceQuantParams params() const;
  [[nodiscard]] bool is_known() const noexcept { return is_known_; }
  void set_known(bool is_known) noexcept { is_known_ = is_known; }

  /// As they lie in the part.
  void write(const QuantParams& params, std::span<std::byte> part) const;
  [[nodiscard]] QuantParams read(std::span<const std::byte> part) const;

  [[nodiscard]] const Quantizer& quantizer() const noexcept { return quantizer_; }

 private:
  [[nodiscard]] std::size_t scale_bytes() const noexcept;
  [[nodiscard]] std::size_t zero_point_bytes() const noexcept;
  [[nodiscard]] DeviceSpan<std::int32_t> zero_points() const;

  Quantizer quantizer_;
  Granularity granularity_;
  DType dtype_;
  std::int64_t count_;
  bool has_zero_points_;
  std::byte* memory_ = nullptr;
  bool is_known_ = false;
};

/// The scales of weights and activations, in one block of device memory: one copy sets them all.
class LayerScales {
 public:
  LayerScales(const QatLayerConfig& config, const Shape& weight_shape);

  KeptScales weight;
  KeptScales activation;

  /// The host's, into the memory that there is: graphs find them. Those that are null stay. Waits;
  /// earlier work on them must have ended. Whole or, after an exception, not at all.
  void set(const QuantParams* of_weight, const QuantParams* of_activation);

  struct OnHost {
    QuantParams weight;
    QuantParams activation;
  };
  /// As work on the stream leaves them. Waits.
  [[nodiscard]] OnHost to_host(StreamRef stream) const;
  /// All of it, as one array.
  [[nodiscard]] ConstTensorView memory() const {
    const auto count = static_cast<std::int64_t>(bytes() / sizeof(double));
    return {memory_.data(), DType::kF64, Shape{count}};
  }

 private:
  [[nodiscard]] std::size_t bytes() const noexcept { return weight.bytes() + activation.bytes(); }

  DeviceMemory memory_;
};

/// What the work on the stream leaves in device memory. Waits.
void read_back(const void* from, std::span<std::byte> bytes, StreamRef stream);

}  // namespace detail

struct DeviceQatLayer::Saved::State {
  int device = 0;                   // That the memory is on.
  detail::GrowingMemory input;      // Only where the scale of activations is learned.
  detail::GrowingMemory quantized;  // The fake-quantized input.
  detail::GrowingMemory clip_mask;
  detail::GrowingMemory codes;     // Scratch of forward_train.
  detail::GrowingMemory unwanted;  // A gradient that only another one is made of.
  detail::DeviceMemory ones;
  std::int64_t num_ones = 0;
  DType ones_dtype = DType::kF32;
  Shape shape{0};
  DType dtype = DType::kF32;
  std::uint64_t version = 0;  // Of the parameters; 0 before the first step.
};

struct DeviceQatLayer::State {
  State(const QatLayer& host, int on_device);

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

  [[nodiscard]] detail::LayerMemory memory() const {
    return {config, detail::as_plain(weight()), detail::as_plain(bias()), scales.memory()};
  }

  /// A context of the layer's device, which is the current one.
  void check_context(const DeviceContext& context,
                     std::source_location operation = std::source_location::current()) const;
  void check_pass(const ConstDeviceTensorView& x, const DeviceTensorView& y,
                  const DeviceContext& context) const;
  void check_backward(const ConstDeviceTensorView& dy, const ConstDeviceTensorView& saved,
                      const DeviceQatGradients& gradients, const DeviceContext& context) const;
  void check_calibrated() const;
  /// As work on the stream leaves them; what is known has been checked. Waits.
  [[nodiscard]] detail::LayerScales::OnHost scales_on_host(StreamRef stream) const;
  /// The weights or their scales change.
  void change_weight_codes() noexcept;
  DeviceScales change_weight_scales();
  DeviceScales change_activation_scale();
  enum class Pass { kTraining, kInference };
  void quantize_weight(Pass pass, const DeviceContext& context, StreamRef stream);
  ConstDeviceTensorView weight_numbers(DType dtype, const DeviceContext& context, StreamRef stream);
  void multiply(const ConstDeviceTensorView& x, const ConstDeviceTensorView& quantized,
                detail::GrowingMemory& code_memory, const DeviceTensorView& y,
                const DeviceContext& context, StreamRef stream);

  int device;
  std::int64_t in_features;
  std::int64_t out_features;
  QatLayerConfig config;
  detail::DeviceMemory weight_memory;
  detail::DeviceMemory bias_memory;
  detail::LayerScales scales;         // Of weights known: not to be calibrated.
  detail::DeviceMemory weight_codes;  // A byte each.
  bool has_codes = false;             // Of the weights as they are.
  bool are_codes_given = false;       // As a host's layer had them: not made anew.
  bool is_in_graphs = false;          // Replays quantize and change what is here: nothing holds.
  detail::DeviceMemory weight_sums;
  detail::GrowingMemory numbers;  // The codes' values.
  std::optional<DType> numbers_dtype;
  detail::GrowingMemory infer_codes;
  detail::GrowingMemory infer_numbers;
  std::uint64_t version = detail::next_parameters_version();
};

}  // namespace cuqat
