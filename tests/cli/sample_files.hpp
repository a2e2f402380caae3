// Small input files, written without the project's own writers.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cuqat::test {

/// A tensor's raw bytes and what a safetensors header says of them.
struct RawTensor {
  std::string name;
  std::string dtype;
  std::vector<std::int64_t> shape;
  std::string bytes;
};

template <typename T>
std::string raw_bytes(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

RawTensor f32_tensor(std::string name, std::vector<std::int64_t> shape,
                     const std::vector<float>& values);

/// The bytes of a safetensors file.
std::string safetensors_bytes(const std::vector<RawTensor>& tensors);
void write_safetensors_file(const std::string& path, const std::vector<RawTensor>& tensors);

/// The bytes of a .npy file, version 1; `descr` as in "<f4".
std::string npy_bytes(std::string_view descr, const std::string& shape, const std::string& bytes,
                      bool fortran_order = false);

/// Reads the tensors of a file back, metadata left out.
std::vector<RawTensor> read_safetensors_file(const std::string& path);
const RawTensor& find_tensor(const std::vector<RawTensor>& tensors, std::string_view name);

template <typename T>
std::vector<T> values_of(const RawTensor& tensor) {
  std::vector<T> values(tensor.bytes.size() / sizeof(T));
  std::copy(tensor.bytes.begin(), tensor.bytes.end(), reinterpret_cast<char*>(values.data()));
  return values;
}

/// Numbers like a layer's activations: bell-shaped, with a few far out. The same in every run.
std::vector<float> activations(std::size_t count, std::uint32_t seed);

/// The upper halves of the numbers' patterns.
std::vector<std::uint16_t> truncated_to_bf16(const std::vector<float>& values);

}  // namespace cuqat::test
