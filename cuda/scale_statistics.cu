#include "scale_statistics.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_scale_statistics(const DeviceScaledTensor& tensor, const void* x, Statistics* result,
                             const LaunchTarget& target) {
  if (tensor.num_scales == 0) return;
  if (tensor.num_scales == 1) {
    return launch_statistics(tensor.dtype, tensor.shape.count(), x, result, target);
  }
  const ScaleTerms terms = scale_terms(tensor);
  if (terms.by_strips || terms.chunks_per_scale != 1) {
    launch_streaming(terms.num_scales, 1, 0, target, &scale_statistics_start_kernel, terms, result);
  }
  if (terms.chunks_per_scale == 0) return;
  with_type(tensor.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    launch_over_terms(terms, &scale_statistics_kernel<T>, &scale_statistics_strip_kernel<T>, 0,
                      target, x, result);
  });
}

}  // namespace cuqat::gpu
