// bf16 and f16 to f32 and back.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>

#include "cuqat/scalar/half.hpp"
#include "scalar/sweep.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

template <typename T>
void expect_every_pattern_there_and_back(const SmallFloat& type) {
  for (std::uint32_t pattern = 0; pattern < 0x1'0000; ++pattern) {
    const T element{static_cast<std::uint16_t>(pattern)};
    const float value = scalar::to_f32(element);
    const double expected = decode(type, pattern);
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(value)) << "pattern " << pattern;
      EXPECT_EQ(scalar::store_compute<T>(value).bits, nan_pattern(type)) << "pattern " << pattern;
    } else {
      EXPECT_EQ(static_cast<double>(value), expected) << "pattern " << pattern;
      EXPECT_EQ(scalar::store_compute<T>(value).bits, pattern);
    }
  }
}

TEST(Bfloat16, SurvivesF32) { expect_every_pattern_there_and_back<bfloat16>(kBFloat16); }
TEST(Float16, SurvivesF32) { expect_every_pattern_there_and_back<float16>(kBinary16); }

/// Midway between two neighbours, and the f32 numbers on both sides.
template <typename T>
void expect_rounding_between_neighbours(const SmallFloat& type) {
  for (std::uint32_t pattern = 0; pattern <= largest_pattern(type); ++pattern) {
    const double low = decode(type, pattern);
    const double step = pattern == largest_pattern(type) ? low - decode(type, pattern - 1)
                                                         : decode(type, pattern + 1) - low;
    const auto middle = static_cast<float>(low + step / 2);
    for (const float value :
         {middle, std::nextafter(middle, 0.0f), std::nextafter(middle, INFINITY), -middle,
          std::nextafter(-middle, 0.0f), std::nextafter(-middle, -INFINITY)}) {
      ASSERT_EQ(scalar::store_compute<T>(value).bits, encode(type, value))
          << std::hexfloat << value;
    }
  }
}

TEST(Bfloat16, IsRoundedToNearestEven) { expect_rounding_between_neighbours<bfloat16>(kBFloat16); }
TEST(Float16, IsRoundedToNearestEven) { expect_rounding_between_neighbours<float16>(kBinary16); }

TEST(Bfloat16, IsTheUpperHalfOfAnF32) {
  for (std::uint32_t pattern = 0; pattern < 0x1'0000; ++pattern) {
    const bfloat16 element{static_cast<std::uint16_t>(pattern)};
    EXPECT_EQ(scalar::to_bits(scalar::to_f32(element)), pattern << 16);
  }
}

#if defined(__FLT16_MAX__) && defined(__x86_64__)
TEST(Float16, IsRoundedAsTheCompilersOwnType) {
  announce_stride();
  // Every 61st pattern (prime): a conversion by the compiler's library takes time.
  for (std::uint64_t bits = 0; bits <= 0xffff'ffffu; bits += 61 * kStride) {
    const float value = scalar::from_bits(static_cast<std::uint32_t>(bits));
    const auto theirs = static_cast<_Float16>(value);
    std::uint16_t pattern = 0;
    std::memcpy(&pattern, &theirs, sizeof(pattern));
    const std::uint16_t expected = std::isnan(value) ? 0x7e00 : pattern;
    ASSERT_EQ(scalar::to_float16(value).bits, expected) << std::hexfloat << value;
  }
}
#endif

TEST(StoreCompute, GivesThePositiveQuietNaN) {
  for (const std::uint32_t bits : {0x7f80'0001u, 0xff80'0001u, 0x7fff'ffffu, 0xffc0'0000u}) {
    const float value = scalar::from_bits(bits);
    EXPECT_EQ(scalar::to_bits(scalar::store_compute<float>(value)), 0x7fc0'0000u);
    EXPECT_EQ(scalar::store_compute<bfloat16>(value).bits, 0x7fc0);
    EXPECT_EQ(scalar::store_compute<float16>(value).bits, 0x7e00);
  }
  const double negative = scalar::from_bits(std::uint64_t{0xfff0'0000'0000'0001u});
  EXPECT_EQ(scalar::to_bits(scalar::store_compute<double>(negative)), 0x7ff8'0000'0000'0000u);
}

TEST(Float16, OverflowsFrom65520On) {
  EXPECT_EQ(scalar::to_float16(65504.0f).bits, 0x7bff);
  EXPECT_EQ(scalar::to_float16(65519.996f).bits, 0x7bff);
  EXPECT_EQ(scalar::to_float16(65520.0f).bits, 0x7c00);
  EXPECT_EQ(scalar::to_float16(-65520.0f).bits, 0xfc00);
  EXPECT_EQ(scalar::to_float16(0x1p-25f).bits, 0x0000);
  EXPECT_EQ(scalar::to_float16(0x1.000002p-25f).bits, 0x0001);
}

}  // namespace
}  // namespace cuqat::test
