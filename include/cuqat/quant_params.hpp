// Which elements share a scale (Granularity), and the scales themselves (QuantParams).
#pragma once

#include <cstdint>
#include <vector>

#include "cuqat/format.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Which elements of a tensor share one scale and zero point.
struct Granularity {
  enum class Kind : std::uint8_t { kTensor, kChannel, kGroup };

  Kind kind = Kind::kTensor;
  int axis = 0;                 ///< kChannel: the axis; negative counts from the last.
  std::int64_t group_size = 0;  ///< kGroup: consecutive elements of the last axis.

  /// One scale.
  static constexpr Granularity tensor() noexcept { return {}; }
  /// One scale for each index of `axis`.
  static constexpr Granularity channel(int axis) noexcept { return {Kind::kChannel, axis, 0}; }
  /// One scale for each `size` consecutive elements of the last axis; where the axis is no
  /// multiple of `size` the last group of each row is shorter. Scales are row-major:
  /// [rows, ceil(last / size)].
  static constexpr Granularity group(std::int64_t size) noexcept { return {Kind::kGroup, 0, size}; }

  friend constexpr bool operator==(const Granularity&, const Granularity&) = default;
};

/// The granularity with its axis counted from the first, as a negative one means it for tensors of
/// this shape.
/// @throws InvalidArgument for an axis outside the rank, a group size below 1, or a group of a
///         tensor of rank 0.
Granularity resolve_axis(const Granularity& granularity, const Shape& shape);

/// Number of scales that a tensor of this shape has.
/// @throws InvalidArgument as resolve_axis.
std::int64_t num_scales(const Granularity& granularity, const Shape& shape);

/// Everything that maps a tensor to codes and back.
struct QuantParams {
  Quantizer quantizer;
  Granularity granularity;
  /// One for each scale of the granularity. Used in the compute type of the data (f64 for f64
  /// tensors, f32 for all others), rounded to nearest where that is narrower.
  std::vector<double> scale{1.0};
  /// As many as scales, or empty for all zero. Codes of an integer format; FP8 has none.
  std::vector<std::int32_t> zero_point;
};

}  // namespace cuqat
