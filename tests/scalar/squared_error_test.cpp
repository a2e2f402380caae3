// Sums of squared errors as numbers: 128 bits to f64, and the units.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

#include "cuqat/scalar/squared_error.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

__extension__ using Uint128 = unsigned __int128;

void expect_nearest(std::uint64_t high, std::uint64_t low) {
  const auto expected = static_cast<double>(static_cast<Uint128>(high) << 64 | low);
  ASSERT_EQ(scalar::number_of_128_bits(high, low), expected) << high << " " << low;
}

TEST(SquaredError, SumsOf128BitsBecomeTheNearestNumber) {
  Random random(7);
  for (int i = 0; i < 200'000; ++i) {
    const auto high = random() >> (random() % 64);
    const auto low = random() >> (random() % 64);
    expect_nearest(high, low);
    expect_nearest(0, low);
    expect_nearest(high, 0);
  }
  // Ties and their neighbours, at each place of the leading bit.
  for (int place = 54; place < 128; ++place) {
    const Uint128 leading = static_cast<Uint128>(1) << place;
    const Uint128 half = static_cast<Uint128>(1) << (place - 53);
    for (const Uint128 odd : {static_cast<Uint128>(0), 2 * half}) {
      for (const Uint128 sum : {leading + odd + half - 1, leading + odd + half,
                                leading + odd + half + 1, leading - 1}) {
        expect_nearest(static_cast<std::uint64_t>(sum >> 64), static_cast<std::uint64_t>(sum));
      }
    }
  }
  expect_nearest(~std::uint64_t{0}, ~std::uint64_t{0});
}

TEST(SquaredError, TermsAreRoundedMultiplesOfTheUnit) {
  constexpr std::uint64_t kOne = std::uint64_t{1} << 51;
  EXPECT_EQ(scalar::squared_term(0.0, 1.0), 0u);
  EXPECT_EQ(scalar::squared_term(0.0, INFINITY), 0u);
  EXPECT_EQ(scalar::squared_term(1.0, 1.0), kOne);
  EXPECT_EQ(scalar::squared_term(-0.5, 1.0), kOne / 4);
  EXPECT_EQ(scalar::squared_term(7.0, 1.0), kOne);  // no more than the unit
  EXPECT_EQ(scalar::squared_term(1e-30, 1.0), 1u);  // no less than a step
}

TEST(SquaredError, UnitsBoundTheRoundingError) {
  EXPECT_EQ(scalar::rounding_unit(Format::kInt8, 0.5, 100.0), 0.5);
  EXPECT_EQ(scalar::rounding_unit(Format::kInt4, 0.5, 0.1), 0.1);
  EXPECT_EQ(scalar::rounding_unit(Format::kE4M3, 0.5, 100.0), 16.0);
  EXPECT_EQ(scalar::rounding_unit(Format::kE5M2, 0.001, 100.0), 8.192);
}

}  // namespace
}  // namespace cuqat::test
