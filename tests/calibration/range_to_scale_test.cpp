// Scales and zero points of ranges, worked out by hand.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "cuqat/calibration.hpp"

namespace cuqat::test {
namespace {

constexpr Quantizer kInt8{.format = Format::kInt8};
constexpr Quantizer kInt4{.format = Format::kInt4};
constexpr Quantizer kE4M3{.format = Format::kE4M3};
constexpr Quantizer kE5M2{.format = Format::kE5M2};
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Case {
  const char* name;
  Range range;
  Quantizer quantizer;
  bool symmetric;
  ScaleZeroPoint expected;
};

TEST(RangeToScale, IsTheDefinitionInF64) {
  constexpr Quantizer kNarrow{.format = Format::kInt8, .narrow_range = true};
  constexpr double kLeast = std::numeric_limits<double>::min();
  const Case cases[] = {
      {"symmetric int8", {-3.0, 2.0}, kInt8, true, {3.0 / 127.0, 0}},
      {"symmetric, larger end is high", {-3.0, 4.0}, kInt8, true, {4.0 / 127.0, 0}},
      {"symmetric int4", {-3.0, 2.0}, kInt4, true, {3.0 / 7.0, 0}},
      {"symmetric E4M3", {-3.0, 2.0}, kE4M3, true, {3.0 / 448.0, 0}},
      {"symmetric E5M2", {-3.0, 2.0}, kE5M2, true, {3.0 / 57344.0, 0}},
      {"symmetric, one-sided", {5.0, 6.0}, kInt8, true, {6.0 / 127.0, 0}},
      {"affine int8", {-1.0, 2.0}, kInt8, false, {3.0 / 255.0, -43}},
      {"affine int4", {-1.0, 2.0}, kInt4, false, {3.0 / 15.0, -3}},
      {"affine, narrow codes", {-127.0, 127.0}, kNarrow, false, {1.0, 0}},
      {"affine, tie to even below", {-0.5, 254.5}, kInt8, false, {1.0, -128}},
      {"affine, tie to even above", {-1.5, 253.5}, kInt8, false, {1.0, -126}},
      {"affine, all positive", {5.0, 10.0}, kInt8, false, {10.0 / 255.0, -128}},
      {"affine, all negative", {-10.0, -5.0}, kInt8, false, {10.0 / 255.0, 127}},
      {"affine int4, all negative", {-30.0, -5.0}, kInt4, false, {2.0, 7}},
      {"symmetric, zero", {0.0, 0.0}, kInt8, true, {1.0, 0}},
      {"affine, zero", {0.0, 0.0}, kInt8, false, {1.0, 0}},
      {"affine, negative zero", {-0.0, -0.0}, kInt4, false, {1.0, 0}},
      {"E5M2, zero", {0.0, 0.0}, kE5M2, true, {1.0, 0}},
      {"symmetric, least subnormal", {0.0, 5e-324}, kInt8, true, {kLeast, 0}},
      {"affine, subnormal", {-1e-310, 1e-310}, kInt8, false, {kLeast, -128}},
      {"symmetric, 1e300", {-1e300, 1.0}, kInt8, true, {1e300 / 127.0, 0}},
  };
  for (const Case& c : cases) {
    const ScaleZeroPoint actual = range_to_scale(c.range, c.quantizer, c.symmetric, DType::kF64);
    EXPECT_EQ(actual.scale, c.expected.scale) << c.name;
    EXPECT_EQ(actual.zero_point, c.expected.zero_point) << c.name;
    EXPECT_FALSE(std::signbit(actual.scale)) << c.name;
  }
}

TEST(RangeToScale, RoundsEachStepToF32ForNarrowTypes) {
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    EXPECT_EQ(range_to_scale({-0.1, 0.2}, kInt8, true, dtype).scale,
              static_cast<double>(0.2F / 127.0F));
    const ScaleZeroPoint affine = range_to_scale({-0.1, 0.2}, kInt8, false, dtype);
    EXPECT_EQ(affine.scale, static_cast<double>((0.2F - -0.1F) / 255.0F));
    EXPECT_EQ(affine.zero_point, -43);
    EXPECT_EQ(range_to_scale({0.0, 1e-42}, kE4M3, true, dtype).scale, 0x1p-126);
    EXPECT_EQ(range_to_scale({-1e-42, 1e-42}, kInt8, false, dtype),
              (ScaleZeroPoint{0x1p-126, -128}));
    EXPECT_EQ(range_to_scale({-3e38, 1e38}, kInt8, true, dtype).scale,
              static_cast<double>(3e38F / 127.0F));
    // Nothing of it is left in f32.
    EXPECT_EQ(range_to_scale({-1e-60, 1e-60}, kInt8, true, dtype), (ScaleZeroPoint{1.0, 0}));
    EXPECT_EQ(range_to_scale({-1e-60, 1e-60}, kInt8, false, dtype), (ScaleZeroPoint{1.0, 0}));
  }
}

TEST(RangeToScale, AWidthPastTheLargestNumberIsNoInfinity) {
  const ScaleZeroPoint f32 = range_to_scale({-3e38, 1e38}, kInt8, false, DType::kF32);
  EXPECT_NEAR(f32.scale, 4e38 / 255.0, 4e38 / 255.0 * 0x1p-22);
  EXPECT_EQ(f32.scale, static_cast<double>(static_cast<float>(f32.scale)));
  EXPECT_EQ(f32.zero_point, 63);  // -128 + 191.25
  const ScaleZeroPoint int4 = range_to_scale({-1e38, 3e38}, kInt4, false, DType::kBF16);
  EXPECT_NEAR(int4.scale, 4e38 / 15.0, 4e38 / 15.0 * 0x1p-22);
  EXPECT_EQ(int4.zero_point, -4);  // -8 + 3.75
  const ScaleZeroPoint f64 = range_to_scale({-1.7e308, 1.7e307}, kInt8, false, DType::kF64);
  EXPECT_NEAR(f64.scale, 1.7e308 / 255.0 * 1.1, 1e294);
  EXPECT_EQ(f64.zero_point, 104);  // -128 + 231.8
}

TEST(RangeToScale, EveryCodeOfTheWidestRangesIsFinite) {
  constexpr auto kMax = std::numeric_limits<float>::max();
  for (const Quantizer& quantizer : {kInt8, kInt4, kE4M3, kE5M2}) {
    for (const float low : {-kMax, -0.99F * kMax, -0.5F * kMax, 0.0F}) {
      for (const bool symmetric : {true, false}) {
        if (!symmetric && !is_integer(quantizer.format)) continue;
        const ScaleZeroPoint params =
            range_to_scale({static_cast<double>(low), kMax}, quantizer, symmetric, DType::kF32);
        const auto scale = static_cast<float>(params.scale);
        for (const int code : {qmin(quantizer), qmax(quantizer)}) {
          EXPECT_TRUE(std::isfinite(static_cast<float>(code - params.zero_point) * scale))
              << to_string(quantizer.format) << " " << low << " " << symmetric << " " << code;
        }
      }
    }
  }
}

TEST(RangeToScale, RefusesWhatIsNoRange) {
  const double nan = std::nan("");
  for (const Range range : {Range{nan, 1.0}, Range{0.0, nan}, Range{-kInfinity, 0.0},
                            Range{0.0, kInfinity}, Range{1.0, 0.5}}) {
    for (const bool symmetric : {true, false}) {
      EXPECT_THROW(range_to_scale(range, kInt8, symmetric, DType::kF64), InvalidArgument);
      EXPECT_THROW(range_to_scale(range, kInt4, symmetric, DType::kBF16), InvalidArgument);
    }
  }
  EXPECT_THROW(range_to_scale({-1.0, 1.0}, kE4M3, false, DType::kF32), InvalidArgument);
  EXPECT_THROW(range_to_scale({-1.0, 1.0}, kE5M2, false, DType::kF32), InvalidArgument);
  // Not finite in the compute type.
  EXPECT_THROW(range_to_scale({-1.0, 1e300}, kInt8, true, DType::kF32), InvalidArgument);
}

}  // namespace
}  // namespace cuqat::test
