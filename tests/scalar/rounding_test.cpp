// Rounding to whole numbers, in both conventions.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "cuqat/scalar/rounding.hpp"

namespace cuqat::test {
namespace {

/// From floor alone: no rounding function is asked.
template <typename C>
C nearest(C value, bool ties_to_even) {
  const C positive = std::fabs(value);
  const C floor = std::floor(positive);
  const C rest = positive - floor;
  const bool odd = std::fmod(floor, C{2}) == C{1};
  const bool up = rest > C{0.5} || (rest == C{0.5} && (!ties_to_even || odd));
  return std::copysign(up ? floor + 1 : floor, value);
}

template <typename C>
void expect_both_roundings(C value) {
  for (const C x : {value, std::nextafter(value, C{0}), std::nextafter(value, C{INFINITY})}) {
    for (const C signed_x : {x, -x}) {
      if (!std::isfinite(signed_x)) continue;
      EXPECT_EQ(scalar::round_half_even(signed_x), nearest(signed_x, true))
          << std::hexfloat << signed_x;
      EXPECT_EQ(scalar::round_half_away(signed_x), nearest(signed_x, false))
          << std::hexfloat << signed_x;
    }
  }
}

template <typename C>
void expect_every_edge() {
  for (int k = 0; k <= 300; ++k) expect_both_roundings(static_cast<C>(k) + C{0.5});
  for (int k = 0; k <= 300; ++k) expect_both_roundings(static_cast<C>(k));
  for (int exponent = 18; exponent <= 60; ++exponent) {
    const C power = std::ldexp(C{1}, exponent);
    for (const C part : {C{0}, C{0.25}, C{0.5}, C{0.75}, C{1}, C{1.5}}) {
      expect_both_roundings(power + part);
      expect_both_roundings(power - part);
    }
  }
  expect_both_roundings(std::numeric_limits<C>::min());
  expect_both_roundings(std::numeric_limits<C>::denorm_min());
  expect_both_roundings(std::numeric_limits<C>::max());
}

TEST(Rounding, IsRightAtEveryEdgeInF32) { expect_every_edge<float>(); }
TEST(Rounding, IsRightAtEveryEdgeInF64) { expect_every_edge<double>(); }

/// The forms for machines without an instruction, whatever this one has.
template <typename C>
void expect_both_forms_agree(C value) {
  for (const C x : {value, -value}) {
    ASSERT_EQ(scalar::to_bits(scalar::round_half_even_by_addition(x)),
              scalar::to_bits(std::nearbyint(x)))
        << std::hexfloat << x;
    ASSERT_EQ(scalar::to_bits(scalar::truncate_by_addition(x)), scalar::to_bits(std::trunc(x)))
        << std::hexfloat << x;
  }
}

TEST(Rounding, ByAdditionIsTheLibrarysForF32) {
  // From where all is 0 to where all is whole; every 61st pattern (prime).
  for (std::uint32_t bits = scalar::to_bits(0.125f); bits < scalar::to_bits(0x1p25f); bits += 61) {
    expect_both_forms_agree(scalar::from_bits(bits));
  }
  for (const float x : {0.0f, 1e-45f, 0.5f, 1.5f, 2.5f, 3e38f, INFINITY})
    expect_both_forms_agree(x);
}

TEST(Rounding, ByAdditionIsTheLibrarysForF64) {
  std::uint64_t bits = scalar::to_bits(0.125);
  const std::uint64_t step = (scalar::to_bits(0x1p54) - bits) / 1'000'003;
  for (; bits < scalar::to_bits(0x1p54); bits += step)
    expect_both_forms_agree(scalar::from_bits(bits));
  for (int k = 0; k < 1000; ++k) {
    for (const double x : {k + 0.5, std::nextafter(k + 0.5, 0.0), std::nextafter(k + 0.5, 1e9),
                           0x1p52 - k * 0.5, 0x1p53 - k}) {
      expect_both_forms_agree(x);
    }
  }
}

struct Named {
  float x, even, away;
};

TEST(Rounding, GivesTheNamedNumbers) {
  const Named cases[] = {{0.49999997f, 0, 0},
                         {-0.49999997f, 0, 0},
                         {0.5f, 0, 1},
                         {-0.5f, 0, -1},
                         {1.5f, 2, 2},
                         {2.5f, 2, 3},
                         {-2.5f, -2, -3},
                         {4194303.5f, 4194304, 4194304},
                         {8388607.5f, 8388608, 8388608},
                         {8388608.0f, 8388608, 8388608},
                         {8388609.0f, 8388609, 8388609},
                         {3e38f, 3e38f, 3e38f},
                         {INFINITY, INFINITY, INFINITY},
                         {-INFINITY, -INFINITY, -INFINITY}};
  for (const Named& c : cases) {
    EXPECT_EQ(scalar::round_half_even(c.x), c.even) << c.x;
    if (std::isfinite(c.x)) {
      EXPECT_EQ(scalar::round_half_away(c.x), c.away) << c.x;
    }
  }
  EXPECT_EQ(scalar::round_half_away(0.49999999999999994), 0.0);
  EXPECT_EQ(scalar::round_half_away(4503599627370495.5), 4503599627370496.0);
}

TEST(Rounding, KeepsInfinitiesAndNaN) {
  EXPECT_EQ(scalar::round_half_away(INFINITY), INFINITY);
  EXPECT_EQ(scalar::round_half_away(-INFINITY), -INFINITY);
  EXPECT_TRUE(std::isnan(scalar::round_half_away(NAN)));
  EXPECT_TRUE(std::isnan(scalar::round_half_even(NAN)));
}

TEST(Rounding, KeepsTheSignOfZero) {
  EXPECT_TRUE(std::signbit(scalar::round_half_even(-0.0f)));
  EXPECT_TRUE(std::signbit(scalar::round_half_even(-0.25f)));
  EXPECT_FALSE(std::signbit(scalar::round_half_even(0.25f)));
}

TEST(Clamp, GivesTheLowEndForNaN) {
  EXPECT_EQ(scalar::clamp(NAN, -3.0f, 5.0f), -3.0f);
  EXPECT_EQ(scalar::clamp(-INFINITY, -3.0f, 5.0f), -3.0f);
  EXPECT_EQ(scalar::clamp(INFINITY, -3.0f, 5.0f), 5.0f);
  EXPECT_EQ(scalar::clamp(4.0f, -3.0f, 5.0f), 4.0f);
}

}  // namespace
}  // namespace cuqat::test
