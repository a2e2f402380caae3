// The logarithm that searches compare, against the C library in extended precision.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cuqat/scalar/logarithm.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

static_assert(std::numeric_limits<long double>::digits >= 64);

double error_in_units(double x) {
  const long double exact = std::log(static_cast<long double>(x));
  const auto nearest = static_cast<double>(exact);
  const double unit = std::abs(std::nextafter(nearest, INFINITY) - nearest);
  const long double error = std::abs(scalar::logarithm(x) - exact);
  return static_cast<double>(error / unit);
}

TEST(Logarithm, IsWithinTwoUnitsInTheLastPlace) {
  Random random(1);
  for (int i = 0; i < 300'000; ++i) {
    const double significand = random.uniform(1.0, 2.0);
    ASSERT_LE(error_in_units(std::ldexp(significand, static_cast<int>(random() % 2044) - 1022)), 2);
    const double near_one = 1.0 + std::ldexp(random.uniform(-0.4, 0.4), -static_cast<int>(i % 40));
    if (near_one != 1.0) {
      ASSERT_LE(error_in_units(near_one), 2) << near_one;
    }
    ASSERT_LE(error_in_units(static_cast<double>(2 + random() % 1'000'000'000)), 2);
  }
}

TEST(Logarithm, OfOneIsZeroAndItGrows) {
  EXPECT_EQ(scalar::logarithm(1.0), 0.0);
  EXPECT_EQ(scalar::logarithm(2.0), 0x1.62e42fefa39efp-1);
  EXPECT_EQ(scalar::logarithm(0.5), -0x1.62e42fefa39efp-1);
  EXPECT_LE(error_in_units(std::numeric_limits<double>::min()), 2);
  EXPECT_LE(error_in_units(std::numeric_limits<double>::max()), 2);
  // Where the significand's range begins anew.
  double before = scalar::logarithm(0.7);
  for (double x = 0.7071067811865460; x < 0.7071067811865490; x = std::nextafter(x, 1.0)) {
    const double here = scalar::logarithm(x);
    ASSERT_GE(here, before) << x;
    before = here;
  }
}

}  // namespace
}  // namespace cuqat::test
