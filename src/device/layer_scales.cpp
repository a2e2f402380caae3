// Scales that a layer keeps in device memory.
#include <cuda_runtime.h>

#include <cstring>
#include <vector>

#include "calibration/methods.hpp"
#include "check.hpp"
#include "device/layer_state.hpp"
#include "device/stream.hpp"

namespace cuqat::detail {
namespace {

void overwrite(void* to, std::span<const std::byte> bytes) {
  const detail::OwnStream stream;
  gpu::check(cudaMemcpyAsync(to, bytes.data(), bytes.size(), cudaMemcpyHostToDevice, stream.get()),
             "cudaMemcpyAsync");
  stream.wait();
}

}  // namespace

void read_back(const void* from, std::span<std::byte> bytes, StreamRef stream) {
  gpu::check(
      cudaMemcpyAsync(bytes.data(), from, bytes.size(), cudaMemcpyDeviceToHost, stream.get()),
      "cudaMemcpyAsync");
  gpu::check(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
}

KeptScales::KeptScales(const CalibrationOptions& options, const Granularity& granularity,
                       DType dtype, std::int64_t count)
    : quantizer_(calibration::quantizer_of(options)),
      granularity_(granularity),
      dtype_(dtype),
      count_(count),
      scale_(static_cast<std::size_t>(count) * dtype_bytes(dtype)) {
  if (!options.symmetric) {
    zero_point_ = DeviceMemory(static_cast<std::size_t>(count) * sizeof(std::int32_t));
  }
}

DeviceScales KeptScales::to_write() const {
  return {{scale_.data(), dtype_, Shape{count_}}, zero_points()};
}

DeviceQuantParams KeptScales::params() const {
  return {quantizer_, granularity_, to_write().scale, zero_points()};
}

DeviceSpan<std::int32_t> KeptScales::zero_points() const {
  if (zero_point_.data() == nullptr) return {};
  return {static_cast<std::int32_t*>(zero_point_.data()), count_};
}

void KeptScales::set(const QuantParams& params) {
  std::vector<std::byte> numbers(static_cast<std::size_t>(count_) * dtype_bytes(dtype_));
  for (std::size_t i = 0; i < params.scale.size(); ++i) {
    if (dtype_ == DType::kF64) {
      std::memcpy(numbers.data() + i * sizeof(double), &params.scale[i], sizeof(double));
    } else {
      const auto narrow = static_cast<float>(params.scale[i]);
      std::memcpy(numbers.data() + i * sizeof(float), &narrow, sizeof(float));
    }
  }
  std::vector<std::int32_t> zeros = params.zero_point;
  zeros.resize(static_cast<std::size_t>(count_));
  overwrite(scale_.data(), numbers);
  if (zero_point_.data() != nullptr) {
    overwrite(zero_point_.data(), std::as_bytes(std::span(zeros)));
  }
  is_known_ = true;
}

QuantParams KeptScales::to_host(StreamRef stream) const {
  QuantParams result{quantizer_, granularity_, {}, {}};
  std::vector<std::byte> numbers(static_cast<std::size_t>(count_) * dtype_bytes(dtype_));
  read_back(scale_.data(), numbers, stream);
  result.scale.resize(static_cast<std::size_t>(count_));
  for (std::size_t i = 0; i < result.scale.size(); ++i) {
    if (dtype_ == DType::kF64) {
      std::memcpy(&result.scale[i], numbers.data() + i * sizeof(double), sizeof(double));
    } else {
      float narrow = 0.0f;
      std::memcpy(&narrow, numbers.data() + i * sizeof(float), sizeof(float));
      result.scale[i] = narrow;
    }
  }
  if (zero_point_.data() != nullptr) {
    result.zero_point.resize(static_cast<std::size_t>(count_));
    read_back(zero_point_.data(), std::as_writable_bytes(std::span(result.zero_point)), stream);
  }
  return result;
}

}  // namespace cuqat::detail
