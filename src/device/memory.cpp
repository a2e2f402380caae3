#include "device/memory.hpp"

#include <cuda_runtime.h>

#include <utility>

#include "check.hpp"
#include "device/stream.hpp"

namespace cuqat::detail {
namespace {

void* allocate(std::size_t bytes, std::source_location operation) {
  void* data = nullptr;
  gpu::check(cudaMalloc(&data, bytes), "cudaMalloc", operation);
  return data;
}

}  // namespace

// From here on the memory is freed where a constructor throws: another one has ended.
DeviceMemory::DeviceMemory(std::size_t bytes, std::source_location operation) : DeviceMemory() {
  data_ = allocate(bytes, operation);
  const OwnStream stream(operation);
  gpu::check(cudaMemsetAsync(data_, 0, bytes, stream.get()), "cudaMemsetAsync", operation);
  stream.wait(operation);
}

DeviceMemory::DeviceMemory(std::span<const std::byte> content, std::source_location operation)
    : DeviceMemory() {
  data_ = allocate(content.size(), operation);
  const OwnStream stream(operation);
  gpu::check(
      cudaMemcpyAsync(data_, content.data(), content.size(), cudaMemcpyHostToDevice, stream.get()),
      "cudaMemcpyAsync", operation);
  stream.wait(operation);
}

DeviceMemory::~DeviceMemory() {
  // At exit the runtime may be gone already; there is nothing to do about an error.
  if (data_ != nullptr) static_cast<void>(cudaFree(data_));
}

DeviceMemory::DeviceMemory(DeviceMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)) {}
DeviceMemory& DeviceMemory::operator=(DeviceMemory&& other) noexcept {
  std::swap(data_, other.data_);
  return *this;
}

PinnedMemory::PinnedMemory(std::size_t bytes, std::source_location operation) {
  gpu::check(cudaMallocHost(&data_, bytes), "cudaMallocHost", operation);
}
PinnedMemory::~PinnedMemory() { static_cast<void>(cudaFreeHost(data_)); }

}  // namespace cuqat::detail
