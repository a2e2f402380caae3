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

gpu::NumberMatrix matrix(const ConstDeviceTensorView& view) {
  return {view.data(), view.dtype(), view.shape()[0], view.shape()[1]};
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
  gpu::launch_equalization_factors(DType::kF32, n, activations.data(), weights.data(), alpha,
                                   factors.data(), context.state().target(stream));
}

void divide_channels(ConstDeviceTensorView x, int axis, ConstDeviceTensorView factors,
                     DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  scale_channels(x, axis, factors, y, true, context, context.state().target(stream));
}

void multiply_channels(ConstDeviceTensorView x, int axis, ConstDeviceTensorView factors,
                       DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  scale_channels(x, axis, factors, y, false, context, context.state().target(stream));
}

void output_error(ConstDeviceTensorView x, ConstDeviceTensorView w, ConstDeviceTensorView xq,
                  ConstDeviceTensorView wq, DeviceSpan<double> result, const DeviceContext& context,
                  StreamRef stream) {
  detail::check_compared_products(as_plain(x), as_plain(w), as_plain(xq), as_plain(wq));
  detail::check_device_view("x", x, context);
  detail::check_device_view("w", w, context);
  detail::check_device_view("xq", xq, context);
  detail::check_device_view("wq", wq, context);
  detail::check_device_span("result", result, 1, "for the whole layer", context);
  detail::check_alignment("result", result.data(), alignof(double));
  detail::check_apart(
      {{"result", as_plain(result)}},
      {{"x", as_plain(x)}, {"w", as_plain(w)}, {"xq", as_plain(xq)}, {"wq", as_plain(wq)}});
  void* const scratch = detail::scratch(output_error_workspace_bytes(w.shape()[0], 1), context);
  gpu::launch_output_error({matrix(x), matrix(w), matrix(xq), matrix(wq), nullptr}, result.data(),
                           scratch, context.workspace_bytes(), context.state().target(stream));
}

std::size_t output_error_workspace_bytes(std::int64_t outputs, std::int64_t rows_at_once) {
  if (outputs < 0) detail::throw_invalid("outputs", detail::text(outputs), "at least 0");
  if (rows_at_once < 1) {
    detail::throw_invalid("rows_at_once", detail::text(rows_at_once), "at least 1");
  }
  // 16 bytes a row, 16 an output of each and 256 in all: less than 64 for each.
  static_cast<void>(Shape{outputs, rows_at_once, 64});
  return gpu::output_error_scratch_bytes(outputs, rows_at_once);
}

}  // namespace cuqat
