#include "cuqat/device_gemm.hpp"
#include "device/arguments.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {

using detail::as_plain;

void linear(ConstDeviceTensorView x, ConstDeviceTensorView w, ConstDeviceTensorView bias,
            DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  const GemmShape shape = detail::check_gemm({"x", as_plain(x)}, Transpose::kNo, {"w", as_plain(w)},
                                             Transpose::kYes, as_plain(y));
  detail::check_bias(as_plain(bias), shape.n, as_plain(y));
  if (bias.count() != 0) {
    detail::check_device_view("bias", bias, context);
    detail::check_alignment("bias", bias.data(), dtype_bytes(bias.dtype()));
  }
  gemm(x, Transpose::kNo, w, Transpose::kYes, y, context, stream);
  if (bias.count() == 0) return;
  gpu::launch_add_bias(y.dtype(), shape.m, shape.n, bias.data(), y.data(),
                       context.state().target(stream));
}

}  // namespace cuqat
