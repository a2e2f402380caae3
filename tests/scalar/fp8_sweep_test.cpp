// All f32 patterns to FP8, against a walk along the sorted table of the format's numbers.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "cuqat/scalar/fp8_codec.hpp"
#include "scalar/sweep.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

/// Nearest code of rising magnitudes. A code's upper limit is midway to the next one; the midpoint
/// itself goes to the even code, which is the even mantissa.
class TableWalk {
 public:
  TableWalk(const SmallFloat& type, bool saturate) : type_(type), saturate_(saturate) {
    const std::uint32_t largest = largest_pattern(type);
    for (std::uint32_t code = 0; code < largest; ++code) {
      limits_.push_back((decode(type, code) + decode(type, code + 1)) / 2);
    }
    const double last = decode(type, largest);
    limits_.push_back(last + (last - decode(type, largest - 1)) / 2);
  }

  /// `magnitude` must not be below the one before.
  std::uint32_t code(double magnitude) {
    if (std::isnan(magnitude)) return nan_pattern(type_);
    while (position_ < limits_.size() && is_past(magnitude)) ++position_;
    if (position_ < limits_.size()) return static_cast<std::uint32_t>(position_);
    return largest_pattern(type_) + (saturate_ ? 0 : 1);
  }

 private:
  [[nodiscard]] bool is_past(double magnitude) const {
    return magnitude > limits_[position_] ||
           (magnitude == limits_[position_] && position_ % 2 == 1);
  }

  SmallFloat type_;
  bool saturate_;
  std::vector<double> limits_;
  std::size_t position_ = 0;
};

/// Bit for bit, but any two NaNs are the same.
bool is_same_number(float a, float b) {
  return scalar::to_bits(a) == scalar::to_bits(b) || (std::isnan(a) && std::isnan(b));
}

template <Format kFormat>
void sweep_format(const SmallFloat& type, bool saturate) {
  announce_stride();
  std::array<float, 256> numbers;
  for (std::uint32_t code = 0; code < numbers.size(); ++code) {
    numbers[code] = static_cast<float>(decode(type, code));
  }
  expect_no_mismatch(sweep([&] {
    return [walk = TableWalk(type, saturate), saturate, &numbers](std::uint32_t pattern) mutable {
      const std::uint32_t sign = pattern >> 31 << 7;
      const float value = scalar::from_bits(pattern);
      const std::uint32_t expected = walk.code(std::fabs(static_cast<double>(value))) | sign;
      const float rounded = scalar::fp8_round<kFormat>(value, saturate);
      return scalar::fp8_encode<kFormat>(value, saturate) == expected &&
             is_same_number(rounded, numbers[expected]);
    };
  }));
}

TEST(EveryF32ToE4M3, SaturatingIsTheNearestOfTheTable) { sweep_format<Format::kE4M3>(kE4M3, true); }
TEST(EveryF32ToE4M3, NotSaturatingIsTheNearestOfTheTable) {
  sweep_format<Format::kE4M3>(kE4M3, false);
}
TEST(EveryF32ToE5M2, SaturatingIsTheNearestOfTheTable) { sweep_format<Format::kE5M2>(kE5M2, true); }
TEST(EveryF32ToE5M2, NotSaturatingIsTheNearestOfTheTable) {
  sweep_format<Format::kE5M2>(kE5M2, false);
}

}  // namespace
}  // namespace cuqat::test
