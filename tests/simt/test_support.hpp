// What the executor's own tests share.
#pragma once

#include <cuda_runtime.h>
#include <gtest/gtest.h>

#include <vector>

#include "simt/executor.hpp"

namespace cuqat::gpu {

/// As the product's kernels get their shared memory.
template <class T>
__device__ T* shared_storage() {
  extern __shared__ __align__(16) unsigned char cuqat_shared_memory[];
  return reinterpret_cast<T*>(cuqat_shared_memory);
}

}  // namespace cuqat::gpu

namespace simt::test {

using cuqat::gpu::shared_storage;

/// A stream of its own for each test, and a device without a past.
class ExecutorTest : public ::testing::Test {
 protected:
  ExecutorTest() {
    reset();
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), cudaSuccess);
  }
  ~ExecutorTest() override {
    reset();
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    EXPECT_EQ(leaked_allocations(), 0u);
    EXPECT_EQ(leaked_handles(), 0u);
    reset();
  }

  template <class... Params, class... Args>
  cudaError_t launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes,
                     Args... args) {
    const cudaLaunchConfig_t config{grid, block, shared_bytes, stream_, nullptr, 0};
    return cudaLaunchKernelEx(&config, kernel, args...);
  }
  cudaError_t wait() { return cudaStreamSynchronize(stream_); }

  cudaStream_t stream_ = nullptr;
};

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::size_t size, T value = T{})
      : DeviceArray(std::vector<T>(size, value)) {}
  explicit DeviceArray(const std::vector<T>& content) : size_(content.size()) {
    EXPECT_EQ(cudaMalloc(&data_, size_ * sizeof(T)), cudaSuccess);
    EXPECT_EQ(cudaMemcpy(data_, content.data(), size_ * sizeof(T), cudaMemcpyHostToDevice),
              cudaSuccess);
    // The copy may still be on its way, and streams that do not block do not wait for it.
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  ~DeviceArray() { cudaFree(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  [[nodiscard]] T* get() const { return data_; }
  [[nodiscard]] std::vector<T> content() const {
    std::vector<T> result(size_);
    EXPECT_EQ(cudaMemcpy(result.data(), data_, size_ * sizeof(T), cudaMemcpyDeviceToHost),
              cudaSuccess);
    return result;
  }

 private:
  T* data_ = nullptr;
  std::size_t size_;
};

}  // namespace simt::test
