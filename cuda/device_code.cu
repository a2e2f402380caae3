// Whether this build has code for a device.
#include "launchers.hpp"
#include "statistics.cuh"

namespace cuqat::gpu {

cudaError_t find_device_code() {
  // All kernels are compiled for the same architectures: one of them tells.
  cudaFuncAttributes attributes{};
  return cudaFuncGetAttributes(&attributes, &statistics_kernel<float>);
}

}  // namespace cuqat::gpu
