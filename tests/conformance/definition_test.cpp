// Named cases with the answers written down from docs/numerics.md, on every backend: what keeps the
// reference honest.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "conformance/flat.hpp"

namespace cuqat::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNaN = std::nan("");

class Definition : public testing::TestWithParam<Table> {};

INSTANTIATE_TEST_SUITE_P(EveryBackend, Definition, testing::ValuesIn(all_tables()),
                         [](const auto& param) { return test_name(param.param); });

constexpr Quantizer kInt8{};
constexpr Quantizer kInt8Narrow{.narrow_range = true};
constexpr Quantizer kInt4{.format = Format::kInt4};
constexpr Quantizer kInt4Narrow{.format = Format::kInt4, .narrow_range = true};
constexpr Quantizer kInt8Original{.rounding = Rounding::kOriginal};
constexpr Quantizer kFp8E4M3{.format = Format::kE4M3};
constexpr Quantizer kFp8E4M3Open{.format = Format::kE4M3, .saturate = false};
constexpr Quantizer kFp8E5M2{.format = Format::kE5M2};
constexpr Quantizer kFp8E5M2Open{.format = Format::kE5M2, .saturate = false};

struct IntegerCase {
  const char* name;
  Quantizer quantizer;
  double scale;
  std::int32_t zero_point;
  double x;
  int code;
  double y;
  bool clipped;
};

const IntegerCase kIntegerCases[] = {
    {"tie down to even", kInt8, 1, 0, 0.5, 0, 0, false},
    {"tie up to even", kInt8, 1, 0, 1.5, 2, 2, false},
    {"negative tie to even", kInt8, 1, 0, -2.5, -2, -2, false},
    {"below a tie", kInt8, 1, 0, 0.49999997, 0, 0, false},
    {"scaled", kInt8, 0.5, 0, 3.1, 6, 3, false},
    {"zero point", kInt8, 0.5, 10, 3.1, 16, 3, false},
    {"tie before the zero point", kInt8, 1, 3, 0.5, 3, 0, false},
    {"negative zero gives +0", kInt8, 1, 0, -0.0, 0, 0, false},
    {"negative that rounds to zero gives +0", kInt8, 1, 0, -0.25, 0, 0, false},
    {"top code", kInt8, 1, 0, 127, 127, 127, false},
    {"rounds into range", kInt8, 1, 0, 127.4, 127, 127, false},
    {"tie over the top", kInt8, 1, 0, 127.5, 127, 127, true},
    {"over the top", kInt8, 1, 0, 200, 127, 127, true},
    {"lowest code", kInt8, 1, 0, -128, -128, -128, false},
    {"tie below the lowest is in range", kInt8, 1, 0, -128.5, -128, -128, false},
    {"below the lowest", kInt8, 1, 0, -129, -128, -128, true},
    {"zero point shifts the clip", kInt8, 1, 100, 28, 127, 27, true},
    {"lowest zero point", kInt8, 1, -128, 255, 127, 255, false},
    {"narrow has no -128", kInt8Narrow, 1, 0, -128, -127, -127, true},
    {"narrow tie below", kInt8Narrow, 1, 0, -127.5, -127, -127, true},
    {"infinity saturates", kInt8, 1, 0, kInf, 127, 127, true},
    {"minus infinity saturates", kInt8, 1, 0, -kInf, -128, -128, true},
    {"NaN is the zero point", kInt8, 1, 7, kNaN, 7, kNaN, true},
    {"int4 top", kInt4, 1, 0, 7.5, 7, 7, true},
    {"int4 lowest", kInt4, 1, 0, -8.5, -8, -8, false},
    {"int4 narrow", kInt4Narrow, 1, 0, -8, -7, -7, true},
    {"int4 with zero point", kInt4, 2, -3, 5, -1, 4, false},
    {"int4 NaN", kInt4, 1, -3, kNaN, -3, kNaN, true},
    {"original tie away", kInt8Original, 1, 0, 0.5, 1, 1, false},
    {"original negative tie away", kInt8Original, 1, 0, -2.5, -3, -3, false},
    {"original adds the zero point first", kInt8Original, 1, 3, -0.5, 3, 0, false},
    {"original below a tie", kInt8Original, 1, 0, 0.49999997, 0, 0, false},
    {"original tie over the top", kInt8Original, 1, 0, 127.5, 127, 127, true},
    {"original tie below the lowest", kInt8Original, 1, 0, -128.5, -128, -128, true},
    {"original far zero point clips", kInt8Original, 1, 300, 0, 127, -173, true},
    {"original far zero point, NaN", kInt8Original, 1, 300, kNaN, 127, kNaN, true},
};

TEST_P(Definition, OfIntegerFormatsHolds) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const IntegerCase& c : kIntegerCases) {
      SCOPED_TRACE(std::string(c.name) + " as " + std::string(to_string(dtype)));
      const auto codes = quantize(GetParam(), dtype, c.quantizer, c.scale, c.zero_point, {c.x});
      EXPECT_EQ(static_cast<std::int8_t>(codes[0]), c.code);
      const auto result =
          fake_quantize(GetParam(), dtype, c.quantizer, c.scale, c.zero_point, {c.x});
      EXPECT_EQ(result.clipped[0], c.clipped);
      if (std::isnan(c.y)) {
        EXPECT_TRUE(std::isnan(result.y[0]));
      } else {
        EXPECT_EQ(result.y[0], c.y);
        EXPECT_FALSE(c.y == 0 && std::signbit(result.y[0])) << "-0";
      }
    }
  }
}

struct Fp8Case {
  const char* name;
  Quantizer quantizer;
  double scale;
  double x;
  int code;
  double y;
  bool clipped;
};

const Fp8Case kFp8Cases[] = {
    {"one", kFp8E4M3, 1, 1, 0x38, 1, false},
    {"negative zero keeps its sign", kFp8E4M3, 1, -0.0, 0x80, -0.0, false},
    {"tie to even", kFp8E4M3, 1, 1.0625, 0x38, 1, false},
    {"largest", kFp8E4M3, 1, 448, 0x7e, 448, false},
    {"tie over the largest", kFp8E4M3, 1, 464, 0x7e, 448, false},
    {"past it saturates", kFp8E4M3, 1, 465, 0x7e, 448, true},
    {"past it, open, is NaN", kFp8E4M3Open, 1, 465, 0x7f, kNaN, true},
    {"past it, open and negative", kFp8E4M3Open, 1, -465, 0xff, kNaN, true},
    {"tie over the largest, open", kFp8E4M3Open, 1, -464, 0xfe, -448, false},
    {"infinity saturates", kFp8E4M3, 1, -kInf, 0xfe, -448, true},
    {"infinity, open", kFp8E4M3Open, 1, kInf, 0x7f, kNaN, true},
    {"subnormal", kFp8E4M3, 1, 0x1p-9, 0x01, 0x1p-9, false},
    {"half the least is zero", kFp8E4M3, 1, -0x1p-10, 0x80, -0.0, false},
    {"scaled", kFp8E4M3, 0.5, 3, 0x4c, 3, false},
    {"scaled past the range", kFp8E4M3, 0.5, 300, 0x7e, 224, true},
    {"NaN", kFp8E4M3, 1, kNaN, 0x7f, kNaN, true},
    {"E5M2 one", kFp8E5M2, 1, 1, 0x3c, 1, false},
    {"E5M2 largest", kFp8E5M2, 1, 57344, 0x7b, 57344, false},
    {"E5M2 below the tie", kFp8E5M2, 1, 61439, 0x7b, 57344, false},
    {"E5M2 tie saturates", kFp8E5M2, 1, 61440, 0x7b, 57344, true},
    {"E5M2 tie, open, is infinite", kFp8E5M2Open, 1, 61440, 0x7c, kInf, true},
    {"E5M2 open and negative", kFp8E5M2Open, 1, -70000, 0xfc, -kInf, true},
    {"E5M2 infinity saturates", kFp8E5M2, 1, kInf, 0x7b, 57344, true},
    {"E5M2 least", kFp8E5M2, 1, 0x1p-16, 0x01, 0x1p-16, false},
    {"E5M2 half the least", kFp8E5M2, 1, 0x1p-17, 0x00, 0, false},
    {"E5M2 NaN", kFp8E5M2, 1, kNaN, 0x7e, kNaN, true},
};

TEST_P(Definition, OfFp8FormatsHolds) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const Fp8Case& c : kFp8Cases) {
      SCOPED_TRACE(std::string(c.name) + " as " + std::string(to_string(dtype)));
      EXPECT_EQ(quantize(GetParam(), dtype, c.quantizer, c.scale, 0, {c.x})[0], c.code);
      const auto result = fake_quantize(GetParam(), dtype, c.quantizer, c.scale, 0, {c.x});
      EXPECT_EQ(result.clipped[0], c.clipped);
      if (std::isnan(c.y)) {
        EXPECT_TRUE(std::isnan(result.y[0]));
      } else {
        EXPECT_EQ(result.y[0], c.y);
        EXPECT_EQ(std::signbit(result.y[0]), std::signbit(c.y));
      }
    }
  }
}

TEST_P(Definition, OfANaNIsThePositiveQuietOneInFakeQuantizeAndSignedInFp8Codes) {
  for (const Quantizer& q : {kInt8, kInt4, kFp8E4M3, kFp8E5M2}) {
    const std::vector<std::uint32_t> patterns = {0xff80'0001, 0x7fff'ffff, 0xffc0'0000};
    const Flat tensor(DType::kF32, 3, q, 1.0, 0);
    std::vector<std::uint32_t> y(3);
    GetParam()->fake_quantize(*tensor, patterns.data(), y.data(), nullptr);
    EXPECT_EQ(y, (std::vector<std::uint32_t>(3, 0x7fc0'0000)));
    if (is_integer(q.format)) continue;
    std::vector<std::uint8_t> codes(3);
    GetParam()->quantize(*tensor, patterns.data(), codes.data(), CodeLayout::kBytes);
    const std::uint8_t nan = q.format == Format::kE4M3 ? 0x7f : 0x7e;
    const auto negative = static_cast<std::uint8_t>(nan | 0x80);
    EXPECT_EQ(codes, (std::vector<std::uint8_t>{negative, nan, negative}));
  }
}

TEST_P(Definition, OfF64ToFp8RoundsOnce) {
  const std::vector<double> x = {1.0625, 1.0625 + 0x1p-40, 1.1875 - 0x1p-40, 464 + 0x1p-40};
  EXPECT_EQ(quantize(GetParam(), DType::kF64, kFp8E4M3Open, 1, 0, x),
            (std::vector<std::uint8_t>{0x38, 0x39, 0x39, 0x7f}));
}

TEST_P(Definition, OfDequantizeTakesWholeBytes) {
  // An unpacked int4 code is its whole byte; -128 is taken also in the narrow range.
  EXPECT_EQ(dequantize(GetParam(), DType::kF32, kInt4, 0.5, 1, {0x7f, 0x80, 0xff}, 3),
            (std::vector<double>{63, -64.5, -1}));
  EXPECT_EQ(dequantize(GetParam(), DType::kF32, kInt8Narrow, 2, 0, {0x80}, 1),
            (std::vector<double>{-256}));
  // int32 wraps: -1 - INT_MIN is INT_MAX, as f64.
  EXPECT_EQ(dequantize(GetParam(), DType::kF64, kInt8Original, 1,
                       std::numeric_limits<std::int32_t>::min(), {0xff, 0x00}, 2),
            (std::vector<double>{2147483647.0, -2147483648.0}));
  EXPECT_EQ(dequantize(GetParam(), DType::kF32, kFp8E5M2, 2, 0, {0x7c, 0xfc, 0x3c}, 3),
            (std::vector<double>{kInf, -kInf, 2}));
}

TEST_P(Definition, OfPackedInt4PutsTheEarlierElementLow) {
  const std::vector<double> x = {1, -1, -8, 7, 3};
  const std::vector<std::uint8_t> packed = {0xf1, 0x78, 0x03};
  EXPECT_EQ(quantize(GetParam(), DType::kF32, kInt4, 1, 0, x, CodeLayout::kNibbles), packed);
  EXPECT_EQ(dequantize(GetParam(), DType::kF32, kInt4, 1, 0, packed, 5, CodeLayout::kNibbles), x);
}

TEST_P(Definition, OfTransposedCodesPutsColumnsOneAfterAnother) {
  const std::vector<float> x = {1, 2, -3, 4, 5, 200};
  const std::vector<float> scale = {1, 2, 1};  // a column each
  const std::vector<std::int32_t> zero_point = {0, 1, 0};
  detail::ScaledTensor tensor;
  tensor.shape = Shape{2, 3};
  tensor.granularity = Granularity::channel(1);
  tensor.scale = scale.data();
  tensor.zero_point = zero_point.data();
  tensor.num_scales = 3;
  std::vector<std::uint8_t> codes(6), transposed(6);
  GetParam()->quantize_transposed(tensor, x.data(), codes.data(), transposed.data());
  EXPECT_EQ(codes, (std::vector<std::uint8_t>{1, 2, 0xfd, 4, 3, 127}));
  EXPECT_EQ(transposed, (std::vector<std::uint8_t>{1, 4, 2, 3, 0xfd, 127}));
}

TEST_P(Definition, OfRoundingToTheElementTypeIsNearestEven) {
  // 0.1f * 3 in f32 is 0.3; the nearest bf16 is 0x3e9a, the nearest f16 0x34cd.
  const double tenth = static_cast<double>(0.1f);
  EXPECT_EQ(fake_quantize(GetParam(), DType::kBF16, kInt8, tenth, 0, {0.3}).y[0],
            decode(kBFloat16, 0x3e9a));
  EXPECT_EQ(fake_quantize(GetParam(), DType::kF16, kInt8, tenth, 0, {0.3}).y[0],
            decode(kBinary16, 0x34cd));
  // Code 66 is exact in f32, and too large for an f16.
  EXPECT_EQ(fake_quantize(GetParam(), DType::kF16, kInt8, 1000, 0, {65504}).y[0], kInf);
}

TEST_P(Definition, OfTheStraightThroughGradientIsPlusZeroWhereClipped) {
  const std::vector<double> x = {0, 200, 1, -200, kNaN, 127.4, kInf};
  const std::vector<double> dy = {-0.0, 5, kNaN, kNaN, 3, 1e-40, -kInf};
  const Flat tensor(DType::kF32, 7, kInt8, 1, 0);
  const Bytes input = to_bytes(DType::kF32, x);
  // A NaN with a payload must come through as it is.
  std::vector<float> gradient(dy.begin(), dy.end());
  gradient[2] = std::bit_cast<float>(0xffa1'2345u);
  Bytes dx(input.size());
  GetParam()->fake_quantize_backward(*tensor, gradient.data(), input.data(), dx.data());
  std::vector<std::uint32_t> bits(7);
  std::memcpy(bits.data(), dx.data(), dx.size());
  const std::uint32_t small = std::bit_cast<std::uint32_t>(static_cast<float>(1e-40));
  EXPECT_EQ(bits, (std::vector<std::uint32_t>{0x8000'0000, 0, 0xffa1'2345, 0, 0, small, 0}));
}

TEST_P(Definition, OfTheClipMaskPutsElementZeroInTheLowestBit) {
  const Flat tensor(DType::kF64, 10, kInt4, 1, 0);
  const std::vector<double> x = {9, 0, 0, -9, 0, 0, 0, kNaN, 0, 8};
  std::vector<double> y(10);
  std::vector<std::uint8_t> mask = {0xff, 0xff};
  GetParam()->fake_quantize(*tensor, x.data(), y.data(), mask.data());
  EXPECT_EQ(mask, (std::vector<std::uint8_t>{0x89, 0x02}));
}

}  // namespace
}  // namespace cuqat::test
