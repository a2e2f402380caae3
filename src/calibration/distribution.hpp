// The exact distribution of a set of numbers: its distinct finite values and how often each occurs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/histogram.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat::calibration {

/// Distinct finite values, ascending, with counts. Every value of the four dtypes is exact in f64;
/// there is one zero, +0.
struct Distribution {
  std::vector<double> values;
  std::vector<std::uint64_t> counts;

  [[nodiscard]] std::size_t size() const noexcept { return values.size(); }
  [[nodiscard]] std::uint64_t total() const noexcept;
  friend bool operator==(const Distribution&, const Distribution&) = default;
};

/// Sorts finite numbers into a distribution. `numbers` is used up, its memory kept.
Distribution distribution_of(std::vector<float>& numbers);
Distribution distribution_of(std::vector<double>& numbers);

/// The sum of two distributions.
Distribution merged(const Distribution& a, const Distribution& b);

/// The distribution of the magnitudes.
Distribution folded(const Distribution& signed_values);

/// The distribution behind a 65 536-key histogram of bf16 or f16.
Distribution distribution_of_keys(std::span<const std::uint64_t, kNumKeys> counts, DType dtype);

/// The value that stands for `value` once it is coarsened: the middle of the numbers that share its
/// sign, exponent and leading significand bits (7 for f32, as the 65 536-key histogram's keys; 8
/// for f64); 0 for zeros and f32 subnormals below 2^-133. Coarsening twice changes nothing.
double coarsened(double value, DType dtype) noexcept;

/// A distribution with each value coarsened.
Distribution coarsened(const Distribution& fine, DType dtype);

/// Statistics of everything a 65 536-key histogram of bf16 or f16 has counted.
Statistics statistics_of_keys(std::span<const std::uint64_t, kNumKeys> counts, DType dtype);

/// The coarsened distribution behind a 65 536-key histogram of f32.
Distribution coarsened_f32_keys(std::span<const std::uint64_t, kNumKeys> counts);

/// The finite elements [begin, begin + count) of a tensor, -0 as +0, appended to `numbers`.
void append_finite(ConstTensorView x, std::int64_t begin, std::int64_t count,
                   std::vector<float>& numbers);
void append_finite(ConstTensorView x, std::int64_t begin, std::int64_t count,
                   std::vector<double>& numbers);

}  // namespace cuqat::calibration
