// Tensors to calibrate: numbers stored as any dtype, and the distributions they are drawn from.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "cuqat/tensor_view.hpp"

namespace cuqat::test {

inline constexpr DType kAllDTypes[] = {DType::kF32, DType::kF64, DType::kF16, DType::kBF16};
inline constexpr Format kAllFormats[] = {Format::kInt8, Format::kInt4, Format::kE4M3,
                                         Format::kE5M2};

/// Numbers rounded to a dtype, in memory as the library reads them and as f64.
class Numbers {
 public:
  Numbers(DType dtype, std::span<const double> values);
  /// From the bytes of a file.
  static Numbers from_bytes(DType dtype, std::span<const std::byte> bytes);

  [[nodiscard]] ConstTensorView view() const;
  [[nodiscard]] ConstTensorView view(const Shape& shape) const;
  /// The elements [begin, end) as a tensor of rank 1.
  [[nodiscard]] ConstTensorView part(std::size_t begin, std::size_t end) const;
  [[nodiscard]] const std::vector<double>& values() const noexcept { return values_; }
  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }

 private:
  explicit Numbers(DType dtype) : dtype_(dtype) {}
  DType dtype_;
  std::vector<std::byte> bytes_;
  std::vector<double> values_;
};

/// Deterministic everywhere: the standard's distributions are not.
class Random {
 public:
  explicit Random(std::uint64_t seed) : engine_(seed) {}
  /// In (0, 1).
  double uniform() { return (static_cast<double>(engine_() >> 12) + 0.5) * 0x1p-52; }
  double normal();
  std::uint64_t below(std::uint64_t limit) { return engine_() % limit; }
  template <typename T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[below(i)]);
  }

 private:
  std::mt19937_64 engine_;
};

struct Sample {
  std::string name;
  std::vector<double> values;
};

std::vector<double> normal_sample(std::size_t count, std::uint64_t seed, double deviation = 1.0);
/// Student's t with two degrees of freedom.
std::vector<double> heavy_tailed_sample(std::size_t count, std::uint64_t seed);

/// Every distribution that a calibrator must cope with, in the dtype's range.
std::vector<Sample> all_samples(DType dtype, std::size_t count);

/// The finite ones.
std::vector<double> finite(std::span<const double> values);
double amax_of(std::span<const double> values);

}  // namespace cuqat::test
