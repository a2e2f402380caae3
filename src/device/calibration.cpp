#include "cuqat/device_calibration.hpp"

#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <vector>

#include "calibration/methods.hpp"
#include "check.hpp"
#include "cuqat/device_histogram.hpp"
#include "device/arguments.hpp"
#include "device/memory.hpp"

namespace cuqat {

namespace {

constexpr std::size_t kCountBytes = kNumKeys * sizeof(std::uint64_t);

void check_observed(std::string_view name, DType found, DType observed) {
  if (found != observed) {
    detail::throw_invalid(name, to_string(found),
                          std::string(to_string(observed)) + ", which the collector observes");
  }
}

}  // namespace

struct DeviceCalibrationCollector::State {
  /// What every call asks for: work on this device, whose context it is.
  [[nodiscard]] gpu::LaunchTarget target(
      const DeviceContext& context, StreamRef stream,
      std::source_location operation = std::source_location::current()) const {
    detail::check_context_of("collector", device, context);
    return context.state().target(stream, operation);
  }

  DType dtype;
  int device;
  detail::DeviceMemory memory;                  ///< The counts, then what answers need.
  std::optional<detail::PinnedMemory> on_host;  ///< For the counts, once they have been asked for.
};

DeviceCalibrationCollector::DeviceCalibrationCollector(DType dtype, const DeviceContext& context) {
  if (dtype != DType::kBF16 && dtype != DType::kF16) {
    detail::throw_invalid("dtype", to_string(dtype), "F16 or BF16");
  }
  context.state().check_is_current();
  state_.reset(
      new State{dtype, context.device(), detail::DeviceMemory(gpu::calibration_state_bytes()), {}});
}

DeviceCalibrationCollector::~DeviceCalibrationCollector() = default;
DeviceCalibrationCollector::DeviceCalibrationCollector(DeviceCalibrationCollector&&) noexcept =
    default;
DeviceCalibrationCollector& DeviceCalibrationCollector::operator=(
    DeviceCalibrationCollector&&) noexcept = default;

DType DeviceCalibrationCollector::dtype() const noexcept { return state_->dtype; }

DeviceSpan<std::uint64_t> DeviceCalibrationCollector::counts() const noexcept {
  return {static_cast<std::uint64_t*>(state_->memory.data()), kNumKeys};
}

void DeviceCalibrationCollector::observe(ConstDeviceTensorView batch, const DeviceContext& context,
                                         StreamRef stream) {
  check_observed("batch.dtype()", batch.dtype(), dtype());
  detail::check_device_view("batch", batch, context);
  gpu::launch_key_histogram(dtype(), batch.count(), batch.data(), counts().data(), nullptr,
                            state_->target(context, stream));
}

void DeviceCalibrationCollector::observe_and_fake_quantize(
    ConstDeviceTensorView x, const DeviceQuantParams& params, DeviceTensorView y,
    DeviceSpan<std::uint8_t> clip_mask, const DeviceContext& context, StreamRef stream) {
  check_observed("x.dtype()", x.dtype(), dtype());
  const gpu::FakeQuantizeWork work =
      detail::check_fake_quantize(x, params, y, {clip_mask, {}}, context);
  detail::check_disjoint({"y", detail::as_plain(y)}, {"x", detail::as_plain(x)});
  gpu::launch_observe_fake_quantize(work.tensor, work.x, work.y, work.clip_mask, counts().data(),
                                    state_->target(context, stream));
}

void DeviceCalibrationCollector::merge(const DeviceCalibrationCollector& other,
                                       const DeviceContext& context, StreamRef stream) {
  check_observed("other.dtype()", other.dtype(), dtype());
  if (other.state_->device != state_->device) {
    detail::throw_invalid("other", "on device " + detail::text(other.state_->device),
                          "on that of the collector, " + detail::text(state_->device));
  }
  gpu::launch_add_counts(kNumKeys, other.counts().data(), counts().data(),
                         state_->target(context, stream));
}

void DeviceCalibrationCollector::reset(const DeviceContext& context, StreamRef stream) {
  const gpu::LaunchTarget target = state_->target(context, stream);
  gpu::check(cudaMemsetAsync(counts().data(), 0, kCountBytes, target.stream), "cudaMemsetAsync",
             target.operation);
}

void DeviceCalibrationCollector::compute(const CalibrationOptions& method,
                                         const DeviceScales& scales, const DeviceContext& context,
                                         StreamRef stream) {
  calibration::check(method);
  if (method.method == CalibMethod::kEntropy && method.dialect == EntropyDialect::kOriginal) {
    detail::throw_invalid("method.dialect", to_string(method.dialect),
                          "modelopt or onnxruntime on the device; to_host() answers it");
  }
  const Quantizer quantizer = calibration::quantizer_of(method);
  const gpu::ScaleOutput output =
      detail::check_scale_output(scales, dtype(), 1, quantizer, method.symmetric, context);
  detail::check_apart({{"scales.scale", detail::as_plain(scales.scale)},
                       {"scales.zero_point", detail::as_plain(scales.zero_point)}},
                      {});
  const gpu::LaunchTarget target = state_->target(context, stream);
  gpu::launch_calibration_tables(dtype(), state_->memory.data(), target);
  gpu::launch_calibration(method, quantizer, state_->memory.data(), output, target);
}

CalibrationCollector DeviceCalibrationCollector::to_host(const DeviceContext& context,
                                                         StreamRef stream) const {
  const gpu::LaunchTarget target = state_->target(context, stream);
  // Kept, for where waiting fails the copy may still be under way.
  if (!state_->on_host) state_->on_host.emplace(kCountBytes);
  gpu::check(cudaMemcpyAsync(state_->on_host->data(), counts().data(), kCountBytes,
                             cudaMemcpyDeviceToHost, target.stream),
             "cudaMemcpyAsync", target.operation);
  gpu::check(cudaStreamSynchronize(target.stream), "cudaStreamSynchronize", target.operation);
  const auto* const keys = static_cast<const std::uint64_t*>(state_->on_host->data());
  return CalibrationCollector::of_key_histogram(
      dtype(), std::span<const std::uint64_t, kNumKeys>(keys, kNumKeys));
}

CalibrationResult calibrate_layer(std::span<const ConstDeviceTensorView> layer_outputs,
                                  const CalibrationOptions& method, const DeviceContext& context,
                                  StreamRef stream) {
  calibration::check(method);
  const DType dtype = layer_outputs.empty() ? DType::kBF16 : layer_outputs.front().dtype();
  DeviceCalibrationCollector collector(dtype, context);
  for (const ConstDeviceTensorView& batch : layer_outputs) {
    collector.observe(batch, context, stream);
  }
  return collector.to_host(context, stream).compute(method);
}

std::vector<QuantizationSpec> calibrate_model(std::span<const DeviceLayerActivations> layers,
                                              const CalibrationOptions& method,
                                              const DeviceContext& context, StreamRef stream) {
  std::vector<QuantizationSpec> specs;
  specs.reserve(layers.size());
  for (const DeviceLayerActivations& layer : layers) {
    specs.push_back({layer.name, calibrate_layer(layer.batches, method, context, stream)});
  }
  return specs;
}

}  // namespace cuqat
