// Device memory and streams of the benchmarks, and the errors of the calls that they make.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "cuqat/tensor_view.hpp"

namespace cuqat::bench {

/// A row that this device has no memory for.
class NotMeasured : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline void require(cudaError_t status) {
  if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
}

class DeviceBuffer {
 public:
  explicit DeviceBuffer(std::int64_t bytes) : bytes_(bytes) {
    const cudaError_t status = cudaMalloc(&memory_, static_cast<std::size_t>(bytes));
    if (status == cudaErrorMemoryAllocation) {
      static_cast<void>(cudaGetLastError());
      throw NotMeasured("NOT MEASURED: no " + std::to_string(bytes) + " bytes of device memory");
    }
    require(status);
  }
  template <typename T>
  explicit DeviceBuffer(const std::vector<T>& content)
      : DeviceBuffer(static_cast<std::int64_t>(content.size() * sizeof(T))) {
    require(
        cudaMemcpy(memory_, content.data(), content.size() * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~DeviceBuffer() { static_cast<void>(cudaFree(memory_)); }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}
  DeviceBuffer(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(const DeviceBuffer&) = delete;
  DeviceBuffer& operator=(DeviceBuffer&&) = delete;

  template <typename T = std::byte>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(memory_);
  }
  template <typename T>
  [[nodiscard]] DeviceSpan<T> span() const {
    return {as<T>(), bytes_ / static_cast<std::int64_t>(sizeof(T))};
  }
  [[nodiscard]] std::int64_t size_bytes() const { return bytes_; }

  /// `count` objects from the byte `begin` on.
  template <typename T>
  [[nodiscard]] std::vector<T> content(std::int64_t begin, std::int64_t count) const {
    std::vector<T> result(static_cast<std::size_t>(count));
    require(
        cudaMemcpy(result.data(), as() + begin, result.size() * sizeof(T), cudaMemcpyDeviceToHost));
    return result;
  }

 private:
  void* memory_ = nullptr;
  std::int64_t bytes_;
};

class Stream {
 public:
  Stream() { require(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { static_cast<void>(cudaStreamDestroy(stream_)); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  [[nodiscard]] cudaStream_t get() const { return stream_; }
  void wait() const { require(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

}  // namespace cuqat::bench
