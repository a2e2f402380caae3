// Scales that a layer keeps in device memory.
#include <cuda_runtime.h>

#include <cstring>
#include <vector>

#include "check.hpp"
#include "device/layer_state.hpp"
#include "device/stream.hpp"
#include "host/layer_parts.hpp"

namespace cuqat::detail {
namespace {

/// Waits.
void overwrite(void* to, std::span<const std::byte> bytes, const OwnStream& stream) {
  gpu::check(cudaMemcpyAsync(to, bytes.data(), bytes.size(), cudaMemcpyHostToDevice, stream.get()),
             "cudaMemcpyAsync");
  stream.wait();
}

}  // namespace

void read_back(const void* from, std::span<std::byte> bytes, StreamRef stream) {
  gpu::check(
      cudaMemcpyAsync(bytes.data(), from, bytes.size(), cudaMemcpyDeviceToHost, stream.get()),
      "cudaMemcpyAsync");
  wait_for(stream.get());
}

KeptScales::KeptScales(const CalibrationOptions& options, const Granularity& granularity,
                       DType dtype, std::int64_t count)
    : quantizer_(options.quantizer()),
      granularity_(granularity),
      dtype_(dtype),
      count_(count),
      has_zero_points_(!options.symmetric) {}

std::size_t KeptScales::scale_bytes() const noexcept {
  return static_cast<std::size_t>(count_) * dtype_bytes(dtype_);
}

std::size_t KeptScales::zero_point_bytes() const noexcept {
  return has_zero_points_ ? static_cast<std::size_t>(count_) * sizeof(std::int32_t) : 0;
}

std::size_t KeptScales::bytes() const noexcept {
  constexpr std::size_t kMultiple = 8;
  return (scale_bytes() + zero_point_bytes() + kMultiple - 1) / kMultiple * kMultiple;
}

DeviceScales KeptScales::to_write() const {
  return {{memory_, dtype_, Shape{count_}}, zero_points()};
}

DeviceQuantParams KeptScales::params() const {
  return {quantizer_, granularity_, to_write().scale, zero_points()};
}

DeviceSpan<std::int32_t> KeptScales::zero_points() const {
  if (!has_zero_points_) return {};
  return {reinterpret_cast<std::int32_t*>(memory_ + scale_bytes()), count_};
}

void KeptScales::write(const QuantParams& params, std::span<std::byte> part) const {
  const std::vector<std::byte> numbers = parameter_bytes(dtype_, params.scale);
  std::memcpy(part.data(), numbers.data(), numbers.size());
  std::vector<std::int32_t> zeros = params.zero_point;  // none: all 0
  zeros.resize(static_cast<std::size_t>(count_));
  std::memcpy(part.data() + scale_bytes(), zeros.data(), zero_point_bytes());
}

QuantParams KeptScales::read(std::span<const std::byte> part) const {
  QuantParams result{quantizer_, granularity_, {}, {}};
  result.scale = parameter_values(dtype_, part.first(scale_bytes()));
  result.zero_point.resize(zero_point_bytes() / sizeof(std::int32_t));
  if (has_zero_points_) {
    std::memcpy(result.zero_point.data(), part.data() + scale_bytes(), zero_point_bytes());
  }
  return result;
}

LayerScales::LayerScales(const QatLayerConfig& config, const Shape& weight_shape)
    : weight(config.weight, config.weight_granularity, config.weight_dtype,
             num_scales(config.weight_granularity, weight_shape)),
      activation(config.activation, Granularity::tensor(), config.weight_dtype, 1),
      memory_(bytes()) {
  auto* const memory = static_cast<std::byte*>(memory_.data());
  weight.place(memory);
  activation.place(memory + weight.bytes());
}

void LayerScales::set(const QuantParams* of_weight, const QuantParams* of_activation) {
  if (of_weight == nullptr && of_activation == nullptr) return;
  const OwnStream stream;
  std::vector<std::byte> before(bytes());
  read_back(memory_.data(), before, StreamRef(stream.get()));
  std::vector<std::byte> after = before;
  const std::span parts(after);
  if (of_weight != nullptr) weight.write(*of_weight, parts.first(weight.bytes()));
  if (of_activation != nullptr) activation.write(*of_activation, parts.subspan(weight.bytes()));
  try {
    overwrite(memory_.data(), after, stream);
  } catch (const CudaError&) {
    // Where the wait has failed the copy may have run.
    try {
      overwrite(memory_.data(), before, stream);
    } catch (const CudaError&) {
      // The device is lost, and its memory with it.
    }
    throw;
  }
  if (of_weight != nullptr) weight.set_known(true);
  if (of_activation != nullptr) activation.set_known(true);
}

LayerScales::OnHost LayerScales::to_host(StreamRef stream) const {
  std::vector<std::byte> block(bytes());
  read_back(memory_.data(), block, stream);
  const std::span<const std::byte> parts(block);
  return {weight.read(parts.first(weight.bytes())), activation.read(parts.subspan(weight.bytes()))};
}

}  // namespace cuqat::detail
