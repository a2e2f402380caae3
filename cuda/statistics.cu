#include "statistics.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

cudaError_t find_device_code() {
  // All kernels are compiled for the same architectures: one of them tells.
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, &statistics_kernel<float>);
}

std::size_t reduction_workspace_bytes(int num_multiprocessors) {
  const auto blocks = static_cast<std::size_t>(num_multiprocessors) * kMaxBlocksPerMultiprocessor;
  return aligned(kCounterBytes + blocks * sizeof(Statistics));
}

void launch_statistics(DType dtype, std::int64_t count, const void* x, Statistics* result,
                       const LaunchTarget& target) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    const PackLayout layout = packs_aligned_to<T>(x, count);
    launch_streaming(layout.num_packs, kPacksInFlight<T>, sizeof(StatisticsStorage), target,
                     &statistics_kernel<T>, layout, x, reduction_scratch(target.workspace), result);
  });
}

}  // namespace cuqat::gpu
