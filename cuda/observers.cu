#include "observers.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_minmax_scales(DType compute, std::int64_t n, const Statistics* batch,
                          const RangeRule& rule, const ScaleOutput& scales,
                          const LaunchTarget& target) {
  if (n == 0) return;
  with_compute_type(compute, [&](auto type) {
    using C = typename decltype(type)::Type;
    launch_streaming(n, 1, 0, target, &minmax_scales_kernel<C>, n, batch, rule, scales);
  });
}

void launch_range_scales(DType compute, std::int64_t n, const Range* ranges, const RangeRule& rule,
                         const ScaleOutput& scales, const LaunchTarget& target) {
  if (n == 0) return;
  with_compute_type(compute, [&](auto type) {
    using C = typename decltype(type)::Type;
    launch_streaming(n, 1, 0, target, &range_scales_kernel<C>, n, ranges, rule, scales);
  });
}

void launch_moving_average(DType compute, std::int64_t n, const Statistics* batch, double momentum,
                           MovingAverageState* state, const RangeRule& rule,
                           const ScaleOutput& scales, const LaunchTarget& target) {
  if (n == 0) return;
  with_compute_type(compute, [&](auto type) {
    using C = typename decltype(type)::Type;
    launch_streaming(n, 1, 0, target, &moving_average_kernel<C>, n, batch, momentum, state, rule,
                     scales);
  });
}

void launch_amax_history(DType compute, std::int64_t n, const Statistics* batch, double* history,
                         std::int64_t length, std::int64_t* num_steps, int margin,
                         const Quantizer& quantizer, const ScaleOutput& scales,
                         const LaunchTarget& target) {
  if (n == 0) return;
  with_compute_type(compute, [&](auto type) {
    using C = typename decltype(type)::Type;
    launch_streaming(n, 1, 0, target, &amax_history_kernel<C>, n, batch, history, length, num_steps,
                     scalar::power_of_two<double>(margin), quantizer, scales);
  });
}

}  // namespace cuqat::gpu
