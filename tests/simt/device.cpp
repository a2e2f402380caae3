// The device as tests see it, and errors and attributes as the runtime tells them.
#include "device.hpp"

#include <algorithm>
#include <climits>

#include "arena.hpp"
#include "turns.hpp"

namespace simt {

thread_local int current_device = 0;
thread_local cudaError_t last_error = cudaSuccess;

Device& device() {
  static auto* const the_device = new Device;
  return *the_device;
}

void note_fault(const std::string& what) {
  if (device().fault.empty()) device().fault = what;
}

namespace {

template <class Function>
auto locked(Function function) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  return function(d);
}

}  // namespace

void set_order(Order order) {
  locked([&](Device& d) { d.order = order; });
}
std::string fault() {
  return locked([](Device& d) { return d.fault; });
}
Counters counters() {
  return locked([](Device& d) { return d.counters; });
}
void reset_counters() {
  locked([](Device& d) { d.counters = {}; });
}
void fail_call(int n) {
  locked([&](Device& d) { d.calls_until_failure = n; });
}
bool failure_pending() {
  return locked([](Device& d) { return d.calls_until_failure > 0; });
}
void set_multiprocessor_count(int count) {
  locked([&](Device& d) { d.num_multiprocessors = count; });
}
void set_compute_capability(int ten_times) {
  locked([&](Device& d) { d.compute_capability = ten_times; });
}
void set_cublaslt_version(std::size_t version) {
  locked([&](Device& d) { d.cublaslt_version = version; });
}
void set_max_shared_bytes(std::size_t bytes) {
  locked([&](Device& d) {
    d.max_shared_bytes = bytes;
    d.shared_limits.clear();
  });
}
void set_device_error(int error) {
  locked([&](Device& d) { d.device_error = static_cast<cudaError_t>(error); });
}
void set_kernel_error(int error) {
  locked([&](Device& d) { d.kernel_error = static_cast<cudaError_t>(error); });
}
void reset() {
  locked([](Device& d) {
    d.order = {};
    d.fault.clear();
    d.broken = false;
    last_error = cudaSuccess;
    d.counters = {};
    d.calls_until_failure = 0;
    d.device_error = cudaSuccess;
    d.kernel_error = cudaSuccess;
    d.num_kernels = 0;
  });
}
std::size_t leaked_allocations() {
  return locked([](Device& d) { return d.allocations.size(); });
}
std::size_t leaked_handles() {
  return locked([](Device& d) {
    const auto alive = [](const auto& handles) {
      return static_cast<std::size_t>(std::count_if(
          handles.begin(), handles.end(), [](const auto& handle) { return !handle->destroyed; }));
    };
    const auto threads = std::count_if(d.streams.begin(), d.streams.end(),
                                       [](const auto& stream) { return stream->is_default; });
    return alive(d.streams) - static_cast<std::size_t>(threads) + alive(d.events) +
           alive(d.graphs) + alive(d.graph_execs) + d.products;
  });
}

}  // namespace simt

using simt::Device;
using simt::query;

const char* cudaGetErrorName(cudaError_t error) noexcept {
#define SIMT_NAME(name) \
  case name:            \
    return #name;
  switch (error) {
    SIMT_NAME(cudaSuccess)
    SIMT_NAME(cudaErrorInvalidValue)
    SIMT_NAME(cudaErrorMemoryAllocation)
    SIMT_NAME(cudaErrorInitializationError)
    SIMT_NAME(cudaErrorInvalidConfiguration)
    SIMT_NAME(cudaErrorInvalidMemcpyDirection)
    SIMT_NAME(cudaErrorStubLibrary)
    SIMT_NAME(cudaErrorInsufficientDriver)
    SIMT_NAME(cudaErrorInvalidDeviceFunction)
    SIMT_NAME(cudaErrorNoDevice)
    SIMT_NAME(cudaErrorInvalidDevice)
    SIMT_NAME(cudaErrorNoKernelImageForDevice)
    SIMT_NAME(cudaErrorECCUncorrectable)
    SIMT_NAME(cudaErrorNvlinkUncorrectable)
    SIMT_NAME(cudaErrorUnsupportedPtxVersion)
    SIMT_NAME(cudaErrorContained)
    SIMT_NAME(cudaErrorInvalidResourceHandle)
    SIMT_NAME(cudaErrorIllegalState)
    SIMT_NAME(cudaErrorNotReady)
    SIMT_NAME(cudaErrorIllegalAddress)
    SIMT_NAME(cudaErrorLaunchOutOfResources)
    SIMT_NAME(cudaErrorLaunchTimeout)
    SIMT_NAME(cudaErrorAssert)
    SIMT_NAME(cudaErrorHardwareStackError)
    SIMT_NAME(cudaErrorIllegalInstruction)
    SIMT_NAME(cudaErrorMisalignedAddress)
    SIMT_NAME(cudaErrorInvalidAddressSpace)
    SIMT_NAME(cudaErrorInvalidPc)
    SIMT_NAME(cudaErrorLaunchFailure)
    SIMT_NAME(cudaErrorTensorMemoryLeak)
    SIMT_NAME(cudaErrorNotSupported)
    SIMT_NAME(cudaErrorSystemDriverMismatch)
    SIMT_NAME(cudaErrorCompatNotSupportedOnDevice)
    SIMT_NAME(cudaErrorMpsClientTerminated)
    SIMT_NAME(cudaErrorStreamCaptureUnsupported)
    SIMT_NAME(cudaErrorStreamCaptureInvalidated)
    SIMT_NAME(cudaErrorStreamCaptureIsolation)
    SIMT_NAME(cudaErrorStreamCaptureImplicit)
    SIMT_NAME(cudaErrorCapturedEvent)
    SIMT_NAME(cudaErrorStreamCaptureWrongThread)
    SIMT_NAME(cudaErrorExternalDevice)
    SIMT_NAME(cudaErrorUnknown)
  }
#undef SIMT_NAME
  return "unrecognized error code";
}
/// CUDA has a sentence for each; the name says as much.
const char* cudaGetErrorString(cudaError_t error) noexcept { return cudaGetErrorName(error); }

cudaError_t cudaPeekAtLastError() noexcept {
  return simt::locked(
      [](Device& d) { return d.broken ? cudaErrorLaunchFailure : simt::last_error; });
}
cudaError_t cudaGetLastError() noexcept {
  return simt::locked([](Device&) {
    const cudaError_t error = cudaPeekAtLastError();
    simt::last_error = cudaSuccess;
    return error;
  });
}

cudaError_t cudaGetDeviceCount(int* count) noexcept {
  return query([&](Device& d) {
    *count = d.device_error == cudaSuccess ? simt::kNumDevices : 0;
    return d.device_error;
  });
}
cudaError_t cudaGetDevice(int* number) noexcept {
  return query([&](Device& d) {
    *number = simt::current_device;
    return d.device_error;
  });
}
cudaError_t cudaSetDevice(int number) noexcept {
  return query([&](Device&) {
    if (number < 0 || number >= simt::kNumDevices) return cudaErrorInvalidDevice;
    simt::current_device = number;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) noexcept {
  return query([&](Device& d) {
    if (number < 0 || number >= simt::kNumDevices) return cudaErrorInvalidDevice;
    switch (attribute) {
      case cudaDevAttrMaxThreadsPerBlock:
      case cudaDevAttrMaxBlockDimX:
      case cudaDevAttrMaxBlockDimY:
        *value = simt::kMaxThreads;
        break;
      case cudaDevAttrMaxBlockDimZ:
        *value = 64;
        break;
      case cudaDevAttrMaxGridDimX:
        *value = INT_MAX;
        break;
      case cudaDevAttrMaxGridDimY:
      case cudaDevAttrMaxGridDimZ:
        *value = 65535;
        break;
      case cudaDevAttrMaxSharedMemoryPerBlock:
        *value = simt::kDefaultSharedBytes;
        break;
      case cudaDevAttrMaxSharedMemoryPerBlockOptin:
        *value = static_cast<int>(d.max_shared_bytes);
        break;
      case cudaDevAttrWarpSize:
        *value = simt::kWarpSize;
        break;
      case cudaDevAttrMultiProcessorCount:
        *value = d.num_multiprocessors;
        break;
      case cudaDevAttrL2CacheSize:
        *value = 16 << 10;
        break;
      case cudaDevAttrMaxThreadsPerMultiProcessor:
        *value = 2048;
        break;
      case cudaDevAttrComputeCapabilityMajor:
        *value = d.compute_capability / 10;
        break;
      case cudaDevAttrComputeCapabilityMinor:
        *value = d.compute_capability % 10;
        break;
      case cudaDevAttrMemoryPoolsSupported:
        *value = 1;
        break;
      default:
        return cudaErrorInvalidValue;
    }
    return cudaSuccess;
  });
}
