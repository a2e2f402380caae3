// Prepared scales give the bits of the element functions, for every kind of element and scale.
#include "cuqat/scalar/prepared_scale.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support/random.hpp"

namespace cuqat::test {
namespace {

using scalar::PreparedFp8;
using scalar::PreparedInteger;
using Int8 = scalar::ElementQuantizer<Format::kInt8>;

constexpr Int8 kRanges[] = {{-128, 127, true}, {-127, 127, true}, {-8, 7, true}, {-7, 7, true}};

struct Params {
  Int8 quantizer;
  float scale;
  std::int32_t zero_point;
};

/// Of elements that may be given; the others are left out.
void expect_same(const Params& params, float x) {
  const auto& [quantizer, scale, zero_point] = params;
  if (!std::isfinite(x) || std::abs(x) > PreparedInteger::largest_input(quantizer, scale)) return;
  const PreparedInteger prepared(quantizer, scale, zero_point);
  const float steps = prepared.steps(x);
  const float clamped = prepared.clamped(steps);
  const auto expected = scalar::fake_quantize_element(quantizer, x, scale, zero_point);
  ASSERT_EQ(scalar::to_bits(prepared.value_of(clamped)), scalar::to_bits(expected.value))
      << x << ", scale " << scale << ", zero point " << zero_point;
  ASSERT_EQ(clamped != steps, expected.clipped) << x << ", scale " << scale << ", " << zero_point;
  const std::int32_t code = scalar::quantize_element(quantizer, x, scale, zero_point);
  ASSERT_EQ(prepared.code_of(clamped), static_cast<std::uint8_t>(code)) << x << ", scale " << scale;
}

Params any_params(Random& random, int exponent) {
  const float significand = 1.0f + static_cast<float>(random() >> 41) * 0x1p-23f;
  const Int8& quantizer = kRanges[random() >> 62];
  const auto span = static_cast<std::uint64_t>(quantizer.high - quantizer.low + 1);
  const auto inside = static_cast<std::int32_t>(random() % span) + quantizer.low;
  const auto anywhere = static_cast<std::int32_t>(random() >> 43) - (1 << 20);
  const std::int32_t zero_points[] = {0, inside, anywhere, quantizer.low};
  return {quantizer, std::ldexp(significand, exponent), zero_points[random() >> 62]};
}

TEST(PreparedInteger, HasTheBitsOfEveryBFloat16) {
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    const Params params = any_params(random, i % 140 - 70);
    ASSERT_TRUE(PreparedInteger::is_ordinary(params.scale, params.zero_point));
    for (std::uint32_t x = 0; x < 0x10000; ++x) {
      expect_same(params, std::bit_cast<float>(x << 16));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PreparedInteger, HasTheBitsOfF32AroundEveryEdgeOfACode) {
  Random random(4);
  for (int i = 0; i < 2000; ++i) {
    const Params params = any_params(random, i % 60 - 40);
    for (int code = params.quantizer.low - 2; code <= params.quantizer.high + 2; ++code) {
      const double steps = static_cast<double>(code - params.zero_point) + 0.5;
      const auto edge = static_cast<float>(steps * static_cast<double>(params.scale));
      float x = edge;
      for (int step = 0; step < 3; ++step) x = std::nextafter(x, -1e38f);
      for (int step = 0; step < 7; ++step) {
        expect_same(params, x);
        if (HasFatalFailure()) return;
        x = std::nextafter(x, 1e38f);
      }
    }
  }
}

TEST(PreparedInteger, HasTheBitsOfAnyF32) {
  Random random(5);
  for (int i = 0; i < 4'000'000; ++i) {
    const Params params = any_params(random, i % 140 - 70);
    expect_same(params, std::bit_cast<float>(static_cast<std::uint32_t>(random() >> 32)));
    expect_same(params, params.scale * static_cast<float>(random.uniform(-200.0, 200.0)));
    if (HasFatalFailure()) return;
  }
}

/// Past the bound lies nothing but what is 2^126 scales large.
TEST(PreparedInteger, TakesAllButHugeElements) {
  EXPECT_EQ(PreparedInteger::largest_input(kRanges[0], 0x1p-70f), 0x1p56f);
  EXPECT_EQ(PreparedInteger::largest_input(kRanges[0], 1.0f), 0x1p126f);
  EXPECT_TRUE(std::isinf(PreparedInteger::largest_input(kRanges[0], 4.0f)));
  for (const float scale : {0x1p-70f, 1.7f, 0x1.fffffep1f, 4.0f, 0x1p70f}) {
    const float bound = std::fmin(PreparedInteger::largest_input(kRanges[0], scale),
                                  std::numeric_limits<float>::max());
    for (const Int8& quantizer : kRanges) {
      for (const std::int32_t zero_point : {0, 17, 1 << 20, -(1 << 20)}) {
        expect_same({quantizer, scale, zero_point}, bound);
        expect_same({quantizer, scale, zero_point}, -bound);
      }
    }
  }
}

TEST(PreparedInteger, IsNotForExtremeOnes) {
  EXPECT_TRUE(PreparedInteger::is_ordinary(1.0f, 1 << 20));
  EXPECT_FALSE(PreparedInteger::is_ordinary(1.0f, (1 << 20) + 1));
  EXPECT_FALSE(PreparedInteger::is_ordinary(1.0f, std::numeric_limits<std::int32_t>::min()));
  EXPECT_FALSE(PreparedInteger::is_ordinary(0.0f, 0));
  EXPECT_FALSE(PreparedInteger::is_ordinary(std::numeric_limits<float>::quiet_NaN(), 0));
}

template <Format kFormat>
void expect_same_fp8(float scale, float x) {
  if (!std::isfinite(x)) return;
  using Q = scalar::ElementQuantizer<kFormat>;
  const float quotient = PreparedFp8(Q{}, scale, 0).quotient(x);
  const float exact = x / scale;
  for (const bool saturate : {true, false}) {
    if (std::abs(x) > PreparedFp8::largest_input(Q{0, 0, saturate}, scale)) continue;
    ASSERT_TRUE(saturate || scalar::fp8_in_range<kFormat>(exact)) << x << " / " << scale;
    ASSERT_EQ(scalar::fp8_encode<kFormat>(quotient, saturate),
              scalar::fp8_encode<kFormat>(exact, saturate))
        << x << " / " << scale;
  }
  if (std::abs(x) > PreparedFp8::largest_input(Q{0, 0, true}, scale)) return;
  ASSERT_EQ(scalar::fp8_in_range<kFormat>(quotient), scalar::fp8_in_range<kFormat>(exact));
}

TEST(PreparedFp8, HasTheBitsOfAnyF32) {
  Random random(6);
  for (int i = 0; i < 2'000'000; ++i) {
    const float scale = any_params(random, i % 140 - 70).scale;
    const auto any = std::bit_cast<float>(static_cast<std::uint32_t>(random() >> 32));
    for (const float x : {any, scale * std::ldexp(any, -100), -0.0f, 0.0f,
                          scale * static_cast<float>(random.uniform(-500.0, 500.0)),
                          scale * std::ldexp(1.0f + static_cast<float>(random() >> 60) / 16.0f,
                                             static_cast<int>(random() % 40) - 22)}) {
      expect_same_fp8<Format::kE4M3>(scale, x);
      expect_same_fp8<Format::kE5M2>(scale, x);
      if (HasFatalFailure()) return;
    }
  }
}

}  // namespace
}  // namespace cuqat::test
