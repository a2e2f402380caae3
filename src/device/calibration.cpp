#include "cuqat/device_calibration.hpp"

#include <optional>
#include <source_location>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "calibration/methods.hpp"
#include "check.hpp"
#include "cuqat/device_histogram.hpp"
#include "device/arguments.hpp"
#include "device/batch_source.hpp"
#include "device/memory.hpp"
#include "device/stream.hpp"

namespace cuqat {

namespace {

constexpr std::size_t kCountBytes = kNumKeys * sizeof(std::uint64_t);

/// What is observed: the counts, and for f32 the statistics behind them.
std::size_t observed_bytes(DType dtype) {
  return kCountBytes + (dtype == DType::kF32 ? sizeof(gpu::ObservedStatistics) : 0);
}

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

  /// Of f32.
  [[nodiscard]] gpu::ObservedStatistics* statistics() const {
    return reinterpret_cast<gpu::ObservedStatistics*>(static_cast<std::byte*>(memory.data()) +
                                                      kCountBytes);
  }

  /// Counts the elements; of f32 their statistics go with them.
  void observe(std::int64_t count, const void* x, const gpu::LaunchTarget& to) const {
    auto* const counts = static_cast<std::uint64_t*>(memory.data());
    const bool is_f32 = dtype == DType::kF32;
    gpu::launch_key_histogram(dtype, count, x, counts, is_f32 ? &statistics()->batch : nullptr, to);
    if (is_f32) gpu::launch_merge_statistics(&statistics()->batch, &statistics()->all, to);
  }

  DType dtype;
  int device;
  detail::DeviceMemory memory;                  ///< The counts, then what answers need.
  std::optional<detail::PinnedMemory> on_host;  ///< For the counts, once they have been asked for.
};

DeviceCalibrationCollector::DeviceCalibrationCollector(DType dtype, const DeviceContext& context) {
  detail::check_calibrated_dtype("dtype", dtype);
  context.state().check_is_current();
  state_.reset(new State{
      dtype, context.device(), detail::DeviceMemory(gpu::calibration_state_bytes(dtype)), {}});
  if (dtype != DType::kF32) return;
  const detail::OwnStream stream;
  gpu::launch_clear_statistics(&state_->statistics()->all, context.state().target(stream.get()));
  stream.wait();
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

DeviceSpan<Statistics> DeviceCalibrationCollector::statistics() const noexcept {
  if (dtype() != DType::kF32) return {};
  return {&state_->statistics()->all, 1};
}

void DeviceCalibrationCollector::observe(ConstDeviceTensorView batch, const DeviceContext& context,
                                         StreamRef stream) {
  check_observed("batch.dtype()", batch.dtype(), dtype());
  detail::check_device_view("batch", batch, context);
  state_->observe(batch.count(), batch.data(), state_->target(context, stream));
}

void DeviceCalibrationCollector::observe_and_fake_quantize(
    ConstDeviceTensorView x, const DeviceQuantParams& params, DeviceTensorView y,
    DeviceSpan<std::uint8_t> clip_mask, const DeviceContext& context, StreamRef stream) {
  check_observed("x.dtype()", x.dtype(), dtype());
  const gpu::FakeQuantizeWork work =
      detail::check_fake_quantize(x, params, y, {clip_mask, {}}, context);
  detail::check_disjoint({"y", detail::as_plain(y)}, {"x", detail::as_plain(x)});
  const gpu::LaunchTarget target = state_->target(context, stream);
  if (dtype() == DType::kF32) {
    state_->observe(x.count(), x.data(), target);
    gpu::launch_fake_quantize(work.tensor, work.x, work.y, work.clip_mask, nullptr, target);
    return;
  }
  gpu::launch_observe_fake_quantize(work.tensor, work.x, work.y, work.clip_mask, counts().data(),
                                    target);
}

void DeviceCalibrationCollector::merge(const DeviceCalibrationCollector& other,
                                       const DeviceContext& context, StreamRef stream) {
  check_observed("other.dtype()", other.dtype(), dtype());
  if (other.state_->device != state_->device) {
    detail::throw_invalid("other", "on device " + detail::text(other.state_->device),
                          "on that of the collector, " + detail::text(state_->device));
  }
  const gpu::LaunchTarget target = state_->target(context, stream);
  gpu::launch_add_counts(kNumKeys, other.counts().data(), counts().data(), target);
  if (dtype() == DType::kF32) {
    gpu::launch_merge_statistics(&other.state_->statistics()->all, &state_->statistics()->all,
                                 target);
  }
}

void DeviceCalibrationCollector::reset(const DeviceContext& context, StreamRef stream) {
  const gpu::LaunchTarget target = state_->target(context, stream);
  gpu::check(cudaMemsetAsync(counts().data(), 0, kCountBytes, target.stream), "cudaMemsetAsync",
             target.operation);
  if (dtype() == DType::kF32) gpu::launch_clear_statistics(&state_->statistics()->all, target);
}

void DeviceCalibrationCollector::compute(const CalibrationOptions& method,
                                         const DeviceScales& scales, const DeviceContext& context,
                                         StreamRef stream) {
  detail::check_calibration(method);
  const Quantizer quantizer = method.quantizer();
  const gpu::ScaleOutput output =
      detail::check_scale_output(scales, dtype(), 1, quantizer, method.symmetric, context);
  detail::check_apart({{"scales.scale", detail::as_plain(scales.scale)},
                       {"scales.zero_point", detail::as_plain(scales.zero_point)}},
                      {});
  gpu::launch_calibration(dtype(), method, quantizer, state_->memory.data(), output,
                          state_->target(context, stream));
}

CalibrationCollector DeviceCalibrationCollector::to_host(const DeviceContext& context,
                                                         StreamRef stream) const {
  const gpu::LaunchTarget target = state_->target(context, stream);
  // Kept, for where waiting fails the copy may still be under way.
  const std::size_t bytes = observed_bytes(dtype());
  if (!state_->on_host) state_->on_host.emplace(bytes);
  gpu::check(cudaMemcpyAsync(state_->on_host->data(), counts().data(), bytes,
                             cudaMemcpyDeviceToHost, target.stream),
             "cudaMemcpyAsync", target.operation);
  gpu::check(cudaStreamSynchronize(target.stream), "cudaStreamSynchronize", target.operation);
  const auto* const keys = static_cast<const std::uint64_t*>(state_->on_host->data());
  const std::span<const std::uint64_t, kNumKeys> found(keys, kNumKeys);
  if (dtype() != DType::kF32) return CalibrationCollector::of_key_histogram(dtype(), found);
  const auto* const statistics = reinterpret_cast<const gpu::ObservedStatistics*>(keys + kNumKeys);
  return CalibrationCollector::of_f32_key_histogram(found, statistics->all);
}

namespace {

/// Copies the elements of f32 batches to the host.
void copy(std::span<const ConstDeviceTensorView> batches, void* elements,
          const gpu::LaunchTarget& target) {
  auto* to = static_cast<std::byte*>(elements);
  for (const ConstDeviceTensorView& batch : batches) {
    if (batch.count() == 0) continue;
    gpu::check(cudaMemcpyAsync(to, batch.data(), batch.size_bytes(), cudaMemcpyDeviceToHost,
                               target.stream),
               "cudaMemcpyAsync", target.operation);
    to += batch.size_bytes();
  }
  gpu::check(cudaStreamSynchronize(target.stream), "cudaStreamSynchronize", target.operation);
}

/// A collector of the device would coarsen them: they are read again for each answer, or, few, sent
/// to the host.
CalibrationResult calibrate_f32(std::span<const ConstDeviceTensorView> batches,
                                const CalibrationOptions& method, const DeviceContext& context,
                                StreamRef stream) {
  std::int64_t count = 0;
  for (const ConstDeviceTensorView& batch : batches) {
    check_observed("batch.dtype()", batch.dtype(), DType::kF32);
    detail::check_device_view("batch", batch, context);
    count += batch.count();
  }
  const gpu::LaunchTarget target = context.state().target(stream);
  if (count <= kMaxSearchedElements) {
    // Pinned: what frees it waits for a copy that is still under way where waiting has failed.
    const detail::PinnedMemory elements(static_cast<std::size_t>(count + 1) * sizeof(float));
    copy(batches, elements.data(), target);
    const std::vector<ConstTensorView> all = {{elements.data(), DType::kF32, Shape{count}}};
    return calibrate_layer(all, method);
  }
  const BatchSource source(batches, BatchSource::statistics_of(batches, target), target);
  calibration::Assembly assembly(std::span(&method, 1), Granularity::tensor(),
                                 source.statistics().amax());
  assembly.add(calibration::answer(source, std::span(&method, 1)));
  return std::move(assembly.finish().front());
}

}  // namespace

CalibrationResult calibrate_layer(std::span<const ConstDeviceTensorView> layer_outputs,
                                  const CalibrationOptions& method, const DeviceContext& context,
                                  StreamRef stream) {
  calibration::check(method);
  const DType dtype = layer_outputs.empty() ? DType::kBF16 : layer_outputs.front().dtype();
  if (dtype == DType::kF32) return calibrate_f32(layer_outputs, method, context, stream);
  detail::check_calibrated_dtype("layer_outputs[0].dtype()", dtype);
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
