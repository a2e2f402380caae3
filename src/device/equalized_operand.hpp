// x or w in the search for an equalization on the device: equalized, calibrated and quantized
// there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "calibration/methods.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/tensor_view.hpp"
#include "launchers.hpp"

namespace cuqat::detail {

/// Parts of one piece of memory, each where cudaMalloc would begin.
class MemoryLayout {
 public:
  /// Gives where the part begins.
  std::size_t add(std::size_t bytes) {
    const std::size_t begin = bytes_;
    bytes_ += gpu::aligned(bytes);
    return begin;
  }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  std::size_t bytes_ = 0;
};

/// What the device finds for the scales of a tensor, in device memory or as a copy on the host.
struct FoundScales {
  std::byte* memory;
  std::int64_t num_scales;

  static constexpr std::size_t kBytesOfScale = sizeof(Statistics) + sizeof(QuantizationError) +
                                               sizeof(Range) + sizeof(double) +
                                               sizeof(std::int32_t);

  [[nodiscard]] Statistics* statistics() const { return reinterpret_cast<Statistics*>(memory); }
  [[nodiscard]] QuantizationError* error() const {
    return reinterpret_cast<QuantizationError*>(statistics() + num_scales);
  }
  [[nodiscard]] Range* range() const { return reinterpret_cast<Range*>(error() + num_scales); }
  /// Of the compute type, which may be narrower than its place.
  [[nodiscard]] void* scale() const { return range() + num_scales; }
  [[nodiscard]] std::int32_t* zero_point() const {
    return reinterpret_cast<std::int32_t*>(static_cast<double*>(scale()) + num_scales);
  }
};

/// Number i of numbers of a compute type.
double compute_number(DType compute, const void* numbers, std::int64_t i);

/// x or w: equalized, calibrated and quantized.
class EqualizedOperand {
 public:
  /// Divided by the factors, or multiplied.
  EqualizedOperand(ConstDeviceTensorView values, const CalibrationOptions& method,
                   const Granularity& granularity, bool divides);

  void reserve(MemoryLayout& memory) {
    copy_at_ = memory.add(values_.size_bytes());
    channel_statistics_at_ =
        memory.add(static_cast<std::size_t>(channels_.num_scales) * sizeof(Statistics));
  }
  [[nodiscard]] std::size_t found_bytes() const {
    return static_cast<std::size_t>(tensor_.num_scales) * FoundScales::kBytesOfScale;
  }
  [[nodiscard]] std::size_t scratch_bytes(const gpu::LaunchTarget& target) const;

  void place(std::byte* memory, std::byte* found, const void* factors,
             std::span<std::byte> scratch);

  [[nodiscard]] std::int64_t num_channels() const noexcept { return channels_.num_scales; }
  [[nodiscard]] const Statistics* channel_statistics() const noexcept {
    return channel_statistics_;
  }
  void find_channel_statistics(const gpu::LaunchTarget& target) const {
    gpu::launch_scale_statistics(channels_, values_.data(), channel_statistics_, target);
  }

  [[nodiscard]] gpu::NumberMatrix matrix() const { return matrix_of(values_.data()); }
  /// With the channels scaled, if that is wanted, calibrated and fake-quantized.
  gpu::NumberMatrix quantize(bool equalizes, const gpu::LaunchTarget& target) const;
  /// What the host makes a CalibrationResult of.
  void describe(bool equalizes, const gpu::LaunchTarget& target) const;

  /// `copy` is on the host, of what describe() has left.
  [[nodiscard]] CalibrationResult result(std::byte* copy) const;

 private:
  [[nodiscard]] DType compute() const;
  [[nodiscard]] bool is_searched() const {
    return method_.method != CalibMethod::kMinMax && tensor_.num_scales > 0;
  }
  [[nodiscard]] gpu::ScaleCalibration calibration() const {
    return {tensor_, method_, tensor_.quantizer};
  }
  [[nodiscard]] gpu::NumberMatrix matrix_of(const void* data) const {
    return {data, values_.dtype(), values_.shape()[0], values_.shape()[1]};
  }

  /// Gives what has been calibrated.
  const void* calibrate(bool equalizes, const gpu::LaunchTarget& target) const;

  /// As calibration::answer has it.
  [[nodiscard]] calibration::ScaleAnswer answer_of(const FoundScales& found, std::int64_t i) const;

  ConstDeviceTensorView values_;
  const CalibrationOptions& method_;
  bool divides_;
  gpu::DeviceScaledTensor tensor_;    ///< With the scales of its quantization.
  gpu::DeviceScaledTensor channels_;  ///< With the factors.
  std::size_t copy_at_ = 0;
  std::size_t channel_statistics_at_ = 0;
  std::byte* copy_ = nullptr;
  Statistics* channel_statistics_ = nullptr;
  FoundScales found_{};
  std::span<std::byte> scratch_;
};

}  // namespace cuqat::detail
