// Arithmetic of the original that C++ leaves undefined: casts from floating point saturate and turn
// NaN into 0, integer sums and products wrap.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

namespace cuqat::original {

constexpr std::int32_t saturate_to_int32(double value) noexcept {
  using Limits = std::numeric_limits<std::int32_t>;
  if (value != value) return 0;
  if (value <= static_cast<double>(Limits::min())) return Limits::min();
  if (value >= static_cast<double>(Limits::max())) return Limits::max();
  return static_cast<std::int32_t>(value);
}

constexpr std::size_t saturate_to_size(double value) noexcept {
  // The limit itself is no double; the next one up, a power of two, is.
  constexpr std::size_t kHalf = std::numeric_limits<std::size_t>::max() / 2 + 1;
  constexpr double kTooLarge = 2.0 * static_cast<double>(kHalf);
  if (!(value > 0.0)) return 0;
  if (value >= kTooLarge) return std::numeric_limits<std::size_t>::max();
  return static_cast<std::size_t>(value);
}

constexpr std::int32_t wrapping_subtract(std::int32_t a, std::int32_t b) noexcept {
  return static_cast<std::int32_t>(static_cast<std::uint32_t>(a) - static_cast<std::uint32_t>(b));
}

/// The integer modulo 2^64, where sums and products wrap and signed and unsigned ones agree.
constexpr std::uint64_t modulo_2_64(std::int64_t value) noexcept {
  return static_cast<std::uint64_t>(value);
}

/// A NaN stays one, which std::clamp does not promise.
constexpr double clamp(double value, double low, double high) noexcept {
  if (value < low) return low;
  return value > high ? high : value;
}

}  // namespace cuqat::original
