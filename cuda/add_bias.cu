#include "add_bias.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_add_bias(DType dtype, std::int64_t rows, std::int64_t columns, const void* bias,
                     void* y, const LaunchTarget& target) {
  const std::int64_t count = rows * columns;
  if (count == 0) return;
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    launch_streaming(count, 1, 0, target, &add_bias_kernel<T>, count, columns, Divider(columns),
                     static_cast<const scalar::ComputeType<T>*>(bias), static_cast<T*>(y));
  });
}

}  // namespace cuqat::gpu
