// The operands of the rows of products: matrices whose rows repeat after a few, so that a product
// repeats too and the host library computes a small one.
#pragma once

#include <cuqat/cuqat.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "matrix.hpp"

namespace cuqat::bench {

/// A matrix of normal numbers, each exactly one of bf16.
class RepeatedRows {
 public:
  /// Rows repeat after `period`. `seed` chooses the numbers.
  RepeatedRows(std::int64_t rows, std::int64_t columns, std::int64_t period, std::uint64_t seed)
      : rows_(rows), columns_(columns), period_(std::min(rows, period)) {
    const std::vector<bfloat16>& normal = normal_period();
    const auto count = static_cast<std::size_t>(period_ * columns);
    numbers_.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      // Longer than normal_period(), it goes through it in another order.
      const std::size_t round = i / normal.size();
      numbers_.push_back(normal[(i + seed * 7919 + round * 104'729) % normal.size()]);
    }
  }

  [[nodiscard]] std::int64_t rows() const { return rows_; }
  [[nodiscard]] std::int64_t columns() const { return columns_; }
  [[nodiscard]] std::int64_t period() const { return period_; }
  /// Of the rows that repeat.
  [[nodiscard]] Shape shape() const { return {period_, columns_}; }
  [[nodiscard]] const std::vector<bfloat16>& numbers() const { return numbers_; }
  [[nodiscard]] ConstTensorView view() const { return {numbers_.data(), shape()}; }
  [[nodiscard]] std::vector<std::uint8_t> codes(const QuantParams& params) const {
    std::vector<std::uint8_t> codes(numbers_.size());
    quantize(view(), params, codes);
    return codes;
  }
  /// All rows in device memory, from those that repeat.
  template <typename T>
  [[nodiscard]] DeviceBuffer on_device(const std::vector<T>& elements) const {
    return repeated(elements, rows_ * columns_);
  }

 private:
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t period_;
  std::vector<bfloat16> numbers_;
};

/// Rows of `columns` elements, each of which repeats one of `values`.
template <typename T>
std::vector<T> widened(const std::vector<T>& values, std::int64_t period, std::int64_t columns) {
  std::vector<T> wide;
  wide.reserve(values.size() / static_cast<std::size_t>(period) *
               static_cast<std::size_t>(columns));
  for (std::size_t row = 0; row < values.size(); row += static_cast<std::size_t>(period)) {
    for (std::int64_t i = 0; i < columns; ++i) {
      wide.push_back(values[row + static_cast<std::size_t>(i % period)]);
    }
  }
  return wide;
}

inline float number_of(float value) { return value; }
inline float number_of(bfloat16 value) {
  const std::uint32_t bits = std::uint32_t{value.bits} << 16;
  float number = 0.0f;
  std::memcpy(&number, &bits, sizeof(number));
  return number;
}

/// Of sums whose order differs, in which a wrong element would still show: empty where the buffer
/// repeats what is expected to a 64th of the largest, else the name and place.
template <typename T>
std::string rough_difference(const char* name, const DeviceBuffer& buffer,
                             const std::vector<T>& expected) {
  float largest = 0.0f;
  for (const T element : expected) largest = std::max(largest, std::abs(number_of(element)));
  const auto count = buffer.size_bytes() / static_cast<std::int64_t>(sizeof(T));
  const auto period = static_cast<std::int64_t>(expected.size());
  for (std::int64_t begin = 0; begin < count; begin += period) {
    const std::int64_t length = std::min(period, count - begin);
    const auto found = buffer.content<T>(begin * static_cast<std::int64_t>(sizeof(T)), length);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (std::abs(number_of(found[i]) - number_of(expected[i])) <= largest / 64) continue;
      return std::string(name) + ", element " +
             std::to_string(begin + static_cast<std::int64_t>(i));
    }
  }
  return {};
}

}  // namespace cuqat::bench
