#include "cuqat/device_statistics.hpp"

#include "device/arguments.hpp"

namespace cuqat {

void statistics(ConstDeviceTensorView x, Statistics* result, const DeviceContext& context,
                StreamRef stream) {
  detail::check_device_view("x", x, context);
  detail::check_device_pointer("result", result, sizeof(Statistics), context);
  detail::check_alignment("result", result, alignof(Statistics));
  gpu::launch_statistics(x.dtype(), x.count(), x.data(), result, context.state().target(stream));
}

}  // namespace cuqat
