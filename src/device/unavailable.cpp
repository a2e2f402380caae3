// The device functions of a build without CUDA. They need a DeviceContext, and there is none.
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_equalization.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_fake_quant_batch.hpp"
#include "cuqat/device_histogram.hpp"
#include "cuqat/device_layer.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/device_percentile.hpp"
#include "cuqat/device_statistics.hpp"
#include "cuqat/device_streamer.hpp"
#include "cuqat/error.hpp"

namespace cuqat {
namespace {

[[noreturn]] void unavailable() {
  throw BackendUnavailable("this build of cuqat has no CUDA code");
}

}  // namespace

struct DeviceContext::State {};
struct DeviceCalibrationCollector::State {};
struct DeviceStreamer::State {};
struct FakeQuantizeBatch::State {};
struct DeviceQatLayer::State {};
struct DeviceQatLayer::Saved::State {};

DeviceContext::DeviceContext(const Options&) { unavailable(); }
DeviceContext::~DeviceContext() = default;
DeviceContext::DeviceContext(DeviceContext&&) noexcept = default;
DeviceContext& DeviceContext::operator=(DeviceContext&&) noexcept = default;
int DeviceContext::device() const noexcept { return -1; }
std::size_t DeviceContext::workspace_bytes() const noexcept { return 0; }

DeviceStreamer::DeviceStreamer(const DeviceContext&, const Options&) { unavailable(); }
DeviceStreamer::~DeviceStreamer() = default;
DeviceStreamer::DeviceStreamer(DeviceStreamer&&) noexcept = default;
DeviceStreamer& DeviceStreamer::operator=(DeviceStreamer&&) noexcept = default;
CalibrationCollector DeviceStreamer::collect(ConstTensorView) { unavailable(); }

void quantize(ConstDeviceTensorView, const DeviceQuantParams&, DeviceSpan<std::uint8_t>, CodeLayout,
              const DeviceContext&, StreamRef) {
  unavailable();
}
void quantize_transposed(ConstDeviceTensorView, const DeviceQuantParams&, DeviceSpan<std::uint8_t>,
                         DeviceSpan<std::uint8_t>, const DeviceContext&, StreamRef) {
  unavailable();
}
void quantize(ConstDeviceTensorView, const DeviceQuantParams&, DeviceSpan<std::uint8_t>, CodeLayout,
              DeviceSpan<Statistics>, const DeviceContext&, StreamRef) {
  unavailable();
}
void dequantize(DeviceSpan<const std::uint8_t>, const DeviceQuantParams&, DeviceTensorView,
                CodeLayout, const DeviceContext&, StreamRef) {
  unavailable();
}
void fake_quantize(ConstDeviceTensorView, const DeviceQuantParams&, DeviceTensorView,
                   const FakeQuantizeExtras&, const DeviceContext&, StreamRef) {
  unavailable();
}
void fake_quantize_backward(ConstDeviceTensorView, ConstDeviceTensorView, const DeviceQuantParams&,
                            DeviceTensorView, const DeviceContext&, StreamRef) {
  unavailable();
}
void fake_quantize_backward(ConstDeviceTensorView, DeviceSpan<const std::uint8_t>, DeviceTensorView,
                            const DeviceContext&, StreamRef) {
  unavailable();
}
void statistics(ConstDeviceTensorView, DeviceSpan<Statistics>, const DeviceContext&, StreamRef) {
  unavailable();
}
std::size_t dynamic_workspace_bytes(const Shape&, const Granularity&) { unavailable(); }
std::size_t learned_scale_workspace_bytes(const Shape&, const Granularity&) { unavailable(); }
void learned_scale_backward(ConstDeviceTensorView, ConstDeviceTensorView, const DeviceQuantParams&,
                            DeviceTensorView, const DeviceLearnedScaleGradient&,
                            std::optional<double>, const DeviceContext&, StreamRef) {
  unavailable();
}
void quantization_error(ConstDeviceTensorView, const DeviceQuantParams&,
                        DeviceSpan<const Statistics>, DeviceSpan<QuantizationError>,
                        const DeviceContext&, StreamRef) {
  unavailable();
}
void statistics(ConstDeviceTensorView, const Granularity&, DeviceSpan<Statistics>,
                const DeviceContext&, StreamRef) {
  unavailable();
}

void quantize_dynamic(ConstDeviceTensorView, const DynamicQuantization&, DeviceSpan<std::uint8_t>,
                      CodeLayout, const DeviceScales&, const DeviceContext&, StreamRef) {
  unavailable();
}
void fake_quantize_dynamic(ConstDeviceTensorView, const DynamicQuantization&, DeviceTensorView,
                           const DeviceScales&, const FakeQuantizeExtras&, const DeviceContext&,
                           StreamRef) {
  unavailable();
}
FakeQuantizeBatch::FakeQuantizeBatch(std::span<const FakeQuantizeItem>, const DeviceContext&) {
  unavailable();
}
FakeQuantizeBatch::~FakeQuantizeBatch() = default;
FakeQuantizeBatch::FakeQuantizeBatch(FakeQuantizeBatch&&) noexcept = default;
FakeQuantizeBatch& FakeQuantizeBatch::operator=(FakeQuantizeBatch&&) noexcept = default;
void FakeQuantizeBatch::run(const DeviceContext&, StreamRef) const { unavailable(); }
void accumulate_key_histogram(ConstDeviceTensorView, DeviceSpan<std::uint64_t>,
                              const DeviceContext&, StreamRef) {
  unavailable();
}
void accumulate_key_histogram(ConstDeviceTensorView, DeviceSpan<std::uint64_t>,
                              DeviceSpan<Statistics>, const DeviceContext&, StreamRef) {
  unavailable();
}
void minmax_scales(DeviceSpan<const Statistics>, const Quantizer&, bool, const DeviceScales&,
                   const DeviceContext&, StreamRef) {
  unavailable();
}
void range_scales(DeviceSpan<const Range>, const Quantizer&, bool, const DeviceScales&,
                  const DeviceContext&, StreamRef) {
  unavailable();
}
void update_moving_average(DeviceSpan<const Statistics>, double, DeviceSpan<MovingAverageState>,
                           const Quantizer&, bool, const DeviceScales&, const DeviceContext&,
                           StreamRef) {
  unavailable();
}
void update_amax_history(DeviceSpan<const Statistics>, const DeviceAmaxHistory&, const Quantizer&,
                         int, const DeviceScales&, const DeviceContext&, StreamRef) {
  unavailable();
}

DeviceCalibrationCollector::DeviceCalibrationCollector(DType, const DeviceContext&) {
  unavailable();
}
DeviceCalibrationCollector::~DeviceCalibrationCollector() = default;
DeviceCalibrationCollector::DeviceCalibrationCollector(DeviceCalibrationCollector&&) noexcept =
    default;
DeviceCalibrationCollector& DeviceCalibrationCollector::operator=(
    DeviceCalibrationCollector&&) noexcept = default;
DType DeviceCalibrationCollector::dtype() const noexcept { return DType::kF32; }
DeviceSpan<std::uint64_t> DeviceCalibrationCollector::counts() const noexcept { return {}; }
DeviceSpan<Statistics> DeviceCalibrationCollector::statistics() const noexcept { return {}; }
void DeviceCalibrationCollector::observe(ConstDeviceTensorView, const DeviceContext&, StreamRef) {
  unavailable();
}
void DeviceCalibrationCollector::observe_and_fake_quantize(ConstDeviceTensorView,
                                                           const DeviceQuantParams&,
                                                           DeviceTensorView,
                                                           DeviceSpan<std::uint8_t>,
                                                           const DeviceContext&, StreamRef) {
  unavailable();
}
void DeviceCalibrationCollector::merge(const DeviceCalibrationCollector&, const DeviceContext&,
                                       StreamRef) {
  unavailable();
}
void DeviceCalibrationCollector::reset(const DeviceContext&, StreamRef) { unavailable(); }
void DeviceCalibrationCollector::compute(const CalibrationOptions&, const DeviceScales&,
                                         const DeviceContext&, StreamRef) {
  unavailable();
}
CalibrationCollector DeviceCalibrationCollector::to_host(const DeviceContext&, StreamRef) const {
  unavailable();
}

void calibrate_scales(ConstDeviceTensorView, const Granularity&, const CalibrationOptions&,
                      const DeviceScales&, const DeviceContext&, StreamRef) {
  unavailable();
}
std::size_t calibration_workspace_bytes(DType, const Shape&, const Granularity&,
                                        const CalibrationOptions&, std::int64_t,
                                        const DeviceContext&) {
  unavailable();
}

std::size_t percentile_workspace_bytes(DType, OrderBy, std::size_t) { unavailable(); }
void percentile_ranges(ConstDeviceTensorView, OrderBy, std::span<const double>, DeviceSpan<Range>,
                       const DeviceContext&, StreamRef) {
  unavailable();
}
std::size_t sorted_percentile_workspace_bytes(DType, const Shape&, const Granularity&,
                                              const DeviceContext&) {
  unavailable();
}
void sorted_percentile_ranges(ConstDeviceTensorView, const Granularity&, OrderBy,
                              std::span<const double>, DeviceSpan<Range>, const DeviceContext&,
                              StreamRef) {
  unavailable();
}

void output_error(ConstDeviceTensorView, ConstDeviceTensorView, ConstDeviceTensorView,
                  ConstDeviceTensorView, DeviceSpan<double>, const DeviceContext&, StreamRef) {
  unavailable();
}
std::size_t output_error_workspace_bytes(std::int64_t, std::int64_t) { unavailable(); }
Equalization find_equalization(ConstDeviceTensorView, ConstDeviceTensorView,
                               const EqualizationOptions&, const DeviceContext&, StreamRef) {
  unavailable();
}
void equalization_factors(DeviceSpan<const Statistics>, DeviceSpan<const Statistics>, double,
                          DeviceTensorView, const DeviceContext&, StreamRef) {
  unavailable();
}
void divide_channels(ConstDeviceTensorView, int, ConstDeviceTensorView, DeviceTensorView,
                     const DeviceContext&, StreamRef) {
  unavailable();
}
void multiply_channels(ConstDeviceTensorView, int, ConstDeviceTensorView, DeviceTensorView,
                       const DeviceContext&, StreamRef) {
  unavailable();
}

CalibrationResult calibrate_layer(std::span<const ConstDeviceTensorView>, const CalibrationOptions&,
                                  const DeviceContext&, StreamRef) {
  unavailable();
}
std::vector<QuantizationSpec> calibrate_model(std::span<const DeviceLayerActivations>,
                                              const CalibrationOptions&, const DeviceContext&,
                                              StreamRef) {
  unavailable();
}

DeviceQatLayer::Saved::Saved() = default;
DeviceQatLayer::Saved::~Saved() = default;
DeviceQatLayer::Saved::Saved(Saved&&) noexcept = default;
DeviceQatLayer::Saved& DeviceQatLayer::Saved::operator=(Saved&&) noexcept = default;
DeviceQatLayer::DeviceQatLayer(std::int64_t, std::int64_t, const QatLayerConfig&, std::uint64_t,
                               const DeviceContext&) {
  unavailable();
}
DeviceQatLayer::DeviceQatLayer(const QatLayer&, const DeviceContext&) { unavailable(); }
DeviceQatLayer DeviceQatLayer::of_quantized(const QuantizedLayer&, const QatLayerConfig&,
                                            const DeviceContext&) {
  unavailable();
}
DeviceQatLayer::~DeviceQatLayer() = default;
DeviceQatLayer::DeviceQatLayer(DeviceQatLayer&&) noexcept = default;
DeviceQatLayer& DeviceQatLayer::operator=(DeviceQatLayer&&) noexcept = default;
std::int64_t DeviceQatLayer::in_features() const noexcept { return 0; }
std::int64_t DeviceQatLayer::out_features() const noexcept { return 0; }
const QatLayerConfig& DeviceQatLayer::config() const noexcept {
  static const QatLayerConfig kNone;
  return kNone;
}
ConstDeviceTensorView DeviceQatLayer::weight() const { unavailable(); }
ConstDeviceTensorView DeviceQatLayer::bias() const { unavailable(); }
bool DeviceQatLayer::is_calibrated() const noexcept { return false; }
DeviceTensorView DeviceQatLayer::change_weight() { unavailable(); }
DeviceTensorView DeviceQatLayer::change_bias() { unavailable(); }
void DeviceQatLayer::calibrate_from_data(std::span<const ConstDeviceTensorView>,
                                         const DeviceContext&, StreamRef) {
  unavailable();
}
void DeviceQatLayer::set_activation_params(const QuantParams&, const DeviceContext&) {
  unavailable();
}
void DeviceQatLayer::set_weight_params(const QuantParams&, const DeviceContext&) { unavailable(); }
DeviceQuantParams DeviceQatLayer::activation_params() const { unavailable(); }
DeviceQuantParams DeviceQatLayer::weight_params() const { unavailable(); }
DeviceTensorView DeviceQatLayer::change_weight_scale() { unavailable(); }
DeviceTensorView DeviceQatLayer::change_activation_scale() { unavailable(); }
DeviceSpan<std::int32_t> DeviceQatLayer::change_weight_zero_point() { unavailable(); }
DeviceSpan<std::int32_t> DeviceQatLayer::change_activation_zero_point() { unavailable(); }
void DeviceQatLayer::forward_train(ConstDeviceTensorView, DeviceTensorView, Saved&,
                                   const DeviceContext&, StreamRef) {
  unavailable();
}
void DeviceQatLayer::backward(ConstDeviceTensorView, Saved&, const DeviceQatGradients&,
                              const DeviceContext&, StreamRef) {
  unavailable();
}
void DeviceQatLayer::forward_infer(ConstDeviceTensorView, DeviceTensorView, const DeviceContext&,
                                   StreamRef) {
  unavailable();
}
QuantizedLayer DeviceQatLayer::quantized(const DeviceContext&, StreamRef) { unavailable(); }
QatLayer DeviceQatLayer::to_host(const DeviceContext&, StreamRef) const { unavailable(); }

}  // namespace cuqat
