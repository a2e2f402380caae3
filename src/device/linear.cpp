#include "cuqat/device_gemm.hpp"

#include <string_view>

#include "device/arguments.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {

using detail::as_plain;

void linear(ConstDeviceTensorView x, ConstDeviceTensorView w, ConstDeviceTensorView bias,
            DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  const GemmShape shape = detail::check_gemm({"x", as_plain(x)}, Transpose::kNo, {"w", as_plain(w)},
                                             Transpose::kYes, as_plain(y));
  detail::check_bias(as_plain(bias), shape.n, y.dtype(), {"y", as_plain(y)});
  const auto check = [&](std::string_view name, const ConstDeviceTensorView& view) {
    if (view.count() == 0) return;
    detail::check_device_view(name, view, context);
    detail::check_alignment(name, view.data(), dtype_bytes(view.dtype()));
  };
  check("x", x);
  check("w", w);
  check("bias", bias);
  gemm(x, Transpose::kNo, w, Transpose::kYes, y, context, stream);
  if (bias.count() == 0) return;
  gpu::launch_add_bias(y.dtype(), shape.m, shape.n, bias.data(), y.data(),
                       context.state().target(stream));
}

}  // namespace cuqat
