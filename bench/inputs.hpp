// Inputs of the benchmarks, and the two backends that they compare.
#pragma once

#include <cuqat/cuqat.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "copy_baseline.hpp"

namespace cuqat::bench {

/// Elements whose results are compared with the reference before anything is timed.
inline constexpr std::int64_t kChecked = 100'003;

inline HostOptions fast() { return {Backend::named("cpu"), num_threads()}; }
inline HostOptions reference() { return {Backend::named("reference"), 1}; }

/// Normal numbers, drawn once and repeated.
inline const std::vector<float>& normal_data() {
  static const std::vector<float> kData = [] {
    constexpr std::size_t kDrawn = std::size_t{1} << 20;
    std::mt19937 generator(17);
    std::normal_distribution<float> normal;
    std::vector<float> data(static_cast<std::size_t>(element_count()));
    for (std::size_t i = 0; i < data.size(); ++i) {
      data[i] = i < kDrawn ? normal(generator) : data[i - kDrawn];
    }
    return data;
  }();
  return kData;
}

/// The upper halves of f32 numbers.
inline std::vector<bfloat16> to_bfloat16(const std::vector<float>& data) {
  std::vector<bfloat16> result(data.size());
  for (std::size_t i = 0; i < data.size(); ++i) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &data[i], sizeof(bits));
    result[i] = {static_cast<std::uint16_t>(bits >> 16)};
  }
  return result;
}

inline std::int64_t checked_count() { return std::min(element_count(), kChecked); }

template <typename T>
ConstTensorView prefix(const std::vector<T>& data) {
  return {data.data(), Shape{checked_count()}};
}

}  // namespace cuqat::bench
