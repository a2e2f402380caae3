// Weights: codes and scales by min-max, and back; initial weights.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"
#include "cuqat/weights.hpp"

namespace cuqat::test {
namespace {

std::vector<double> values_of(const QuantizedWeights& weights, DType dtype) {
  std::vector<std::byte> bytes(static_cast<std::size_t>(weights.shape.count()) *
                               dtype_bytes(dtype));
  dequantize_weights(weights, TensorView(static_cast<void*>(bytes.data()), dtype, weights.shape));
  return Numbers::from_bytes(dtype, bytes).values();
}

void expect_min_max_codes(const Numbers& x, const Shape& shape, const QatConfig& config) {
  SCOPED_TRACE(testing::Message() << to_string(x.dtype()) << ' ' << to_string(config.format)
                                  << (config.per_channel ? " per channel" : "")
                                  << (config.symmetric ? " symmetric" : " affine"));
  const QuantizedWeights weights = quantize_model_weights(x.view(shape), config);
  const Granularity granularity =
      config.per_channel ? Granularity::channel(0) : Granularity::tensor();
  const CalibrationResult expected = calibrate_one(
      x.view(shape), {.format = config.format, .symmetric = config.symmetric}, granularity);
  EXPECT_EQ(weights.params.quantizer, expected.params.quantizer);
  EXPECT_EQ(weights.params.granularity, granularity);
  EXPECT_EQ(weights.params.scale, expected.params.scale);
  EXPECT_EQ(weights.params.zero_point, expected.params.zero_point);
  EXPECT_EQ(weights.shape, shape);
  EXPECT_EQ(weights.dtype, x.dtype());
  EXPECT_EQ(weights.layout == CodeLayout::kNibbles, config.format == Format::kInt4);
  EXPECT_EQ(weights.codes.size(), codes_bytes(shape.count(), weights.layout));

  // Dequantized to a dtype that holds the compute type, the element rule's values come back.
  const DType wide = x.dtype() == DType::kF64 ? DType::kF64 : DType::kF32;
  const std::vector<double> y = values_of(weights, wide);
  const std::size_t row = x.size() / static_cast<std::size_t>(std::max<std::int64_t>(shape[0], 1));
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t scale = config.per_channel ? i / row : 0;
    const int zero = weights.params.zero_point.empty() ? 0 : weights.params.zero_point[scale];
    const OracleElement element = oracle_fake_quantize(
        x.values()[i], weights.params.quantizer, {weights.params.scale[scale], zero}, x.dtype());
    EXPECT_EQ(y[i], element.y) << "element " << i;
    EXPECT_FALSE(element.clipped) << "element " << i;
  }
}

TEST(Weights, AreMinMaxCodesInEveryFormat) {
  for (const DType dtype : kAllDTypes) {
    const Numbers x(dtype, heavy_tailed_sample(7 * 33, 61));
    for (const Format format : kAllFormats) {
      for (const bool per_channel : {false, true}) {
        for (const bool symmetric : {true, false}) {
          if (!symmetric && !is_integer(format)) continue;
          expect_min_max_codes(x, Shape{7, 3, 11}, {format, per_channel, symmetric});
          expect_min_max_codes(x, Shape{231}, {format, per_channel, symmetric});
        }
      }
    }
  }
}

TEST(Weights, ComeBackInTheirOwnDType) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    const Numbers x(dtype, normal_sample(64, 62));
    const QuantizedWeights weights = quantize_model_weights(x.view(Shape{8, 8}));
    const std::vector<double> wide = values_of(weights, DType::kF32);
    EXPECT_EQ(values_of(weights, dtype), Numbers(dtype, wide).values());
  }
}

TEST(Weights, AreTheSameOnEveryBackendAndNumberOfThreads) {
  const Numbers x(DType::kF32, normal_sample(65 * 33, 63));
  for (const Format format : kAllFormats) {
    const QatConfig config{format, true, true};
    const QuantizedWeights expected =
        quantize_model_weights(x.view(Shape{65, 33}), config, {Backend::named("reference"), 1});
    for (const int num_threads : {1, 2, 5}) {
      const QuantizedWeights actual = quantize_model_weights(x.view(Shape{65, 33}), config,
                                                             {Backend::named("cpu"), num_threads});
      EXPECT_EQ(actual.codes, expected.codes);
      EXPECT_EQ(actual.params.scale, expected.params.scale);
    }
  }
}

TEST(Weights, OfNothingAndOfZerosHaveScaleOne) {
  const QuantizedWeights empty = quantize_model_weights(ConstTensorView{});
  EXPECT_TRUE(empty.codes.empty());
  EXPECT_EQ(empty.params.scale, std::vector<double>{1.0});
  const std::vector<float> zeros(6, 0.0F);
  const QuantizedWeights weights = quantize_model_weights(
      ConstTensorView(zeros.data(), Shape{2, 3}), {Format::kInt4, true, false});
  EXPECT_EQ(weights.params.scale, (std::vector<double>{1.0, 1.0}));
  EXPECT_EQ(weights.codes, std::vector<std::uint8_t>(3, 0));
}

TEST(Weights, RefuseWhatDoesNotFit) {
  const std::vector<float> x{1.0F, 2.0F};
  EXPECT_THROW(quantize_model_weights(x, {Format::kE4M3, false, false}), InvalidArgument);
  EXPECT_THROW(quantize_model_weights(x, {Format::kE5M2, true, false}), InvalidArgument);
  EXPECT_THROW(quantize_model_weights(ConstTensorView(x.data(), Shape{}), {Format::kInt8, true}),
               InvalidArgument);
  const QuantizedWeights weights = quantize_model_weights(x);
  std::vector<float> three(3);
  std::vector<double> f64(2);
  std::vector<float> two(2);
  EXPECT_THROW(dequantize_weights(weights, three), InvalidArgument);
  EXPECT_THROW(dequantize_weights(weights, f64), InvalidArgument);
  EXPECT_THROW(dequantize_weights(weights, TensorView(two.data(), Shape{2, 1})), InvalidArgument);
}

TEST(XavierUniform, HasBothSignsAndTheBoundOfItsFans) {
  std::vector<float> weights(20000);
  xavier_uniform(7, 64, 32, weights);
  const double bound = std::sqrt(6.0 / 96.0);
  double sum = 0.0;
  double squares = 0.0;
  std::int64_t positive = 0;
  double least = bound;
  double largest = -bound;
  for (const float weight : weights) {
    const double x = weight;
    sum += x;
    squares += x * x;
    positive += x > 0.0 ? 1 : 0;
    least = std::min(least, x);
    largest = std::max(largest, x);
  }
  EXPECT_GT(least, -bound);
  EXPECT_LE(largest, bound);
  EXPECT_LT(least, -0.999 * bound);
  EXPECT_GT(largest, 0.999 * bound);
  // Five standard deviations of each.
  EXPECT_NEAR(sum / 20000.0, 0.0, 5.0 * bound / std::sqrt(3.0 * 20000.0));
  EXPECT_NEAR(squares / 20000.0, bound * bound / 3.0,
              5.0 * bound * bound * std::sqrt(4.0 / 45.0 / 20000.0));
  EXPECT_NEAR(static_cast<double>(positive), 10000.0, 5.0 * std::sqrt(5000.0));
}

TEST(XavierUniform, DependsOnTheSeedAndTheIndexAlone) {
  std::vector<float> all(1001);
  xavier_uniform(42, 10, 20, all);
  std::vector<float> again(1001);
  xavier_uniform(42, 10, 20, again);
  EXPECT_EQ(all, again);
  for (const std::size_t size : {0U, 1U, 2U, 3U, 5U, 64U, 1000U}) {
    std::vector<float> some(size);
    xavier_uniform(42, 10, 20, some);
    EXPECT_TRUE(std::equal(some.begin(), some.end(), all.begin())) << size;
  }
  // A quarter of the fans doubles the bound, and every weight with it.
  std::vector<float> wide(1001);
  xavier_uniform(42, 5, 0, wide);
  std::vector<float> narrow(1001);
  xavier_uniform(42, 0, 20, narrow);
  for (std::size_t i = 0; i < wide.size(); ++i) ASSERT_FLOAT_EQ(wide[i], 2.0F * narrow[i]);
  std::vector<float> other(1001);
  xavier_uniform(43, 10, 20, other);
  EXPECT_NE(other, all);
  xavier_uniform(42 + (std::uint64_t{1} << 40), 10, 20, other);
  EXPECT_NE(other, all);
}

TEST(XavierUniform, RefusesFansThatAreNone) {
  std::vector<float> weights(3, 9.0F);
  EXPECT_THROW(xavier_uniform(1, 0, 0, weights), InvalidArgument);
  EXPECT_THROW(xavier_uniform(1, -1, 4, weights), InvalidArgument);
  EXPECT_THROW(xavier_uniform(1, 4, -1, weights), InvalidArgument);
  EXPECT_EQ(weights, std::vector<float>(3, 9.0F));
}

}  // namespace
}  // namespace cuqat::test
