// Device memory that is freed at the end of its scope.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuqat/tensor_view.hpp"

namespace cuqat::test {

class DeviceMemory {
 public:
  explicit DeviceMemory(std::size_t bytes) : bytes_(bytes) {
    EXPECT_EQ(cudaMalloc(&memory_, bytes), cudaSuccess);
  }
  template <typename T>
  explicit DeviceMemory(const std::vector<T>& content) : DeviceMemory(content.size() * sizeof(T)) {
    EXPECT_EQ(cudaMemcpy(memory_, content.data(), bytes_, cudaMemcpyHostToDevice), cudaSuccess);
    // The copy may still be on its way, and streams that do not block do not wait for it.
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  ~DeviceMemory() { EXPECT_EQ(cudaFree(memory_), cudaSuccess); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  template <typename T = std::byte>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(memory_);
  }
  template <typename T>
  [[nodiscard]] DeviceSpan<T> span() const {
    return {as<T>(), static_cast<std::int64_t>(bytes_ / sizeof(T))};
  }
  [[nodiscard]] std::size_t size_bytes() const { return bytes_; }

  template <typename T>
  [[nodiscard]] std::vector<T> content() const {
    std::vector<T> result(bytes_ / sizeof(T));
    EXPECT_EQ(cudaMemcpy(result.data(), memory_, bytes_, cudaMemcpyDeviceToHost), cudaSuccess);
    return result;
  }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_;
};

}  // namespace cuqat::test
