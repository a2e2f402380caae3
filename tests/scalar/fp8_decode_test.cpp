// All FP8 codes, to both compute types.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

#include "cuqat/scalar/fp8_codec.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

template <Format kFormat, typename C>
void expect_every_code_decodes(const SmallFloat& type) {
  for (std::uint32_t code = 0; code < 256; ++code) {
    const double expected = decode(type, code);
    const C actual = scalar::fp8_decode<kFormat, C>(static_cast<std::uint8_t>(code));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(actual)) << "code " << code;
    } else {
      EXPECT_EQ(static_cast<double>(actual), expected) << "code " << code;
      EXPECT_EQ(std::signbit(actual), code >= 128) << "code " << code;
    }
  }
}

TEST(Fp8Decode, GivesTheNumberOfEveryE4M3Code) {
  expect_every_code_decodes<Format::kE4M3, float>(kE4M3);
  expect_every_code_decodes<Format::kE4M3, double>(kE4M3);
}

TEST(Fp8Decode, GivesTheNumberOfEveryE5M2Code) {
  expect_every_code_decodes<Format::kE5M2, float>(kE5M2);
  expect_every_code_decodes<Format::kE5M2, double>(kE5M2);
}

TEST(Fp8Decode, GivesTheNamedNumbersOfTheSpecification) {
  EXPECT_EQ((scalar::fp8_decode<Format::kE4M3, float>(0x7e)), 448.0f);
  EXPECT_EQ((scalar::fp8_decode<Format::kE4M3, float>(0x08)), 0x1p-6f);
  EXPECT_EQ((scalar::fp8_decode<Format::kE4M3, float>(0x01)), 0x1p-9f);
  EXPECT_EQ((scalar::fp8_decode<Format::kE4M3, float>(0xb8)), -1.0f);
  EXPECT_TRUE(std::isnan(scalar::fp8_decode<Format::kE4M3, float>(0xff)));
  EXPECT_EQ((scalar::fp8_decode<Format::kE5M2, float>(0x7b)), 57344.0f);
  EXPECT_EQ((scalar::fp8_decode<Format::kE5M2, float>(0x04)), 0x1p-14f);
  EXPECT_EQ((scalar::fp8_decode<Format::kE5M2, float>(0x01)), 0x1p-16f);
  EXPECT_EQ((scalar::fp8_decode<Format::kE5M2, float>(0xfc)), -INFINITY);
  EXPECT_TRUE(std::isnan(scalar::fp8_decode<Format::kE5M2, float>(0x7e)));
}

template <Format kFormat, typename C>
void expect_codes_survive(const SmallFloat& type) {
  for (const bool saturate : {false, true}) {
    for (std::uint32_t code = 0; code < 256; ++code) {
      if (saturate && (code & 0x7f) == largest_pattern(type) + 1 && type.ieee) continue;
      const C value = scalar::fp8_decode<kFormat, C>(static_cast<std::uint8_t>(code));
      const std::uint32_t expected = std::isnan(value) ? (code & 0x80) | nan_pattern(type) : code;
      EXPECT_EQ(scalar::fp8_encode<kFormat>(value, saturate), expected);
    }
  }
}

TEST(Fp8Decode, IsUndoneByEncode) {
  expect_codes_survive<Format::kE4M3, float>(kE4M3);
  expect_codes_survive<Format::kE4M3, double>(kE4M3);
  expect_codes_survive<Format::kE5M2, float>(kE5M2);
  expect_codes_survive<Format::kE5M2, double>(kE5M2);
}

}  // namespace
}  // namespace cuqat::test
