// Rounding to whole numbers, in both conventions.
#include <gtest/gtest.h>

#include <cmath>
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
