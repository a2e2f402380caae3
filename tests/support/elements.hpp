// Elements of a dtype in memory at any address, as doubles.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "cuqat/format.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {

using Bytes = std::vector<std::byte>;

inline double load_element(DType dtype, const void* data, std::size_t index) {
  const auto* address = static_cast<const std::byte*>(data) + index * dtype_bytes(dtype);
  if (dtype == DType::kF64) {
    double value = 0.0;
    std::memcpy(&value, address, sizeof(value));
    return value;
  }
  if (dtype == DType::kF32) {
    float value = 0.0f;
    std::memcpy(&value, address, sizeof(value));
    return value;
  }
  std::uint16_t pattern = 0;
  std::memcpy(&pattern, address, sizeof(pattern));
  return decode(dtype == DType::kF16 ? kBinary16 : kBFloat16, pattern);
}

/// Rounds to nearest even.
inline void store_element(DType dtype, void* data, std::size_t index, double value) {
  auto* address = static_cast<std::byte*>(data) + index * dtype_bytes(dtype);
  if (dtype == DType::kF64) {
    std::memcpy(address, &value, sizeof(value));
  } else if (dtype == DType::kF32) {
    const auto narrow = static_cast<float>(value);
    std::memcpy(address, &narrow, sizeof(narrow));
  } else {
    const auto pattern =
        static_cast<std::uint16_t>(encode(dtype == DType::kF16 ? kBinary16 : kBFloat16, value));
    std::memcpy(address, &pattern, sizeof(pattern));
  }
}

inline Bytes to_bytes(DType dtype, std::span<const double> values) {
  Bytes bytes(values.size() * dtype_bytes(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) store_element(dtype, bytes.data(), i, values[i]);
  return bytes;
}

inline std::vector<double> to_doubles(DType dtype, std::span<const std::byte> bytes) {
  std::vector<double> values(bytes.size() / dtype_bytes(dtype));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = load_element(dtype, bytes.data(), i);
  return values;
}

/// The elements' memory, as the library takes it.
template <typename T>
Bytes bytes_of(const std::vector<T>& values) {
  Bytes bytes(values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

}  // namespace cuqat::test
