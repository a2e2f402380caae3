// Which scale an element has, for every granularity in one form: the tensor is rows, a row is runs,
// a run shares a scale.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "multiply_high.cuh"

namespace cuqat::gpu {

/// Division of numbers below 2^63 by a number known before the launch: a multiplication and shifts
/// in place of the few dozen instructions of a 64-bit division.
/// Source: Granlund, Montgomery, "Division by invariant integers using multiplication", PLDI 1994.
class Divider {
 public:
  Divider() = default;
  explicit Divider(std::int64_t divisor) {
    const auto d = static_cast<std::uint64_t>(divisor);
    int bits = 0;
    while (bits < 63 && (std::uint64_t{1} << bits) < d) ++bits;
    // floor(2^64 * (2^bits - d) / d) + 1, bit by bit: no 128-bit type is needed.
    std::uint64_t quotient = 0;
    std::uint64_t rest = (std::uint64_t{1} << bits) - d;
    for (int i = 0; i < 64; ++i) {
      quotient <<= 1;
      rest <<= 1;
      if (rest >= d) {
        rest -= d;
        quotient |= 1;
      }
    }
    multiplier_ = quotient + 1;
    first_shift_ = bits > 0 ? 1 : 0;
    second_shift_ = bits > 0 ? bits - 1 : 0;
  }

  __device__ std::int64_t operator()(std::int64_t number) const {
    const auto n = static_cast<std::uint64_t>(number);
    const std::uint64_t high = multiply_high(multiplier_, n);
    return static_cast<std::int64_t>((high + ((n - high) >> first_shift_)) >> second_shift_);
  }

 private:
  std::uint64_t multiplier_ = 1;
  int first_shift_ = 0;
  int second_shift_ = 0;
};

/// Run r of row i has scale (is_periodic ? 0 : i * runs_per_row) + r. A row's last run may be
/// shorter than the others.
struct ScaleMap {
  const void* scale;               ///< Of the compute type.
  const std::int32_t* zero_point;  ///< Null: all 0.
  std::int64_t row_length;
  std::int64_t run_length;
  std::int64_t runs_per_row;
  Divider by_row;
  Divider by_run;
  bool is_single;    ///< One scale for everything.
  bool is_periodic;  ///< Rows repeat the same scales.

  /// Where an element goes if those of a scale, segment_length of them, are put together.
  __device__ std::int64_t gathered(std::int64_t element, std::int64_t segment_length) const {
    if (!is_periodic) return element;
    const std::int64_t row = by_row(element);
    const std::int64_t in_row = element - row * row_length;
    const std::int64_t run = by_run(in_row);
    return run * segment_length + row * run_length + (in_row - run * run_length);
  }
};

/// The scale of an element, and of the elements after it in turn.
template <typename C>
class ScaleCursor {
 public:
  __device__ ScaleCursor(const ScaleMap& map, std::int64_t element) : map_(map) {
    if (!map.is_single) {
      const std::int64_t row = map.by_row(element);
      const std::int64_t in_row = element - row * map.row_length;
      const std::int64_t run = map.by_run(in_row);
      index_ = (map.is_periodic ? 0 : row * map.runs_per_row) + run;
      left_in_row_ = map.row_length - in_row;
      left_in_run_ = shorter(map.run_length - (in_row - run * map.run_length), left_in_row_);
    }
    load();
  }

  __device__ C scale() const { return scale_; }
  /// This and the next n - 1 elements share the scale.
  __device__ bool covers(int n) const { return map_.is_single || left_in_run_ >= n; }
  __device__ std::int32_t zero_point() const { return zero_point_; }

  /// To the next element, which must exist where it has another scale.
  __device__ void advance() {
    if (map_.is_single) return;
    --left_in_row_;
    if (--left_in_run_ > 0) return;
    if (left_in_row_ > 0) {
      ++index_;
    } else {
      index_ = map_.is_periodic ? 0 : index_ + 1;
      left_in_row_ = map_.row_length;
    }
    left_in_run_ = shorter(map_.run_length, left_in_row_);
    load();
  }

 private:
  __device__ static std::int64_t shorter(std::int64_t a, std::int64_t b) { return a < b ? a : b; }
  __device__ void load() {
    scale_ = static_cast<const C*>(map_.scale)[index_];
    zero_point_ = map_.zero_point == nullptr ? 0 : map_.zero_point[index_];
  }

  const ScaleMap& map_;
  std::int64_t index_ = 0;
  std::int64_t left_in_run_ = 0;
  std::int64_t left_in_row_ = 0;
  C scale_;
  std::int32_t zero_point_;
};

}  // namespace cuqat::gpu
