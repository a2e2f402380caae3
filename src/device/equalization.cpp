#include "cuqat/device_equalization.hpp"

#include "device/arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

void scale_channels(const ConstDeviceTensorView& x, int axis, const ConstDeviceTensorView& factors,
                    const DeviceTensorView& y, bool divides, const DeviceContext& context,
                    const gpu::LaunchTarget& target) {
  detail::check_device_view("x", x, context);
  detail::check_alike("y", as_plain(y), "x", as_plain(x));
  detail::check_device_view("y", y, context);
  gpu::DeviceScaledTensor tensor =
      detail::unscaled_tensor(x.dtype(), x.shape(), Granularity::channel(axis));
  detail::check_per_scale("factors", factors, x.dtype(), tensor.num_scales, context);
  detail::check_in_place_or_disjoint({"y", as_plain(y)}, {"x", as_plain(x)});
  detail::check_disjoint({"y", as_plain(y)}, {"factors", as_plain(factors)});
  tensor.scale = factors.data();
  gpu::launch_scale_elements(tensor, x.data(), y.data(), divides, target);
}

}  // namespace

void equalization_factors(DeviceSpan<const Statistics> activations,
                          DeviceSpan<const Statistics> weights, double alpha,
                          DeviceTensorView factors, const DeviceContext& context,
                          StreamRef stream) {
  if (!(alpha >= 0.0 && alpha <= 1.0)) {
    detail::throw_invalid("alpha", detail::text(alpha), "in [0, 1]");
  }
  const std::int64_t n = activations.size();
  detail::check_per_scale("activations", activations, n, context);
  detail::check_per_scale("weights", weights, n, context);
  detail::check_per_scale("factors", factors, DType::kF32, n, context);
  detail::check_apart({{"factors", as_plain(factors)}},
                      {{"activations", as_plain(activations)}, {"weights", as_plain(weights)}});
  gpu::launch_equalization_factors(n, activations.data(), weights.data(), alpha,
                                   static_cast<float*>(factors.data()),
                                   context.state().target(stream));
}

void divide_channels(ConstDeviceTensorView x, int axis, ConstDeviceTensorView factors,
                     DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  scale_channels(x, axis, factors, y, true, context, context.state().target(stream));
}

void multiply_channels(ConstDeviceTensorView x, int axis, ConstDeviceTensorView factors,
                       DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  scale_channels(x, axis, factors, y, false, context, context.state().target(stream));
}

}  // namespace cuqat
