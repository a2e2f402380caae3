#include "add_bias.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_add_bias(DType dtype, std::int64_t rows, std::int64_t columns, const void* bias,
                     const void* sums, void* y, std::int64_t y_stride, const LaunchTarget& target) {
  if (rows == 0 || columns == 0) return;
  const std::int64_t packs_per_row = (columns - 1) / kPackElements + 1;
  const std::int64_t num_packs = rows * packs_per_row;
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    launch_streaming(num_packs, 1, 0, target, &add_bias_kernel<T>, num_packs, columns,
                     packs_per_row, Divider(packs_per_row),
                     static_cast<const scalar::ComputeType<T>*>(bias), sums, y, y_stride);
  });
}

}  // namespace cuqat::gpu
