#include "quantization_error.cuh"

#include <type_traits>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_quantization_error(const DeviceScaledTensor& tensor, const void* x,
                               const Statistics* statistics, QuantizationError* result,
                               const LaunchTarget& target) {
  if (tensor.num_scales == 0) return;
  launch_streaming(tensor.num_scales, 1, 0, target, &quantization_error_start_kernel,
                   tensor.num_scales, result);
  const ScaleTerms terms = scale_terms(tensor);
  if (terms.chunks_per_scale == 0) return;
  with_kernel_types(tensor.dtype, tensor.quantizer, [&](auto type, const auto& quantizer) {
    using T = typename decltype(type)::Type;
    using Q = std::decay_t<decltype(quantizer)>;
    launch_over_terms(terms, &quantization_error_kernel<T, Q>,
                      &quantization_error_strip_kernel<T, Q>, 0, target, quantizer, x, statistics,
                      result);
  });
}

}  // namespace cuqat::gpu
