#include "equalization.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_scale_elements(const DeviceScaledTensor& tensor, const void* x, void* y, bool divides,
                           const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) return;
  with_type(tensor.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    const PackLayout layout = packs_aligned_to<T>(y, count);
    const auto run = [&](auto kernel) {
      launch_streaming(layout.num_packs, kPacksInFlight<T>, 0, target, kernel, layout,
                       scale_map(tensor), x, y);
    };
    if (divides) return run(&scale_elements_kernel<T, true>);
    run(&scale_elements_kernel<T, false>);
  });
}

void launch_equalization_factors(DType compute, std::int64_t n, const Statistics* activations,
                                 const Statistics* weights, double alpha, void* factors,
                                 const LaunchTarget& target) {
  if (n == 0) return;
  with_compute_type(compute, [&](auto type) {
    using C = typename decltype(type)::Type;
    launch_streaming(n, 1, 0, target, &equalization_factors_kernel<C>, n, activations, weights,
                     alpha, static_cast<C*>(factors));
  });
}

}  // namespace cuqat::gpu
