#include "device/context.hpp"

#include <limits>
#include <string>

#include "check.hpp"
#include "cuqat/error.hpp"

namespace cuqat {
namespace {

int attribute(cudaDeviceAttr which, int device) {
  int value = 0;
  gpu::check(cudaDeviceGetAttribute(&value, which, device), "cudaDeviceGetAttribute");
  return value;
}

/// The current device.
int find_device() {
  int device = 0;
  const cudaError_t status = cudaGetDevice(&device);
  switch (status) {
    case cudaErrorNoDevice:
    case cudaErrorInsufficientDriver:
    case cudaErrorStubLibrary:
    case cudaErrorSystemDriverMismatch:
    case cudaErrorCompatNotSupportedOnDevice:
      static_cast<void>(cudaGetLastError());
      throw BackendUnavailable(std::string("there is no CUDA device that can be used: ") +
                               cudaGetErrorString(status));
    default:
      gpu::check(status, "cudaGetDevice");
  }
  return device;
}

/// Better now than at the first launch.
void check_has_code(int device) {
  const cudaError_t status = gpu::find_device_code();
  switch (status) {
    case cudaErrorNoKernelImageForDevice:
    case cudaErrorInvalidDeviceFunction:
    case cudaErrorUnsupportedPtxVersion:
      static_cast<void>(cudaGetLastError());
      throw BackendUnavailable(
          "this build of cuqat has no code for CUDA device " + std::to_string(device) +
          ", whose compute capability is " +
          std::to_string(attribute(cudaDevAttrComputeCapabilityMajor, device)) + "." +
          std::to_string(attribute(cudaDevAttrComputeCapabilityMinor, device)));
    default:
      gpu::check(status, "cudaFuncGetAttributes");
  }
}

}  // namespace

DeviceContext::State::State(const Options& options)
    : device(find_device()),
      num_multiprocessors(options.num_multiprocessors),
      check_pointers(options.check_pointers),
      workspace_bytes(options.workspace_bytes),
      gemm_workspace_bytes(options.gemm_workspace_bytes),
      tunes_products(options.tunes_products) {
  constexpr int kMost = 65'535;
  if (num_multiprocessors < 0 || num_multiprocessors > kMost) {
    throw InvalidArgument("options.num_multiprocessors is " + std::to_string(num_multiprocessors) +
                          "; it must be 0 to " + std::to_string(kMost));
  }
  check_has_code(device);
  if (num_multiprocessors == 0) {
    num_multiprocessors = attribute(cudaDevAttrMultiProcessorCount, device);
  }
  compute_capability = 10 * attribute(cudaDevAttrComputeCapabilityMajor, device) +
                       attribute(cudaDevAttrComputeCapabilityMinor, device);
  max_shared_bytes =
      static_cast<std::size_t>(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  const std::size_t of_reductions = gpu::reduction_workspace_bytes(num_multiprocessors);
  const std::size_t most = std::numeric_limits<std::size_t>::max() - of_reductions;
  if (workspace_bytes > most) {
    throw InvalidArgument("options.workspace_bytes is " + std::to_string(workspace_bytes) +
                          "; it must be at most " + std::to_string(most));
  }
  workspace = detail::DeviceMemory(of_reductions + workspace_bytes);
}

void DeviceContext::State::check_is_current(std::source_location operation) const {
  int current = 0;
  gpu::check(cudaGetDevice(&current), "cudaGetDevice", operation);
  if (current != device) {
    throw InvalidArgument("the current device is " + std::to_string(current) +
                          "; it must be the context's, " + std::to_string(device));
  }
}

gpu::LaunchTarget DeviceContext::State::target(StreamRef stream,
                                               std::source_location operation) const {
  gpu::LaunchTarget target = target_without_stream(operation);
  target.stream = stream.get();
  return target;
}

gpu::LaunchTarget DeviceContext::State::target_without_stream(
    std::source_location operation) const {
  check_is_current(operation);
  return {num_multiprocessors, max_shared_bytes, nullptr, workspace.data(), operation};
}

DeviceContext::DeviceContext(const Options& options) : state_(std::make_unique<State>(options)) {}
DeviceContext::~DeviceContext() = default;
DeviceContext::DeviceContext(DeviceContext&&) noexcept = default;
DeviceContext& DeviceContext::operator=(DeviceContext&&) noexcept = default;

int DeviceContext::device() const noexcept { return state_->device; }
std::size_t DeviceContext::workspace_bytes() const noexcept { return state_->workspace_bytes; }

}  // namespace cuqat
