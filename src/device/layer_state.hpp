// What a layer on the device holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "cuqat/device_layer.hpp"
#include "cuqat/device_observers.hpp"
#include "device/arguments.hpp"
#include "device/memory.hpp"
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

/// Scales and zero points in device memory.
class KeptScales {
 public:
  /// Not known yet. Those of a symmetric range have no zero points.
  KeptScales(const CalibrationOptions& options, const Granularity& granularity, DType dtype,
             std::int64_t count);

  [[nodiscard]] DeviceScales to_write() const;
  [[nodiscard]] DeviceQuantParams params() const;
  [[nodiscard]] bool is_known() const noexcept { return is_known_; }
  void forget() noexcept { is_known_ = false; }

  /// The host's, into the memory that there is: graphs find them. Waits.
  void set(const QuantParams& params);
  /// As work on the stream leaves them. Waits.
  [[nodiscard]] QuantParams to_host(StreamRef stream) const;

  [[nodiscard]] const Quantizer& quantizer() const noexcept { return quantizer_; }

 private:
  [[nodiscard]] DeviceSpan<std::int32_t> zero_points() const;

  Quantizer quantizer_;
  Granularity granularity_;
  DType dtype_;
  std::int64_t count_;
  DeviceMemory scale_;
  DeviceMemory zero_point_;
  bool is_known_ = false;
};

/// What the work on the stream leaves in device memory. Waits.
void read_back(const void* from, std::span<std::byte> bytes, StreamRef stream);

}  // namespace detail

struct DeviceQatLayer::Saved::State {
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

  void check_input(const std::string& name, const ConstDeviceTensorView& x,
                   const DeviceContext& context) const;
  void check_pass(const ConstDeviceTensorView& x, const DeviceTensorView& y,
                  const DeviceContext& context) const;
  void check_activations_calibrated() const;
  void check_calibrated() const;
  void quantize_weight(const DeviceContext& context, StreamRef stream);
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
  detail::KeptScales weight_scales;  // Known: not to be calibrated.
  detail::KeptScales activation_scales;
  detail::DeviceMemory weight_codes;  // A byte each.
  bool has_codes = false;             // Of the weights as they are.
  bool is_in_graphs = false;          // Replays quantize and change what is here: nothing holds.
  detail::DeviceMemory weight_sums;
  detail::GrowingMemory numbers;  // The codes' values.
  std::optional<DType> numbers_dtype;
  detail::GrowingMemory infer_codes;
  detail::GrowingMemory infer_numbers;
  std::uint64_t version = detail::next_parameters_version();
};

}  // namespace cuqat
