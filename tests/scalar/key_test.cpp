// Histogram keys and ordered keys.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "cuqat/scalar/histogram_key.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

void expect_keys_in_the_order_of_the_numbers(const SmallFloat& type) {
  // The patterns from the largest negative number up to the largest positive one.
  std::vector<std::uint16_t> patterns;
  const std::uint32_t infinity = largest_pattern(type) + 1;
  for (std::uint32_t rest = infinity + 1; rest-- > 0;) {
    patterns.push_back(static_cast<std::uint16_t>(0x8000u | rest));
  }
  for (std::uint32_t rest = 0; rest <= infinity; ++rest) {
    patterns.push_back(static_cast<std::uint16_t>(rest));
  }
  for (std::size_t i = 1; i < patterns.size(); ++i) {
    ASSERT_LE(decode(type, patterns[i - 1]), decode(type, patterns[i]));
    ASSERT_LT(scalar::ordered_key(patterns[i - 1]), scalar::ordered_key(patterns[i]));
  }
}

TEST(OrderedKey, RisesWithEveryBfloat16) { expect_keys_in_the_order_of_the_numbers(kBFloat16); }
TEST(OrderedKey, RisesWithEveryFloat16) { expect_keys_in_the_order_of_the_numbers(kBinary16); }

TEST(OrderedKey, GivesItsPatternBack) {
  for (std::uint32_t bits = 0; bits < 0x1'0000; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    EXPECT_EQ(scalar::pattern_of_ordered_key(scalar::ordered_key(pattern)), pattern);
    const std::uint32_t wide = bits << 16 | (bits * 40503u & 0xffffu);
    EXPECT_EQ(scalar::pattern_of_ordered_key(scalar::ordered_key(wide)), wide);
    const std::uint64_t widest = std::uint64_t{wide} << 32 | wide;
    EXPECT_EQ(scalar::pattern_of_ordered_key(scalar::ordered_key(widest)), widest);
  }
}

TEST(OrderedKey, OrdersWideNumbers) {
  const std::vector<double> rising = {-INFINITY, -1e300, -2.0, -1.0, -5e-324, -0.0,
                                      0.0,       5e-324, 1.0,  2.0,  1e300,   INFINITY};
  for (std::size_t i = 1; i < rising.size(); ++i) {
    EXPECT_LT(scalar::ordered_key(scalar::to_bits(rising[i - 1])),
              scalar::ordered_key(scalar::to_bits(rising[i])));
    const auto low = static_cast<float>(rising[i - 1]);
    const auto high = static_cast<float>(rising[i]);
    EXPECT_LE(scalar::ordered_key(scalar::to_bits(low)),
              scalar::ordered_key(scalar::to_bits(high)));
  }
}

TEST(HistogramKey, IsThePatternOrItsUpperHalf) {
  for (std::uint32_t bits = 0; bits < 0x1'0000; ++bits) {
    const auto pattern = static_cast<std::uint16_t>(bits);
    EXPECT_EQ(scalar::histogram_key(bfloat16{pattern}), pattern);
    EXPECT_EQ(scalar::histogram_key(float16{pattern}), pattern);
    EXPECT_EQ(scalar::histogram_key(scalar::from_bits(bits << 16)), pattern);
    EXPECT_EQ(scalar::histogram_key(scalar::from_bits(bits << 16 | 0xffffu)), pattern);
  }
}

}  // namespace
}  // namespace cuqat::test
