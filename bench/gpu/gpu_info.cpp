// Prints the GPU and the versions of what drives it as one JSON object, or exits with 77 where no
// GPU can be used.
#include <cuda_runtime.h>

#include <cstdio>

int main() {
  int device = 0;
  int driver = 0;
  int runtime = 0;
  cudaDeviceProp gpu{};
  const cudaError_t status = cudaGetDevice(&device);
  if (status != cudaSuccess || cudaGetDeviceProperties(&gpu, device) != cudaSuccess) {
    std::fprintf(stderr, "no GPU can be used: %s\n", cudaGetErrorString(status));
    return 77;
  }
  if (cudaDriverGetVersion(&driver) != cudaSuccess ||
      cudaRuntimeGetVersion(&runtime) != cudaSuccess) {
    std::fprintf(stderr, "the CUDA runtime does not tell its version\n");
    return 1;
  }
  std::printf(
      "{\"name\": \"%s\", \"compute_capability\": \"%d.%d\", \"multiprocessors\": %d, "
      "\"l2_bytes\": %d, \"memory_bytes\": %zu, \"driver_cuda_version\": %d, "
      "\"runtime_version\": %d, \"toolkit_version\": %d}\n",
      gpu.name, gpu.major, gpu.minor, gpu.multiProcessorCount, gpu.l2CacheSize, gpu.totalGlobalMem,
      driver, runtime, CUDART_VERSION);
}
