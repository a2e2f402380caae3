// A GPU, and memory and a stream of it that are given back by themselves.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "cuqat/device_context.hpp"
#include "cuqat/tensor_view.hpp"

inline void check(cudaError_t status) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status));
  }
}

class Stream {
 public:
  Stream() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking)); }
  ~Stream() { cudaStreamDestroy(stream_); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  cudaStream_t get() const { return stream_; }
  void wait() const { check(cudaStreamSynchronize(stream_)); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// The current GPU, and the stream of all work on it.
struct Device {
  cuqat::DeviceContext context;
  Stream stream;
};

/// So many objects in device memory, with no values yet.
template <typename T>
class DeviceArray {
 public:
  DeviceArray() = default;
  explicit DeviceArray(std::int64_t size) : size_(size) {
    void* memory = nullptr;
    check(cudaMalloc(&memory, static_cast<std::size_t>(size) * sizeof(T)));
    memory_.reset(static_cast<T*>(memory));
  }

  T* data() const { return memory_.get(); }
  std::int64_t size() const { return size_; }

  /// All bytes 0: 0 of every type used here.
  void clear(const Device& device) {
    check(cudaMemsetAsync(data(), 0, static_cast<std::size_t>(size_) * sizeof(T),
                          device.stream.get()));
  }

 private:
  struct Free {
    void operator()(T* memory) const { cudaFree(memory); }
  };
  std::unique_ptr<T, Free> memory_;
  std::int64_t size_ = 0;
};

/// Waits for the stream: the values may be gone then.
template <typename T>
DeviceArray<T> copy_to_device(std::span<const T> values, const Device& device) {
  DeviceArray<T> result(static_cast<std::int64_t>(values.size()));
  check(cudaMemcpyAsync(result.data(), values.data(), values.size_bytes(), cudaMemcpyHostToDevice,
                        device.stream.get()));
  device.stream.wait();
  return result;
}
template <typename T>
DeviceArray<T> copy_to_device(const std::vector<T>& values, const Device& device) {
  return copy_to_device(std::span(values), device);
}

/// Waits for the stream.
template <typename T>
std::vector<T> copy_to_host(const DeviceArray<T>& values, const Device& device) {
  std::vector<T> result(static_cast<std::size_t>(values.size()));
  check(cudaMemcpyAsync(result.data(), values.data(), result.size() * sizeof(T),
                        cudaMemcpyDeviceToHost, device.stream.get()));
  device.stream.wait();
  return result;
}

/// A matrix of floats, row-major, as Matrix on the host.
struct DeviceMatrix {
  std::int64_t rows = 0;
  std::int64_t columns = 0;
  DeviceArray<float> values;

  DeviceMatrix() = default;
  DeviceMatrix(std::int64_t of_rows, std::int64_t of_columns)
      : rows(of_rows), columns(of_columns), values(of_rows * of_columns) {}
  DeviceMatrix(const cuqat::ConstTensorView& host, const Device& device)
      : rows(host.shape()[0]),
        columns(host.shape()[1]),
        values(copy_to_device(std::span(static_cast<const float*>(host.data()),
                                        static_cast<std::size_t>(host.count())),
                              device)) {}
  cuqat::DeviceTensorView view() { return {values.data(), cuqat::Shape{rows, columns}}; }
  cuqat::ConstDeviceTensorView view() const { return {values.data(), cuqat::Shape{rows, columns}}; }
};
