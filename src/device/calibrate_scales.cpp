#include <cstdint>
#include <string>
#include <string_view>

#include "cuqat/device_calibration.hpp"
#include "device/arguments.hpp"

namespace cuqat {
namespace {

gpu::ScaleCalibration check_scale_calibration(std::string_view name, DType dtype,
                                              const Shape& shape, const Granularity& granularity,
                                              const CalibrationOptions& method) {
  detail::check_calibrated_dtype(name, dtype);
  detail::check_calibration(method);
  const gpu::ScaleCalibration calibration{detail::unscaled_tensor(dtype, shape, granularity),
                                          method, method.quantizer()};
  // A row's last group may be shorter: one would be searched on bins and the other would not.
  const bool searches =
      method.method != CalibMethod::kMinMax && method.method != CalibMethod::kPercentile;
  if (searches && granularity.kind == Granularity::Kind::kGroup && dtype == DType::kF32 &&
      gpu::longest_scale(calibration.tensor) > kMaxSearchedElements) {
    detail::throw_invalid("granularity.group_size", detail::text(granularity.group_size),
                          "at most " + detail::text(kMaxSearchedElements) + " for F32 and " +
                              std::string(to_string(method.method)));
  }
  return calibration;
}

}  // namespace

std::size_t calibration_workspace_bytes(DType dtype, const Shape& shape,
                                        const Granularity& granularity,
                                        const CalibrationOptions& method,
                                        std::int64_t scales_at_once, const DeviceContext& context) {
  if (scales_at_once < 1) {
    detail::throw_invalid("scales_at_once", detail::text(scales_at_once), "at least 1");
  }
  return gpu::scale_calibration_scratch_bytes(
      check_scale_calibration("dtype", dtype, shape, granularity, method), scales_at_once,
      context.state().target_without_stream());
}

void calibrate_scales(ConstDeviceTensorView x, const Granularity& granularity,
                      const CalibrationOptions& method, const DeviceScales& scales,
                      const DeviceContext& context, StreamRef stream) {
  detail::check_device_view("x", x, context);
  const gpu::ScaleCalibration calibration =
      check_scale_calibration("x.dtype()", x.dtype(), x.shape(), granularity, method);
  const gpu::ScaleOutput output =
      detail::check_scale_output(scales, x.dtype(), calibration.tensor.num_scales,
                                 calibration.quantizer, method.symmetric, context);
  detail::check_apart({{"scales.scale", detail::as_plain(scales.scale)},
                       {"scales.zero_point", detail::as_plain(scales.zero_point)}},
                      {{"x", detail::as_plain(x)}});
  const gpu::LaunchTarget target = context.state().target(stream);
  if (calibration.tensor.num_scales == 0) return;
  void* const scratch =
      detail::scratch(gpu::scale_calibration_scratch_bytes(calibration, 1, target), context);
  gpu::launch_scale_calibration(calibration, x.data(), output, scratch, context.workspace_bytes(),
                                target);
}

}  // namespace cuqat
