#include "cuqat/device_fake_quant.hpp"

#include <cmath>
#include <span>
#include <string_view>

#include "device/arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

/// The arguments that both gradients take; x and its scales.
gpu::DeviceScaledTensor check_gradient(ConstDeviceTensorView dy, ConstDeviceTensorView x,
                                       const DeviceQuantParams& params, DeviceTensorView dx,
                                       const DeviceContext& context) {
  detail::check_alike("dy", as_plain(dy), "x", as_plain(x));
  detail::check_alike("dx", as_plain(dx), "x", as_plain(x));
  detail::check_in_place_or_disjoint({"dx", as_plain(dx)}, {"dy", as_plain(dy)});
  detail::check_in_place_or_disjoint({"dx", as_plain(dx)}, {"x", as_plain(x)});
  detail::check_device_view("x", x, context);
  detail::check_device_view("dy", dy, context);
  detail::check_device_view("dx", dx, context);
  detail::check_apart({{"dx", as_plain(dx)}},
                      {detail::scale_region(params), detail::zero_point_region(params)});
  return detail::check_scaled(x.dtype(), x.shape(), params, context);
}

/// What the sums of the gradients ask for, apart from the tensors.
void check_learned(const gpu::DeviceScaledTensor& tensor,
                   const DeviceLearnedScaleGradient& gradient, std::optional<double> gradient_scale,
                   const DeviceContext& context) {
  const auto check = [&](std::string_view name, const DeviceTensorView& of_scales) {
    detail::check_per_scale(name, of_scales, tensor.dtype, tensor.num_scales, context);
  };
  check("gradient.dscale", gradient.dscale);
  if (gradient.dzero_point.count() > 0) {
    if (!is_integer(tensor.quantizer.format)) {
      detail::check_size("gradient.dzero_point",
                         static_cast<std::size_t>(gradient.dzero_point.count()), 0,
                         "as FP8 has no zero point");
    }
    check("gradient.dzero_point", gradient.dzero_point);
  }
  if (gradient_scale && !std::isfinite(*gradient_scale)) {
    detail::throw_invalid("gradient_scale", detail::text(*gradient_scale), "finite");
  }
  const std::size_t needed = gpu::learned_scale_workspace_bytes(tensor);
  if (context.workspace_bytes() < needed) {
    detail::throw_invalid(
        "context.workspace_bytes()", detail::text(context.workspace_bytes()),
        "at least " + detail::text(needed) + ", as learned_scale_workspace_bytes says");
  }
}

gpu::DeviceScaledTensor check_quantize(const ConstDeviceTensorView& x,
                                       const DeviceQuantParams& params,
                                       const DeviceSpan<std::uint8_t>& codes, CodeLayout layout,
                                       const DeviceContext& context) {
  detail::check_device_view("x", x, context);
  const auto tensor = detail::check_scaled(x.dtype(), x.shape(), params, context);
  detail::check_device_codes(codes, x.count(), params.quantizer.format, layout, context);
  detail::check_apart(
      {{"codes", as_plain(codes)}},
      {{"x", as_plain(x)}, detail::scale_region(params), detail::zero_point_region(params)});
  return tensor;
}

}  // namespace

void quantize(ConstDeviceTensorView x, const DeviceQuantParams& params,
              DeviceSpan<std::uint8_t> codes, CodeLayout layout, const DeviceContext& context,
              StreamRef stream) {
  const auto tensor = check_quantize(x, params, codes, layout, context);
  gpu::launch_quantize(tensor, x.data(), codes.data(), layout, nullptr,
                       context.state().target(stream));
}

void quantize(ConstDeviceTensorView x, const DeviceQuantParams& params,
              DeviceSpan<std::uint8_t> codes, CodeLayout layout, DeviceSpan<Statistics> statistics,
              const DeviceContext& context, StreamRef stream) {
  const auto tensor = check_quantize(x, params, codes, layout, context);
  detail::check_statistics("statistics", statistics, context);
  detail::check_apart({{"statistics", as_plain(statistics)}}, {{"x", as_plain(x)},
                                                               {"codes", as_plain(codes)},
                                                               detail::scale_region(params),
                                                               detail::zero_point_region(params)});
  gpu::launch_quantize(tensor, x.data(), codes.data(), layout, statistics.data(),
                       context.state().target(stream));
}

void quantize_transposed(ConstDeviceTensorView x, const DeviceQuantParams& params,
                         DeviceSpan<std::uint8_t> codes, DeviceSpan<std::uint8_t> codes_transposed,
                         const DeviceContext& context, StreamRef stream) {
  detail::check_device_view("x", x, context);
  const auto tensor = detail::check_scaled(x.dtype(), x.shape(), params, context);
  detail::check_transposed_codes(as_plain(x), as_plain(codes), as_plain(codes_transposed));
  detail::check_apart(
      {{"codes", as_plain(codes)}, {"codes_transposed", as_plain(codes_transposed)}},
      {detail::scale_region(params), detail::zero_point_region(params)});
  const std::size_t count = codes_bytes(x.count(), CodeLayout::kBytes);
  if (!codes.empty()) detail::check_device_pointer("codes", codes.data(), count, context);
  detail::check_device_pointer("codes_transposed", codes_transposed.data(), count, context);
  gpu::launch_quantize_transposed(tensor, x.data(), codes.empty() ? nullptr : codes.data(),
                                  codes_transposed.data(), context.state().target(stream));
}

void dequantize(DeviceSpan<const std::uint8_t> codes, const DeviceQuantParams& params,
                DeviceTensorView y, CodeLayout layout, const DeviceContext& context,
                StreamRef stream) {
  detail::check_device_view("y", y, context);
  const auto tensor = detail::check_scaled(y.dtype(), y.shape(), params, context);
  detail::check_device_codes(codes, y.count(), params.quantizer.format, layout, context);
  detail::check_apart({{"y", as_plain(y)}}, {{"codes", as_plain(codes)},
                                             detail::scale_region(params),
                                             detail::zero_point_region(params)});
  gpu::launch_dequantize(tensor, codes.data(), layout, y.data(), context.state().target(stream));
}

void fake_quantize(ConstDeviceTensorView x, const DeviceQuantParams& params, DeviceTensorView y,
                   const FakeQuantizeExtras& extras, const DeviceContext& context,
                   StreamRef stream) {
  const auto work = detail::check_fake_quantize(x, params, y, extras, context);
  gpu::launch_fake_quantize(work.tensor, x.data(), y.data(), work.clip_mask,
                            detail::data_or_null(extras.statistics),
                            context.state().target(stream));
}

void fake_quantize_backward(ConstDeviceTensorView dy, ConstDeviceTensorView x,
                            const DeviceQuantParams& params, DeviceTensorView dx,
                            const DeviceContext& context, StreamRef stream) {
  const auto tensor = check_gradient(dy, x, params, dx, context);
  gpu::launch_fake_quantize_backward(tensor, dy.data(), x.data(), dx.data(),
                                     context.state().target(stream));
}

void fake_quantize_backward(ConstDeviceTensorView dy, DeviceSpan<const std::uint8_t> clip_mask,
                            DeviceTensorView dx, const DeviceContext& context, StreamRef stream) {
  detail::check_alike("dx", as_plain(dx), "dy", as_plain(dy));
  detail::check_device_view("dy", dy, context);
  detail::check_device_view("dx", dx, context);
  detail::check_in_place_or_disjoint({"dx", as_plain(dx)}, {"dy", as_plain(dy)});
  detail::check_device_span("clip_mask", clip_mask, clip_mask_bytes(dy.count()),
                            "as clip_mask_bytes says", context);
  detail::check_disjoint({"dx", as_plain(dx)}, {"clip_mask", as_plain(clip_mask)});
  gpu::launch_fake_quantize_backward_from_mask(dy.dtype(), dy.count(), dy.data(), clip_mask.data(),
                                               dx.data(), context.state().target(stream));
}

std::size_t learned_scale_workspace_bytes(const Shape& shape, const Granularity& granularity) {
  return gpu::learned_scale_workspace_bytes(
      detail::unscaled_tensor(DType::kF32, shape, granularity));
}

void learned_scale_backward(ConstDeviceTensorView dy, ConstDeviceTensorView x,
                            const DeviceQuantParams& params, DeviceTensorView dx,
                            const DeviceLearnedScaleGradient& gradient,
                            std::optional<double> gradient_scale, const DeviceContext& context,
                            StreamRef stream) {
  const auto tensor = check_gradient(dy, x, params, dx, context);
  check_learned(tensor, gradient, gradient_scale, context);
  detail::check_apart({{"gradient.dscale", as_plain(gradient.dscale)},
                       {"gradient.dzero_point", as_plain(gradient.dzero_point)}},
                      {{"dy", as_plain(dy)},
                       {"x", as_plain(x)},
                       {"dx", as_plain(dx)},
                       detail::scale_region(params),
                       detail::zero_point_region(params)});
  const bool with_zero_point = gradient.dzero_point.count() > 0;
  gpu::launch_learned_scale_backward(
      tensor, dy.data(), x.data(), dx.data(),
      {gradient.dscale.data(), with_zero_point ? gradient.dzero_point.data() : nullptr,
       gradient_scale},
      context.state().target(stream));
}

}  // namespace cuqat
