#include "device/context.hpp"

#include <string>
#include <utility>

#include "check.hpp"
#include "cuqat/error.hpp"

namespace cuqat {

DeviceContext::State::State(const Options& options)
    : check_pointers(options.check_pointers), workspace_bytes(options.workspace_bytes) {
  const cudaError_t status = cudaGetDevice(&device);
  if (status != cudaSuccess) {
    static_cast<void>(cudaGetLastError());
    throw BackendUnavailable(std::string("no CUDA device can be used: ") +
                             cudaGetErrorString(status));
  }
  constexpr int kMost = 65'535;
  num_multiprocessors = options.num_multiprocessors;
  if (num_multiprocessors < 0 || num_multiprocessors > kMost) {
    throw InvalidArgument("options.num_multiprocessors is " + std::to_string(num_multiprocessors) +
                          "; it must be 0 to " + std::to_string(kMost));
  }
  if (num_multiprocessors == 0) {
    gpu::check(
        cudaDeviceGetAttribute(&num_multiprocessors, cudaDevAttrMultiProcessorCount, device));
  }
  int shared_bytes = 0;
  gpu::check(
      cudaDeviceGetAttribute(&shared_bytes, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  max_shared_bytes = static_cast<std::size_t>(shared_bytes);
  const std::size_t least = gpu::reduction_workspace_bytes(num_multiprocessors);
  if (workspace_bytes < least) {
    throw InvalidArgument("options.workspace_bytes is " + std::to_string(workspace_bytes) +
                          "; it must be at least " + std::to_string(least) + " for grids of " +
                          std::to_string(num_multiprocessors) + " multiprocessors");
  }
  gpu::check(cudaMalloc(&workspace, workspace_bytes));
  // The counters of reductions start at 0 and return to it. The host does not wait for a memset,
  // nor do other streams: a copy back, which it does wait for, comes after it.
  cudaError_t status_of_clearing = cudaMemset(workspace, 0, workspace_bytes);
  if (status_of_clearing == cudaSuccess) {
    unsigned counter = 1;
    status_of_clearing = cudaMemcpy(&counter, workspace, sizeof(counter), cudaMemcpyDeviceToHost);
  }
  if (status_of_clearing != cudaSuccess) {
    static_cast<void>(cudaFree(workspace));
    gpu::check(status_of_clearing);
  }
}

void DeviceContext::State::check_is_current(std::source_location operation) const {
  int current = 0;
  gpu::check(cudaGetDevice(&current), operation);
  if (current != device) {
    throw InvalidArgument("the current device is " + std::to_string(current) +
                          "; it must be the context's, " + std::to_string(device));
  }
}

gpu::LaunchTarget DeviceContext::State::target(StreamRef stream,
                                               std::source_location operation) const {
  check_is_current(operation);
  return {num_multiprocessors, max_shared_bytes, stream.get(), workspace, operation};
}

DeviceContext::State::~State() {
  // At exit the runtime may be gone already; there is nothing to do about an error.
  static_cast<void>(cudaFree(workspace));
}

DeviceContext::DeviceContext(const Options& options) : state_(std::make_unique<State>(options)) {}
DeviceContext::~DeviceContext() = default;
DeviceContext::DeviceContext(DeviceContext&&) noexcept = default;
DeviceContext& DeviceContext::operator=(DeviceContext&&) noexcept = default;

int DeviceContext::device() const noexcept { return state_->device; }
std::size_t DeviceContext::workspace_bytes() const noexcept { return state_->workspace_bytes; }

}  // namespace cuqat
