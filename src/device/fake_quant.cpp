#include "cuqat/device_fake_quant.hpp"

#include "device/arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

void check_gradient(ConstDeviceTensorView dy, ConstDeviceTensorView x, DeviceTensorView dx,
                    const DeviceContext& context) {
  detail::check_alike("dy", as_plain(dy), "x", as_plain(x));
  detail::check_alike("dx", as_plain(dx), "x", as_plain(x));
  detail::check_in_place_or_disjoint({"dx", as_plain(dx)}, {"dy", as_plain(dy)});
  detail::check_in_place_or_disjoint({"dx", as_plain(dx)}, {"x", as_plain(x)});
  detail::check_device_view("x", x, context);
  detail::check_device_view("dy", dy, context);
  detail::check_device_view("dx", dx, context);
}

}  // namespace

void quantize(ConstDeviceTensorView x, const DeviceQuantParams& params,
              DeviceSpan<std::uint8_t> codes, CodeLayout layout, const DeviceContext& context,
              StreamRef stream) {
  detail::check_device_view("x", x, context);
  const auto tensor = detail::check_scaled(x.dtype(), x.shape(), params, context);
  detail::check_device_codes(codes, x.count(), params.quantizer.format, layout, context);
  detail::check_disjoint({"codes", as_plain(codes)}, {"x", as_plain(x)});
  gpu::launch_quantize(tensor, x.data(), codes.data(), layout, context.state().target(stream));
}

void dequantize(DeviceSpan<const std::uint8_t> codes, const DeviceQuantParams& params,
                DeviceTensorView y, CodeLayout layout, const DeviceContext& context,
                StreamRef stream) {
  detail::check_device_view("y", y, context);
  const auto tensor = detail::check_scaled(y.dtype(), y.shape(), params, context);
  detail::check_device_codes(codes, y.count(), params.quantizer.format, layout, context);
  detail::check_disjoint({"y", as_plain(y)}, {"codes", as_plain(codes)});
  gpu::launch_dequantize(tensor, codes.data(), layout, y.data(), context.state().target(stream));
}

void fake_quantize(ConstDeviceTensorView x, const DeviceQuantParams& params, DeviceTensorView y,
                   const FakeQuantizeExtras& extras, const DeviceContext& context,
                   StreamRef stream) {
  detail::check_device_view("x", x, context);
  const auto tensor = detail::check_scaled(x.dtype(), x.shape(), params, context);
  detail::check_alike("y", as_plain(y), "x", as_plain(x));
  detail::check_device_view("y", y, context);
  detail::check_in_place_or_disjoint({"y", as_plain(y)}, {"x", as_plain(x)});
  if (!extras.clip_mask.empty()) {
    detail::check_device_span("extras.clip_mask", extras.clip_mask, clip_mask_bytes(x.count()),
                              "as clip_mask_bytes says", context);
    detail::check_disjoint({"extras.clip_mask", as_plain(extras.clip_mask)}, {"x", as_plain(x)});
    detail::check_disjoint({"extras.clip_mask", as_plain(extras.clip_mask)}, {"y", as_plain(y)});
  }
  if (extras.statistics != nullptr) {
    detail::check_device_pointer("extras.statistics", extras.statistics, sizeof(Statistics),
                                 context);
    detail::check_alignment("extras.statistics", extras.statistics, alignof(Statistics));
  }
  std::uint8_t* const clip_mask = extras.clip_mask.empty() ? nullptr : extras.clip_mask.data();
  gpu::launch_fake_quantize(tensor, x.data(), y.data(), clip_mask, extras.statistics,
                            context.state().target(stream));
}

void fake_quantize_backward(ConstDeviceTensorView dy, ConstDeviceTensorView x,
                            const DeviceQuantParams& params, DeviceTensorView dx,
                            const DeviceContext& context, StreamRef stream) {
  check_gradient(dy, x, dx, context);
  const auto tensor = detail::check_scaled(x.dtype(), x.shape(), params, context);
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

}  // namespace cuqat
