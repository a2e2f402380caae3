// Quotients by a shared divisor have the bits of a division.
#include "cuqat/scalar/shared_divisor.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "support/random.hpp"

namespace cuqat::test {
namespace {

using scalar::SharedDivisor;

/// The inverse of a modulo m; both are coprime.
std::int64_t inverse_modulo(std::int64_t a, std::int64_t m) {
  std::int64_t inverse = 0;
  std::int64_t next_inverse = 1;
  std::int64_t rest = m;
  std::int64_t next_rest = a % m;
  while (next_rest != 0) {
    const std::int64_t quotient = rest / next_rest;
    inverse = std::exchange(next_inverse, inverse - quotient * next_inverse);
    rest = std::exchange(next_rest, rest - quotient * next_rest);
  }
  return inverse < 0 ? inverse + m : inverse;
}

constexpr std::int64_t kLeast = std::int64_t{1} << 23;  // significands as integers
constexpr std::int64_t kEnd = std::int64_t{1} << 24;

/// body(X) for the significands X in [begin, end) for which 2^shift * X modulo S is a residue
/// other than 0 of at most 8. (With 0 the quotient would be the middle of two numbers: no X has.)
template <typename Body>
void for_each_hard(std::int64_t s, int shift, std::int64_t begin, std::int64_t end,
                   const Body& body) {
  const int twos = std::countr_zero(static_cast<std::uint64_t>(s));
  const std::int64_t odd = s >> twos;
  if (odd == 1) return;  // a division by a power of two is exact
  std::int64_t power = 1;
  for (int i = 0; i < shift - twos; ++i) power = power * 2 % odd;
  const std::int64_t inverse = inverse_modulo(power, odd);
  for (std::int64_t residue = -8; residue <= 8; ++residue) {
    if (residue == 0 || residue % (std::int64_t{1} << twos) != 0) continue;
    const std::int64_t reduced = ((residue >> twos) % odd + odd) % odd;
    std::int64_t x = reduced * inverse % odd;
    if (x < begin) x += (begin - x + odd - 1) / odd * odd;
    for (; x < end; x += odd) body(x);
  }
}

/// A quotient X / S lies |residue| / (2 S) units in the last place from the middle of two numbers,
/// where residue = 2^24 X modulo S (X >= S: the quotient is in [1, 2)) or 2^25 X modulo S (X < S).
/// Off by less than 3.5 * 2^-24 units: only residues below 7 can matter; 8 are tried.
TEST(SharedDivisor, IsExactWhereItIsHardest) {
  std::int64_t tried = 0;
  std::int64_t wrong = 0;
  for (std::int64_t s = kLeast; s < kEnd; ++s) {
    const auto divisor = static_cast<float>(s);
    const SharedDivisor shared(divisor);
    const auto try_one = [&](std::int64_t x) {
      const auto value = static_cast<float>(x);
      ++tried;
      wrong += shared.quotient(value) != value / divisor ? 1 : 0;
    };
    for_each_hard(s, 24, s, kEnd, try_one);
    for_each_hard(s, 25, kLeast, s, try_one);
    // Around 1 the units in the last place change.
    for (std::int64_t x = std::max(s - 8, kLeast); x < std::min(s + 9, kEnd); ++x) try_one(x);
  }
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(tried, 200'000'000);
}

TEST(SharedDivisor, IsExactForEveryBFloat16) {
  Random random(1);
  for (int i = 0; i < 500; ++i) {
    const auto significand = static_cast<std::uint32_t>(random() >> 41);
    const auto divisor = std::bit_cast<float>((127u << 23) | significand);
    const SharedDivisor shared(divisor);
    for (std::uint32_t x = 0x3f80; x < 0x4000; ++x) {  // [1, 2)
      const auto value = std::bit_cast<float>(x << 16);
      ASSERT_EQ(shared.quotient(value), value / divisor) << value << " / " << divisor;
    }
  }
}

/// What the header promises, over all exponents.
void expect_promise(float x, float divisor) {
  const float exact = x / divisor;
  const float size = std::abs(exact);
  if (!std::isfinite(x) || size > SharedDivisor::kLargestQuotient) return;
  const float found = SharedDivisor(divisor).quotient(x);
  if (size >= 0x1p-30f) {
    ASSERT_EQ(found, exact) << x << " / " << divisor;
  } else {
    ASSERT_LT(std::abs(found), 0x1p-25f) << x << " / " << divisor;
  }
}

TEST(SharedDivisor, KeepsItsPromiseForAllExponents) {
  Random random(2);
  for (int e = -70; e <= 70; ++e) {
    for (int i = 0; i < 20'000; ++i) {
      const float divisor =
          e == 70 ? 0x1p70f : std::ldexp(1.0f + static_cast<float>(random() >> 41) * 0x1p-23f, e);
      ASSERT_TRUE(SharedDivisor::is_ordinary(divisor));
      const auto x = std::bit_cast<float>(static_cast<std::uint32_t>(random() >> 32));
      if (std::isnan(x)) continue;
      expect_promise(x, divisor);
      // Quotients that a quantizer tells apart, at the edges of its codes too.
      expect_promise(divisor * static_cast<float>(random.uniform(-300.0, 300.0)), divisor);
      const float edge = divisor * (static_cast<float>(i % 512 - 256) + 0.5f);
      expect_promise(edge, divisor);
      expect_promise(std::nextafter(edge, 0.0f), divisor);
      expect_promise(std::nextafter(edge, 1e38f), divisor);
      if (testing::Test::HasFatalFailure()) return;
    }
    for (const float x :
         {0.0f, -0.0f, 0x1p-149f, -0x1p-126f, 3.4e38f, std::numeric_limits<float>::infinity()}) {
      expect_promise(x, std::ldexp(1.0f, e));
      expect_promise(-x, std::ldexp(1.0f, e));
    }
  }
}

TEST(SharedDivisor, IsNotForExtremeScales) {
  for (const float divisor :
       {0.0f, -1.0f, 0x1p-71f, 0x1.8p70f, 3e38f, std::numeric_limits<float>::infinity(),
        std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_FALSE(SharedDivisor::is_ordinary(divisor)) << divisor;
  }
}

}  // namespace
}  // namespace cuqat::test
