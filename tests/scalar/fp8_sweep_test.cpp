// All f32 patterns to FP8, against a walk along the sorted table of the format's numbers.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstddef>
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

  /// Whether all from the last magnitude to this one have the last one's code.
  [[nodiscard]] bool stays_until(double magnitude) const {
    return !std::isnan(magnitude) && (position_ == limits_.size() || !is_past(magnitude));
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

template <Format kFormat, bool kSaturate>
void sweep_format(const SmallFloat& type) {
  announce_stride();
  std::array<float, 256> numbers;
  for (std::uint32_t code = 0; code < numbers.size(); ++code) {
    numbers[code] = static_cast<float>(decode(type, code));
  }
  const auto magnitude = [](std::uint32_t pattern) {
    return std::fabs(static_cast<double>(scalar::from_bits(pattern)));
  };
  expect_no_mismatch(sweep([&] {
    return
        [&, walk = TableWalk(type, kSaturate)](const Patterns& patterns, Verdicts& right) mutable {
          Patterns expected;
          const std::uint32_t sign = patterns.front() >> 31 << 7;
          const double first = magnitude(patterns.front());
          expected.fill(walk.code(first) | sign);
          if (!std::isnan(first) && !walk.stays_until(magnitude(patterns.back()))) {
            for (std::size_t i = 0; i < patterns.size(); ++i) {
              expected[i] = walk.code(magnitude(patterns[i])) | sign;
            }
          }
          Patterns codes;
          std::array<float, kPatternsAtATime> rounded;
          for (std::size_t i = 0; i < patterns.size(); ++i) {
            const float value = scalar::from_bits(patterns[i]);
            codes[i] = scalar::fp8_encode<kFormat>(value, kSaturate);
            rounded[i] = scalar::fp8_round<kFormat>(value, kSaturate);
          }
          for (std::size_t i = 0; i < patterns.size(); ++i) {
            // Bit for bit, but any two NaNs are the same.
            const float number = numbers[expected[i]];
            const bool is_number = scalar::to_bits(rounded[i]) == scalar::to_bits(number);
            const bool are_nan = (rounded[i] != rounded[i]) & (number != number);
            right[i] = (codes[i] == expected[i]) & (is_number | are_nan);
          }
        };
  }));
}

TEST(EveryF32ToE4M3, SaturatingIsTheNearestOfTheTable) { sweep_format<Format::kE4M3, true>(kE4M3); }
TEST(EveryF32ToE4M3, NotSaturatingIsTheNearestOfTheTable) {
  sweep_format<Format::kE4M3, false>(kE4M3);
}
TEST(EveryF32ToE5M2, SaturatingIsTheNearestOfTheTable) { sweep_format<Format::kE5M2, true>(kE5M2); }
TEST(EveryF32ToE5M2, NotSaturatingIsTheNearestOfTheTable) {
  sweep_format<Format::kE5M2, false>(kE5M2);
}

}  // namespace
}  // namespace cuqat::test
