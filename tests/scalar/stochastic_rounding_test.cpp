// The generator against its published answers, and rounding with it.
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <vector>

#include "cuqat/scalar/stochastic_rounding.hpp"

namespace cuqat::test {
namespace {

struct KnownAnswer {
  std::array<std::uint32_t, 4> counter;
  std::array<std::uint32_t, 2> key;
  std::array<std::uint32_t, 4> answer;
};

// Known answers of philox4x32-10 that the generator's authors publish with Random123.
TEST(Philox, GivesThePublishedAnswers) {
  const KnownAnswer cases[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}}};
  for (const KnownAnswer& c : cases) {
    const scalar::PhiloxBlock block = scalar::philox4x32_10(
        {{c.counter[0], c.counter[1], c.counter[2], c.counter[3]}}, c.key[0], c.key[1]);
    for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(block.word[i], c.answer[i]);
  }
}

TEST(UniformFromIndex, IsAWordOfTheBlockOfItsCounter) {
  // Seed 0, counter 0: the first published answer, its upper 24 bits.
  EXPECT_EQ(scalar::uniform_from_index(0, 0), static_cast<float>(0x6627e8) * 0x1p-24f);
  EXPECT_EQ(scalar::uniform_from_index(0, 1), static_cast<float>(0xe169c5) * 0x1p-24f);
  EXPECT_EQ(scalar::uniform_from_index(0, 2), static_cast<float>(0xbc57ac) * 0x1p-24f);
  EXPECT_EQ(scalar::uniform_from_index(0, 3), static_cast<float>(0x9b00db) * 0x1p-24f);
}

TEST(UniformFromIndex, UsesAllOfSeedAndIndex) {
  const float base = scalar::uniform_from_index(1, 5);
  EXPECT_EQ(scalar::uniform_from_index(1, 5), base);
  EXPECT_NE(scalar::uniform_from_index(2, 5), base);
  EXPECT_NE(scalar::uniform_from_index(1 + (std::uint64_t{1} << 32), 5), base);
  EXPECT_NE(scalar::uniform_from_index(1, 5 + (std::uint64_t{1} << 34)), base);
}

TEST(UniformFromIndex, IsBelowOneAndAMultipleOfTheUnit) {
  double sum = 0;
  constexpr std::uint64_t kDraws = 1 << 18;
  for (std::uint64_t i = 0; i < kDraws; ++i) {
    const float u = scalar::uniform_from_index(42, i);
    ASSERT_GE(u, 0.0f);
    ASSERT_LT(u, 1.0f);
    ASSERT_EQ(std::ldexp(u, 24), std::floor(std::ldexp(u, 24)));
    sum += static_cast<double>(u);
  }
  // Five standard deviations of the mean of uniform numbers.
  EXPECT_NEAR(sum / kDraws, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
}

TEST(StochasticRounding, IsUnbiased) {
  constexpr std::uint64_t kDraws = 1 << 16;
  for (const float x : {0.1f, 0.5f, 0.9f, 1.25f, -0.3f, -7.75f, 3.0f}) {
    double sum = 0;
    for (std::uint64_t i = 0; i < kDraws; ++i) {
      const float u = scalar::uniform_from_index(7, i);
      sum += scalar::stochastic_integer_code(x, 1.0f, 0, -128, 127, u);
    }
    // A code is one of two neighbours: its deviation is at most 1/2. Five deviations of the mean.
    EXPECT_NEAR(sum / kDraws, static_cast<double>(x), 5 * 0.5 / std::sqrt(double{kDraws})) << x;
  }
}

TEST(StochasticRounding, KeepsWholeNumbers) {
  for (std::int32_t code = -128; code <= 127; ++code) {
    for (const float u : {0.0f, 0.5f, 1.0f - 0x1p-24f}) {
      const double scale = 0.25;
      EXPECT_EQ(scalar::stochastic_integer_code(code * scale, scale, 0, -128, 127,
                                                static_cast<double>(u)),
                code);
    }
  }
}

TEST(StochasticRounding, ClampsAndGivesTheZeroPointForNaN) {
  EXPECT_EQ(scalar::stochastic_integer_code(3e38f, 1e-38f, 3, -8, 7, 0.5f), 7);
  EXPECT_EQ(scalar::stochastic_integer_code(-INFINITY, 1.0f, 3, -8, 7, 0.5f), -8);
  EXPECT_EQ(scalar::stochastic_integer_code(NAN, 1.0f, 3, -8, 7, 0.5f), 3);
  EXPECT_EQ(scalar::stochastic_integer_code(0.75f, 1.0f, 3, -8, 7, 0.25f), 4);
  EXPECT_EQ(scalar::stochastic_integer_code(0.75f, 1.0f, 3, -8, 7, 0.125f), 3);
}

}  // namespace
}  // namespace cuqat::test
