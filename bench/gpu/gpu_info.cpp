// Prints the GPU and the versions of what drives it as one JSON object. Exits with 77 where there
// is no GPU, with 1 where there is one that cannot be used.
#include <cuda_runtime.h>
#include <cub/version.cuh>
#include <cuqat/version.hpp>

#include <cstdio>

namespace {

int failed(const char* call, cudaError_t status) {
  std::fprintf(stderr, "%s: %s\n", call, cudaGetErrorString(status));
  return 1;
}

}  // namespace

int main() {
  int device = 0;
  int driver = 0;
  int runtime = 0;
  cudaDeviceProp gpu{};
  cudaError_t status = cudaDriverGetVersion(&driver);
  if (status != cudaSuccess) return failed("cudaDriverGetVersion", status);
  status = cudaGetDevice(&device);
  if (driver == 0 || status == cudaErrorNoDevice) {
    std::fprintf(stderr, "%s\n", driver == 0 ? "there is no CUDA driver" : "there is no GPU");
    return 77;
  }
  if (status != cudaSuccess) return failed("cudaGetDevice", status);
  status = cudaGetDeviceProperties(&gpu, device);
  if (status != cudaSuccess) return failed("cudaGetDeviceProperties", status);
  status = cudaRuntimeGetVersion(&runtime);
  if (status != cudaSuccess) return failed("cudaRuntimeGetVersion", status);
  std::printf(
      "{\"name\": \"%s\", \"compute_capability\": \"%d.%d\", \"multiprocessors\": %d, "
      "\"l2_bytes\": %d, \"memory_bytes\": %zu, \"driver_cuda_version\": %d, "
      "\"runtime_version\": %d, \"toolkit_version\": %d, \"cub_version\": %d, \"cuqat_version\": "
      "\"%s\"}\n",
      gpu.name, gpu.major, gpu.minor, gpu.multiProcessorCount, gpu.l2CacheSize, gpu.totalGlobalMem,
      driver, runtime, CUDART_VERSION, CUB_VERSION, CUQAT_VERSION_STRING);
}
