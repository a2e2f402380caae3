// The data of the rows on a GPU: bf16 matrices of normal numbers, which repeat, and so do the
// results: the host library computes one period, and all of a result is compared with it.
#pragma once

#include <cuqat/cuqat.hpp>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "device_buffer.hpp"

namespace cuqat::bench {

inline constexpr std::int64_t kColumns = 16384;
inline constexpr std::int64_t kElementBytes = 2;

/// Elements of whole rows, and of one row at least.
inline std::int64_t whole_rows(std::int64_t count) {
  return std::max<std::int64_t>(count / kColumns, 1) * kColumns;
}

/// One of 10 000 normal numbers is clipped by it in int8.
inline constexpr float kInt8Scale = 3.8906f / 127.5f;
/// The largest of the data, about 5, becomes the largest of E4M3.
inline constexpr float kE4M3Scale = 5.0f / 448.0f;

/// 2^20 numbers, repeated.
inline const std::vector<bfloat16>& normal_period() {
  static const std::vector<bfloat16> kPeriod = [] {
    std::mt19937 generator(17);
    std::normal_distribution<float> normal;
    std::vector<bfloat16> period(std::size_t{1} << 20);
    for (bfloat16& element : period) {
      const float value = normal(generator);
      std::uint32_t bits = 0;
      std::memcpy(&bits, &value, sizeof(bits));
      element = {static_cast<std::uint16_t>(bits >> 16)};
    }
    return period;
  }();
  return kPeriod;
}

/// Fills the buffer with the period again and again, by copies of ever longer parts.
template <typename T>
void fill(const DeviceBuffer& buffer, const std::vector<T>& period) {
  std::int64_t done =
      std::min(buffer.size_bytes(), static_cast<std::int64_t>(period.size() * sizeof(T)));
  require(cudaMemcpy(buffer.as(), period.data(), static_cast<std::size_t>(done),
                     cudaMemcpyHostToDevice));
  while (done < buffer.size_bytes()) {
    const std::int64_t part = std::min(done, buffer.size_bytes() - done);
    require(cudaMemcpy(buffer.as() + done, buffer.as(), static_cast<std::size_t>(part),
                       cudaMemcpyDeviceToDevice));
    done += part;
  }
}

template <typename T>
DeviceBuffer repeated(const std::vector<T>& period, std::int64_t count) {
  DeviceBuffer buffer(count * static_cast<std::int64_t>(sizeof(T)));
  fill(buffer, period);
  return buffer;
}

inline DeviceBuffer normal_matrix(std::int64_t count) { return repeated(normal_period(), count); }

inline Statistics statistics_of_normal_matrix(std::int64_t count) {
  const std::vector<bfloat16>& period = normal_period();
  const auto length = static_cast<std::int64_t>(period.size());
  Statistics all = statistics(ConstTensorView(period.data(), Shape{count % length}));
  const Statistics whole = statistics(period);
  for (std::int64_t i = 0; i < count / length; ++i) all.merge(whole);
  return all;
}

/// Of a matrix of `count` elements the rows that repeat: a period's, or all that there are.
struct Rows {
  explicit Rows(std::int64_t count)
      : num_rows(std::min(count, static_cast<std::int64_t>(normal_period().size())) / kColumns) {}

  [[nodiscard]] Shape shape() const { return {num_rows, kColumns}; }
  /// Of normal_matrix().
  [[nodiscard]] std::vector<bfloat16> x() const {
    const auto end = normal_period().begin() + static_cast<std::ptrdiff_t>(shape().count());
    return {normal_period().begin(), end};
  }

  std::int64_t num_rows;
};

inline ConstTensorView view(const std::vector<bfloat16>& data, const Rows& rows) {
  return {data.data(), rows.shape()};
}

/// Empty where the buffer repeats what is expected from its first byte to its last, else the name
/// and place.
template <typename T>
std::string difference(const char* name, const DeviceBuffer& buffer,
                       const std::vector<T>& expected) {
  const auto period = static_cast<std::int64_t>(expected.size() * sizeof(T));
  for (std::int64_t begin = 0; begin < buffer.size_bytes(); begin += period) {
    const std::int64_t bytes = std::min(period, buffer.size_bytes() - begin);
    const auto found = buffer.content<std::byte>(begin, bytes);
    if (std::memcmp(found.data(), expected.data(), found.size()) == 0) continue;
    return std::string(name) + " from byte " + std::to_string(begin) + " on";
  }
  return {};
}

/// Bytes that no result consists of.
inline void spoil(const DeviceBuffer& buffer) {
  require(cudaMemset(buffer.as(), 0xCD, static_cast<std::size_t>(buffer.size_bytes())));
}

}  // namespace cuqat::bench
