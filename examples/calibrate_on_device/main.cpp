// Calibrates a tensor where it lies in device memory, and fake-quantizes it with the scale that was
// found inside a CUDA graph: the scale never visits the host.
#include <cuda_runtime.h>

#include <bit>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "cuqat/device_calibration.hpp"
#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"

namespace {

void check(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

struct Free {
  void operator()(void* memory) const { cudaFree(memory); }
};
template <typename T>
using DeviceArray = std::unique_ptr<T[], Free>;

template <typename T>
DeviceArray<T> allocate(std::int64_t count) {
  void* memory = nullptr;
  check(cudaMalloc(&memory, static_cast<std::size_t>(count) * sizeof(T)));
  return DeviceArray<T>(static_cast<T*>(memory));
}

float to_float(cuqat::bfloat16 x) { return std::bit_cast<float>(std::uint32_t{x.bits} << 16); }

void run() {
  const cuqat::Shape shape{665, 384};
  std::mt19937 random(42);
  std::vector<cuqat::bfloat16> host(static_cast<std::size_t>(shape.count()));
  for (cuqat::bfloat16& value : host) {
    const float uniform = static_cast<float>(random()) / 4294967296.0f - 0.25f;
    value.bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(uniform) >> 16);
  }

  cudaStream_t stream = nullptr;
  check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  const auto x_memory = allocate<cuqat::bfloat16>(shape.count());
  const auto y_memory = allocate<cuqat::bfloat16>(shape.count());
  const auto scale = allocate<float>(1);
  const auto zero_point = allocate<std::int32_t>(1);
  const cuqat::DeviceTensorView x(x_memory.get(), shape);
  const cuqat::DeviceTensorView y(y_memory.get(), shape);
  const cuqat::DeviceScales scales{{scale.get(), cuqat::Shape{1}}, {zero_point.get(), 1}};
  check(cudaMemcpyAsync(x.data(), host.data(), x.size_bytes(), cudaMemcpyHostToDevice, stream));

  const cuqat::DeviceContext context;
  cuqat::DeviceCalibrationCollector collector(cuqat::DType::kBF16, context);
  collector.observe(x, context, stream);  // as many batches as there are, in any order
  collector.compute({.method = cuqat::CalibMethod::kMse, .symmetric = false}, scales, context,
                    stream);

  cuqat::DeviceQuantParams params;  // int8, one scale
  params.scale = scales.scale;
  params.zero_point = scales.zero_point;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t step = nullptr;
  check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  cuqat::fake_quantize(x, params, y, {}, context, stream);
  check(cudaStreamEndCapture(stream, &graph));
  check(cudaGraphInstantiate(&step, graph, 0));
  check(cudaGraphLaunch(step, stream));

  cuqat::bfloat16 first{};
  float found_scale = 0;
  std::int32_t found_zero_point = 0;
  check(cudaMemcpyAsync(&first, y.data(), sizeof(first), cudaMemcpyDeviceToHost, stream));
  check(cudaMemcpyAsync(&found_scale, scale.get(), sizeof(float), cudaMemcpyDeviceToHost, stream));
  check(cudaMemcpyAsync(&found_zero_point, zero_point.get(), sizeof(std::int32_t),
                        cudaMemcpyDeviceToHost, stream));
  check(cudaStreamSynchronize(stream));
  std::printf("scale %.6f, zero point %d: %.6f becomes %.6f\n", double{found_scale},
              found_zero_point, double{to_float(host[0])}, double{to_float(first)});

  check(cudaGraphExecDestroy(step));
  check(cudaGraphDestroy(graph));
  check(cudaStreamDestroy(stream));
}

}  // namespace

int main() {
  try {
    run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
