// Tensors, codes, masks and gradients that do not fit each other, overlap or do not exist.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

constexpr float kUntouched = -77.0f;

/// Good arguments, each of which a test replaces by a bad one.
class TensorErrors : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(y_, std::vector<float>(6, kUntouched));
    EXPECT_EQ(codes_, std::vector<std::uint8_t>(6, 0xa5));
    EXPECT_EQ(mask_, std::vector<std::uint8_t>(1, 0xa5));
    EXPECT_EQ(dscale_, std::vector<double>(1, kUntouched));
    EXPECT_EQ(dzero_point_, std::vector<double>(1, kUntouched));
  }

  const QuantParams params_{};
  const std::vector<float> x_ = std::vector<float>(6, 1.0f);
  const std::vector<float> dy_ = std::vector<float>(6, 1.0f);
  std::vector<float> y_ = std::vector<float>(6, kUntouched);
  std::vector<std::uint8_t> codes_ = std::vector<std::uint8_t>(6, 0xa5);
  std::vector<std::uint8_t> mask_ = std::vector<std::uint8_t>(1, 0xa5);
  std::vector<double> dscale_{kUntouched};
  std::vector<double> dzero_point_{kUntouched};
};

TEST_F(TensorErrors, QuantizeRefusesAnotherNumberOfCodes) {
  expect_invalid([&] { quantize(x_, params_, std::span(codes_).first(5)); },
                 {"codes.size()", "is 5;", "be 6"});
}

TEST_F(TensorErrors, QuantizeRefusesNibblesOfInt8) {
  expect_invalid([&] { quantize(x_, params_, std::span(codes_).first(3), CodeLayout::kNibbles); },
                 {"layout", "kNibbles", "kBytes", "int8"});
}

TEST_F(TensorErrors, QuantizeRefusesNull) {
  const ConstTensorView null(nullptr, DType::kF32, Shape{6});
  expect_invalid([&] { quantize(null, params_, codes_); }, {"x.data()", "null", "[6]"});
}

TEST_F(TensorErrors, QuantizeRefusesMoreElementsThanMemoryHas) {
  constexpr std::int64_t kHuge = std::int64_t{1} << 61;
  const ConstTensorView huge(x_.data(), DType::kF64, Shape{kHuge});
  expect_invalid([&] { quantize(huge, params_, codes_); },
                 {"x.count()", std::to_string(kHuge), "at most 1152921504606846975 for F64"});
}

TEST_F(TensorErrors, QuantizeRefusesCodesInTheMemoryOfX) {
  std::vector<float> x(2);
  const std::span inside(reinterpret_cast<std::uint8_t*>(x.data()) + 5, 2);
  expect_invalid([&] { quantize(x, params_, inside); }, {"codes", "in memory", "apart from x"});
  EXPECT_EQ(x, std::vector<float>(2));
}

TEST_F(TensorErrors, QuantizeTransposedRefusesWhatIsNoMatrix) {
  expect_invalid([&] { quantize_transposed(x_, params_, {}, codes_); },
                 {"x.shape()", "is [6];", "of rank 2"});
  const ConstTensorView cube(x_.data(), Shape{1, 2, 3});
  expect_invalid([&] { quantize_transposed(cube, params_, {}, codes_); },
                 {"x.shape()", "is [1, 2, 3];", "of rank 2"});
}

TEST_F(TensorErrors, QuantizeTransposedRefusesAnotherNumberOfCodes) {
  const ConstTensorView matrix(x_.data(), Shape{2, 3});
  std::vector<std::uint8_t> other(6);
  expect_invalid([&] { quantize_transposed(matrix, params_, std::span(codes_).first(5), other); },
                 {"codes.size()", "is 5;", "be 6"});
  expect_invalid([&] { quantize_transposed(matrix, params_, codes_, {}); },
                 {"codes_transposed.size()", "is 0;", "be 6"});
}

TEST_F(TensorErrors, QuantizeTransposedRefusesCodesInMemoryThatItUses) {
  std::vector<float> memory(6);
  const ConstTensorView matrix(memory.data(), Shape{2, 3});
  const std::span inside(reinterpret_cast<std::uint8_t*>(memory.data()) + 18, 6);
  std::vector<std::uint8_t> other(9);
  expect_invalid([&] { quantize_transposed(matrix, params_, inside, codes_); },
                 {"codes", "apart from x"});
  expect_invalid([&] { quantize_transposed(matrix, params_, {}, inside); },
                 {"codes_transposed", "apart from x"});
  expect_invalid(
      [&] {
        quantize_transposed(matrix, params_, std::span(other).first(6),
                            std::span(other).subspan(3));
      },
      {"codes_transposed", "apart from codes"});
}

TEST_F(TensorErrors, DequantizeRefusesAnotherNumberOfCodes) {
  QuantParams int4;
  int4.quantizer.format = Format::kInt4;
  expect_invalid([&] { dequantize(codes_, int4, TensorView(y_), CodeLayout::kNibbles); },
                 {"codes.size()", "is 6;", "be 3"});
}

TEST_F(TensorErrors, DequantizeRefusesANullOutput) {
  const TensorView null(nullptr, DType::kF32, Shape{6});
  expect_invalid([&] { dequantize(codes_, params_, null); }, {"y.data()", "null", "[6]"});
}

TEST_F(TensorErrors, FakeQuantizeRefusesAnotherShape) {
  expect_invalid(
      [&] {
        fake_quantize(x_, params_, TensorView(y_.data(), Shape{2, 3}));
      },
      {"y.shape()", "[2, 3]", "[6]"});
}

TEST_F(TensorErrors, FakeQuantizeRefusesAnotherDtype) {
  expect_invalid([&] { fake_quantize(x_, params_, TensorView(y_.data(), DType::kBF16, Shape{6})); },
                 {"y.dtype()", "BF16", "F32"});
}

TEST_F(TensorErrors, FakeQuantizeRefusesAMaskOfAnotherSize) {
  std::vector<std::uint8_t> mask(2, 0xa5);
  expect_invalid([&] { fake_quantize(x_, params_, y_, mask); },
                 {"clip_mask.size()", "is 2;", "be 1"});
  EXPECT_EQ(mask, std::vector<std::uint8_t>(2, 0xa5));
}

TEST_F(TensorErrors, FakeQuantizeRefusesAPartialOverlap) {
  std::vector<float> memory(7, kUntouched);
  expect_invalid(
      [&] {
        fake_quantize(ConstTensorView(memory.data(), Shape{6}), params_,
                      TensorView(memory.data() + 1, Shape{6}));
      },
      {"y", "in memory that x uses", "x itself or apart from it"});
  EXPECT_EQ(memory, std::vector<float>(7, kUntouched));
}

TEST_F(TensorErrors, FakeQuantizeWorksInPlace) {
  std::vector<float> memory{0.4f, 1.6f};
  fake_quantize(memory, params_, memory);
  EXPECT_EQ(memory, (std::vector<float>{0.0f, 2.0f}));
}

TEST_F(TensorErrors, BackwardRefusesGradientsUnlikeX) {
  expect_invalid(
      [&] {
        fake_quantize_backward(ConstTensorView(dy_.data(), Shape{5}), x_, params_, TensorView(y_));
      },
      {"dy.shape()", "[5]", "[6]"});
  expect_invalid(
      [&] {
        fake_quantize_backward(dy_, x_, params_, TensorView(y_.data(), DType::kF16, Shape{6}));
      },
      {"dx.dtype()", "F16", "F32"});
}

TEST_F(TensorErrors, BackwardFromMaskRefusesWhatDoesNotMatch) {
  const std::vector<std::uint8_t> mask(2);
  expect_invalid([&] { fake_quantize_backward(dy_, mask, TensorView(y_)); },
                 {"clip_mask.size()", "is 2;", "be 1"});
  expect_invalid([&] { fake_quantize_backward(dy_, mask_, TensorView(y_.data(), Shape{3})); },
                 {"dx.shape()", "[3]", "[6]"});
  expect_invalid(
      [&] { fake_quantize_backward(dy_, mask_, TensorView(y_.data(), DType::kF16, Shape{6})); },
      {"dx.dtype()", "F16", "F32"});
}

TEST_F(TensorErrors, LearnedScaleRefusesAnotherNumberOfGradients) {
  std::vector<double> two(2, kUntouched);
  expect_invalid(
      [&] {
        learned_scale_backward(dy_, x_, params_, y_, {two, {}});
      },
      {"gradient.dscale.size()", "is 2;", "be 1"});
  expect_invalid(
      [&] {
        learned_scale_backward(dy_, x_, params_, y_, {dscale_, two});
      },
      {"gradient.dzero_point.size()", "is 2;", "be 1"});
  EXPECT_EQ(two, std::vector<double>(2, kUntouched));
}

TEST_F(TensorErrors, LearnedScaleRefusesAZeroPointGradientOfFp8) {
  QuantParams fp8;
  fp8.quantizer.format = Format::kE4M3;
  expect_invalid(
      [&] {
        learned_scale_backward(dy_, x_, fp8, y_, {dscale_, dzero_point_});
      },
      {"gradient.dzero_point.size()", "is 1;", "be 0"});
}

TEST_F(TensorErrors, LearnedScaleRefusesAGradientScaleThatIsNotFinite) {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  expect_invalid(
      [&] {
        learned_scale_backward(dy_, x_, params_, y_, {dscale_, {}}, kNaN);
      },
      {"gradient_scale", "nan", "finite"});
}

TEST_F(TensorErrors, QuantizationErrorRefusesABadAmax) {
  const std::vector<double> two(2);
  const std::vector<double> negative{-1.0};
  const std::vector<double> infinite{std::numeric_limits<double>::infinity()};
  expect_invalid([&] { quantization_error(x_, params_, two); }, {"amax.size()", "is 2;", "be 1"});
  expect_invalid([&] { quantization_error(x_, params_, negative); },
                 {"amax[0]", "is -1;", "at least 0"});
  expect_invalid([&] { quantization_error(x_, params_, infinite); },
                 {"amax[0]", "is inf;", "finite"});
}

TEST_F(TensorErrors, PackedSizesRefuseNegativeCounts) {
  expect_invalid([] { codes_bytes(-1, CodeLayout::kBytes); }, {"count", "is -1;", "at least 0"});
  expect_invalid([] { clip_mask_bytes(-3); }, {"count", "is -3;", "at least 0"});
}

TEST(PackedSizes, RoundUpWithoutOverflow) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_EQ(codes_bytes(7, CodeLayout::kBytes), 7u);
  EXPECT_EQ(codes_bytes(7, CodeLayout::kNibbles), 4u);
  EXPECT_EQ(codes_bytes(kMost, CodeLayout::kNibbles), std::size_t{1} << 62);
  EXPECT_EQ(clip_mask_bytes(0), 0u);
  EXPECT_EQ(clip_mask_bytes(8), 1u);
  EXPECT_EQ(clip_mask_bytes(9), 2u);
  EXPECT_EQ(clip_mask_bytes(kMost), std::size_t{1} << 60);
}

}  // namespace
}  // namespace cuqat::test
