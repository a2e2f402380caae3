// FP8 from f64 directly, from every 16-bit number, and the named edges.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "cuqat/scalar/element.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

std::uint32_t expected_code(const SmallFloat& type, double value, bool saturate) {
  const std::uint32_t sign = std::signbit(value) ? 0x80u : 0u;
  if (std::isnan(value)) return nan_pattern(type) | sign;
  const std::uint32_t rest = encode(type, std::fabs(value));
  return sign | (rest > largest_pattern(type) && saturate ? largest_pattern(type) : rest);
}

template <Format kFormat>
void expect_codes_of(const SmallFloat& type, double value) {
  for (const bool saturate : {true, false}) {
    for (const double x : {value, -value}) {
      const std::uint32_t expected = expected_code(type, x, saturate);
      EXPECT_EQ(scalar::fp8_encode<kFormat>(x, saturate), expected)
          << std::hexfloat << x << " saturate " << saturate;
      const double rounded = scalar::fp8_round<kFormat>(x, saturate);
      const double number = decode(type, expected);
      EXPECT_TRUE(std::isnan(number) ? std::isnan(rounded)
                                     : scalar::to_bits(rounded) == scalar::to_bits(number))
          << std::hexfloat << x << " saturate " << saturate << " became " << rounded;
    }
  }
}

/// The midpoint of every two neighbours, and what is just beside it in f64. Rounded to f32 first,
/// the neighbours would become ties.
template <Format kFormat>
void expect_direct_rounding(const SmallFloat& type) {
  for (std::uint32_t code = 0; code < largest_pattern(type); ++code) {
    const double middle = (decode(type, code) + decode(type, code + 1)) / 2;
    for (const double factor : {1.0, 1 + 0x1p-40, 1 - 0x1p-40, 1 + 0x1p-52, 1 - 0x1p-53}) {
      expect_codes_of<kFormat>(type, middle * factor);
      expect_codes_of<kFormat>(type, decode(type, code) * factor);
    }
  }
}

TEST(Fp8FromF64, IsRoundedOnceForE4M3) { expect_direct_rounding<Format::kE4M3>(kE4M3); }
TEST(Fp8FromF64, IsRoundedOnceForE5M2) { expect_direct_rounding<Format::kE5M2>(kE5M2); }

TEST(Fp8FromF64, DoesNotPassThroughF32) {
  // 1.0625 is midway between 1 (0x38, even) and 1.125 (0x39); as f32 all three are 1.0625.
  EXPECT_EQ(scalar::fp8_encode<Format::kE4M3>(1.0625, true), 0x38);
  EXPECT_EQ(scalar::fp8_encode<Format::kE4M3>(1.0625 + 0x1p-40, true), 0x39);
  EXPECT_EQ(scalar::fp8_encode<Format::kE4M3>(1.0625 - 0x1p-40, true), 0x38);
  // 1.1875 is midway between 0x39 and 0x3a (even).
  EXPECT_EQ(scalar::fp8_encode<Format::kE4M3>(1.1875, true), 0x3a);
  EXPECT_EQ(scalar::fp8_encode<Format::kE4M3>(1.1875 - 0x1p-40, true), 0x39);
  EXPECT_EQ(scalar::fp8_encode<Format::kE5M2>(1.125 + 0x1p-40, true), 0x3d);
  EXPECT_EQ(scalar::fp8_encode<Format::kE5M2>(1.125, true), 0x3c);
}

TEST(Fp8FromF64, RoundsTheEndsOfTheF64Range) {
  const double least = std::numeric_limits<double>::denorm_min();
  for (const double value :
       {0.0, least, std::numeric_limits<double>::min(), 0x1p-10, 0x1p-17,
        std::nextafter(0x1p-10, 1), std::nextafter(0x1p-17, 1), std::numeric_limits<double>::max(),
        std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    expect_codes_of<Format::kE4M3>(kE4M3, value);
    expect_codes_of<Format::kE5M2>(kE5M2, value);
  }
}

template <typename T, Format kFormat>
void expect_every_pattern_encodes(const SmallFloat& from, const SmallFloat& to) {
  for (std::uint32_t pattern = 0; pattern < 0x1'0000; ++pattern) {
    const T element{static_cast<std::uint16_t>(pattern)};
    double value = decode(from, pattern);
    if (std::isnan(value)) value = std::copysign(value, (pattern & 0x8000) != 0 ? -1.0 : 1.0);
    for (const bool saturate : {true, false}) {
      ASSERT_EQ(scalar::fp8_encode<kFormat>(scalar::to_f32(element), saturate),
                expected_code(to, value, saturate))
          << "pattern " << pattern;
    }
  }
}

TEST(Fp8FromHalf, IsRightForEveryBfloat16) {
  expect_every_pattern_encodes<bfloat16, Format::kE4M3>(kBFloat16, kE4M3);
  expect_every_pattern_encodes<bfloat16, Format::kE5M2>(kBFloat16, kE5M2);
}

TEST(Fp8FromHalf, IsRightForEveryFloat16) {
  expect_every_pattern_encodes<float16, Format::kE4M3>(kBinary16, kE4M3);
  expect_every_pattern_encodes<float16, Format::kE5M2>(kBinary16, kE5M2);
}

struct Edge {
  const char* name;
  float value;
  int e4m3_saturating, e4m3, e5m2_saturating, e5m2;
};

TEST(Fp8Encode, GivesTheCodesOfTheNamedEdges) {
  const Edge edges[] = {{"zero", 0.0f, 0x00, 0x00, 0x00, 0x00},
                        {"negative zero", -0.0f, 0x80, 0x80, 0x80, 0x80},
                        {"one", 1.0f, 0x38, 0x38, 0x3c, 0x3c},
                        {"largest E4M3", 448.0f, 0x7e, 0x7e, 0x5f, 0x5f},
                        {"tie over E4M3", 464.0f, 0x7e, 0x7e, 0x5f, 0x5f},
                        {"past that tie", 464.00003f, 0x7e, 0x7f, 0x5f, 0x5f},
                        {"largest E5M2", 57344.0f, 0x7e, 0x7f, 0x7b, 0x7b},
                        {"below the tie over E5M2", 61439.996f, 0x7e, 0x7f, 0x7b, 0x7b},
                        {"tie over E5M2", 61440.0f, 0x7e, 0x7f, 0x7b, 0x7c},
                        {"minus the largest float", -3.4028235e38f, 0xfe, 0xff, 0xfb, 0xfc},
                        {"infinity", INFINITY, 0x7e, 0x7f, 0x7b, 0x7c},
                        {"minus infinity", -INFINITY, 0xfe, 0xff, 0xfb, 0xfc},
                        {"NaN", NAN, 0x7f, 0x7f, 0x7e, 0x7e},
                        {"negative NaN", -NAN, 0xff, 0xff, 0xfe, 0xfe},
                        {"half the least E4M3", 0x1p-10f, 0x00, 0x00, 0x14, 0x14},
                        {"more than half the least E4M3", 0x1.000002p-10f, 0x01, 0x01, 0x14, 0x14},
                        {"one and a half of the least E4M3", 0x1.8p-9f, 0x02, 0x02, 0x1a, 0x1a},
                        {"half the least E5M2", 0x1p-17f, 0x00, 0x00, 0x00, 0x00},
                        {"more than half the least E5M2", 0x1.000002p-17f, 0x00, 0x00, 0x01, 0x01},
                        {"carry into the exponent", 1.95f, 0x40, 0x40, 0x40, 0x40}};
  for (const Edge& edge : edges) {
    EXPECT_EQ(scalar::fp8_encode<Format::kE4M3>(edge.value, true), edge.e4m3_saturating)
        << edge.name;
    EXPECT_EQ(scalar::fp8_encode<Format::kE4M3>(edge.value, false), edge.e4m3) << edge.name;
    EXPECT_EQ(scalar::fp8_encode<Format::kE5M2>(edge.value, true), edge.e5m2_saturating)
        << edge.name;
    EXPECT_EQ(scalar::fp8_encode<Format::kE5M2>(edge.value, false), edge.e5m2) << edge.name;
  }
}

TEST(FakeQuantizeElement, PassesXThroughForAScaleOfZero) {
  const auto fp8 = scalar::make_element_quantizer<scalar::ElementQuantizer<Format::kE4M3>>(
      {.format = Format::kE4M3});
  const auto int8 = scalar::make_element_quantizer<scalar::ElementQuantizer<Format::kInt8>>({});
  for (const float x : {0.0f, 1.5f, -3e38f, INFINITY}) {
    EXPECT_EQ(scalar::fake_quantize_element(fp8, x, 0.0f, 0).value, x);
    EXPECT_FALSE(scalar::fake_quantize_element(fp8, x, 0.0f, 0).clipped);
    EXPECT_EQ(scalar::fake_quantize_element(int8, x, 0.0f, 3).value, x);
    EXPECT_FALSE(scalar::fake_quantize_element(int8, x, 0.0f, 3).clipped);
  }
}

}  // namespace
}  // namespace cuqat::test
