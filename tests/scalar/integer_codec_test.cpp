// int8 and int4 codes.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "cuqat/scalar/element.hpp"

namespace cuqat::test {
namespace {

template <typename Q, typename C>
void expect_codes_survive(const Quantizer& quantizer, C scale) {
  const auto q = scalar::make_element_quantizer<Q>(quantizer);
  for (std::int32_t zero = qmin(quantizer); zero <= qmax(quantizer); ++zero) {
    for (std::int32_t code = qmin(quantizer); code <= qmax(quantizer); ++code) {
      const C value = scalar::dequantize_element(q, code, scale, zero);
      EXPECT_EQ(value, static_cast<C>(code - zero) * scale);
      EXPECT_EQ(scalar::quantize_element(q, value, scale, zero), code);
      EXPECT_FALSE(scalar::is_clipped(q, value, scale, zero));
      EXPECT_EQ(scalar::fake_quantize_element(q, value, scale, zero).value, value);
    }
  }
}

template <Format kFormat, Rounding kRounding>
void expect_codes_survive_every_scale() {
  using Q = scalar::ElementQuantizer<kFormat, kRounding>;
  for (const bool narrow : {false, true}) {
    const Quantizer quantizer{.format = kFormat, .rounding = kRounding, .narrow_range = narrow};
    for (const double scale : {1.0, 0.1, 3.0e-38, 1.0e30, 0.007874015748031496}) {
      expect_codes_survive<Q>(quantizer, static_cast<float>(scale));
      expect_codes_survive<Q>(quantizer, scale);
    }
  }
}

TEST(IntegerCodes, SurviveEveryZeroPointAsInt8) {
  expect_codes_survive_every_scale<Format::kInt8, Rounding::kNearestEven>();
  expect_codes_survive_every_scale<Format::kInt8, Rounding::kOriginal>();
}

TEST(IntegerCodes, SurviveEveryZeroPointAsInt4) {
  expect_codes_survive_every_scale<Format::kInt4, Rounding::kNearestEven>();
  expect_codes_survive_every_scale<Format::kInt4, Rounding::kOriginal>();
}

TEST(IntegerCodes, NeverOverflowAnInt) {
  const auto q = scalar::make_element_quantizer<scalar::ElementQuantizer<Format::kInt8>>({});
  const float largest = std::numeric_limits<float>::max();
  const float least = std::numeric_limits<float>::min();
  EXPECT_EQ(scalar::quantize_element(q, largest, least, 0), 127);
  EXPECT_EQ(scalar::quantize_element(q, -largest, least, 0), -128);
  EXPECT_EQ(scalar::quantize_element(q, INFINITY, 1.0f, 5), 127);
  EXPECT_EQ(scalar::quantize_element(q, -INFINITY, 1.0f, 5), -128);
  EXPECT_EQ(scalar::quantize_element(q, NAN, 1.0f, 5), 5);
  EXPECT_TRUE(scalar::is_clipped(q, NAN, 1.0f, 5));
}

TEST(IntegerCodes, WrapTheDifferenceToAFarZeroPoint) {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
  EXPECT_EQ(scalar::integer_decode(-2, 1.0, kMost), 2147483647.0);
  EXPECT_EQ(scalar::integer_decode(0, 1.0, kLeast), -2147483648.0);
  EXPECT_EQ(scalar::integer_decode(127, 1.0, kLeast), -2147483521.0);
}

TEST(PackedInt4, HoldsEveryPairOfCodes) {
  for (std::int32_t low = -8; low <= 7; ++low) {
    for (std::int32_t high = -8; high <= 7; ++high) {
      const std::uint8_t byte = scalar::pack_int4(low, high);
      EXPECT_EQ(scalar::unpack_int4_low(byte), low);
      EXPECT_EQ(scalar::unpack_int4_high(byte), high);
    }
  }
}

TEST(PackedInt4, HasTheEarlierElementInTheLowBits) {
  EXPECT_EQ(scalar::pack_int4(1, -1), 0xf1);
  EXPECT_EQ(scalar::pack_int4(-8, 7), 0x78);
  EXPECT_EQ(scalar::pack_int4(-3, 0), 0x0d);
}

}  // namespace
}  // namespace cuqat::test
