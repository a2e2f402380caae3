// The data of the rows on a GPU: bf16 matrices of normal numbers, and the rows of them that are
// compared with the host library's results.
#pragma once

#include <cuqat/cuqat.hpp>

#include <algorithm>
#include <array>
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

/// `count` elements in device memory that repeat the period, by copies of ever longer parts.
inline DeviceBuffer repeated(const std::vector<bfloat16>& period, std::int64_t count) {
  DeviceBuffer buffer(count * kElementBytes);
  std::int64_t done =
      std::min(buffer.size_bytes(), static_cast<std::int64_t>(period.size()) * kElementBytes);
  require(cudaMemcpy(buffer.as(), period.data(), static_cast<std::size_t>(done),
                     cudaMemcpyHostToDevice));
  while (done < buffer.size_bytes()) {
    const std::int64_t part = std::min(done, buffer.size_bytes() - done);
    require(cudaMemcpy(buffer.as() + done, buffer.as(), static_cast<std::size_t>(part),
                       cudaMemcpyDeviceToDevice));
    done += part;
  }
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

/// Some rows of a matrix.
struct Rows {
  std::int64_t first;
  std::int64_t count;

  [[nodiscard]] Shape shape() const { return {count, kColumns}; }
  [[nodiscard]] std::int64_t begin() const { return first * kColumns; }
  [[nodiscard]] std::int64_t elements() const { return count * kColumns; }
  /// Of normal_matrix().
  [[nodiscard]] std::vector<bfloat16> x() const {
    const std::vector<bfloat16>& period = normal_period();
    std::vector<bfloat16> result(static_cast<std::size_t>(elements()));
    for (std::size_t i = 0; i < result.size(); ++i) {
      result[i] = period[(static_cast<std::size_t>(begin()) + i) % period.size()];
    }
    return result;
  }
};

/// The first and the last rows.
inline std::array<Rows, 2> checked_rows(std::int64_t count) {
  const std::int64_t rows = count / kColumns;
  const std::int64_t checked = std::min<std::int64_t>(rows, 7);
  return {Rows{0, checked}, Rows{rows - checked, checked}};
}

inline ConstTensorView view(const std::vector<bfloat16>& data, const Rows& rows) {
  return {data.data(), rows.shape()};
}

/// Empty where the bytes from `begin` on are `expected`, else the name and place.
template <typename T>
std::string difference(const char* name, const DeviceBuffer& buffer, std::int64_t begin_bytes,
                       const std::vector<T>& expected) {
  const std::vector<T> found =
      buffer.content<T>(begin_bytes, static_cast<std::int64_t>(expected.size()));
  if (std::memcmp(found.data(), expected.data(), found.size() * sizeof(T)) == 0) return {};
  return std::string(name) + " from byte " + std::to_string(begin_bytes) + " on";
}

}  // namespace cuqat::bench
