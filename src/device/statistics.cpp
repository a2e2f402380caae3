#include "cuqat/device_statistics.hpp"

#include "device/arguments.hpp"

namespace cuqat {

void statistics(ConstDeviceTensorView x, DeviceSpan<Statistics> result,
                const DeviceContext& context, StreamRef stream) {
  detail::check_device_view("x", x, context);
  detail::check_statistics("result", result, context);
  detail::check_disjoint({"result", detail::as_plain(result)}, {"x", detail::as_plain(x)});
  gpu::launch_statistics(x.dtype(), x.count(), x.data(), result.data(),
                         context.state().target(stream));
}

void statistics(ConstDeviceTensorView x, const Granularity& granularity,
                DeviceSpan<Statistics> result, const DeviceContext& context, StreamRef stream) {
  detail::check_device_view("x", x, context);
  const gpu::DeviceScaledTensor tensor = detail::unscaled_tensor(x.dtype(), x.shape(), granularity);
  detail::check_per_scale("result", result, tensor.num_scales, context);
  detail::check_disjoint({"result", detail::as_plain(result)}, {"x", detail::as_plain(x)});
  gpu::launch_scale_statistics(tensor, x.data(), result.data(), context.state().target(stream));
}

void quantization_error(ConstDeviceTensorView x, const DeviceQuantParams& params,
                        DeviceSpan<const Statistics> statistics,
                        DeviceSpan<QuantizationError> result, const DeviceContext& context,
                        StreamRef stream) {
  detail::check_device_view("x", x, context);
  const gpu::DeviceScaledTensor tensor =
      detail::check_scaled(x.dtype(), x.shape(), params, context);
  detail::check_per_scale("statistics", statistics, tensor.num_scales, context);
  detail::check_per_scale("result", result, tensor.num_scales, context);
  detail::check_apart({{"result", detail::as_plain(result)}},
                      {{"x", detail::as_plain(x)},
                       {"statistics", detail::as_plain(statistics)},
                       detail::scale_region(params),
                       detail::zero_point_region(params)});
  gpu::launch_quantization_error(tensor, x.data(), statistics.data(), result.data(),
                                 context.state().target(stream));
}

}  // namespace cuqat
