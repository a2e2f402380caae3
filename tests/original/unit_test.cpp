// The original's own unit tests, and the edges of its arithmetic that they do not reach.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numeric>

#include "cuqat/original.hpp"

namespace cuqat::original {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

/// first * step, (first + 1) * step, ... `count` of them.
std::vector<double> multiples(int first, int count, double step) {
  std::vector<double> values;
  for (int i = first; i < first + count; ++i) values.push_back(static_cast<double>(i) * step);
  return values;
}

TEST(OriginalInt8, ClampsToItsCodes) {
  EXPECT_LE(quantize_int8(10'000.0, 1.0, 0), 127.0);
  EXPECT_GE(quantize_int8(-10'000.0, 1.0, 0), -128.0);
}

TEST(OriginalInt8, IsWithinHalfAStep) {
  EXPECT_LE(std::abs(quantize_int8(3.14, 0.1, 0) - 3.14), 0.1 * 0.5 + 1e-9);
}

TEST(OriginalInt4, ClampsToItsCodes) {
  EXPECT_LE(quantize_int4(1'000.0, 1.0, 0), 7.0);
  EXPECT_GE(quantize_int4(-1'000.0, 1.0, 0), -8.0);
}

TEST(OriginalFp8, ClampsToItsLargestNumber) {
  EXPECT_LE(quantize_fp8(1'000'000.0), 448.0);
  EXPECT_GE(quantize_fp8(-1'000'000.0), -448.0);
}

TEST(OriginalFp8, KeepsZero) { EXPECT_EQ(quantize_fp8(0.0), 0.0); }

TEST(OriginalQatLayer, TrainsWithFiniteOutputs) {
  QatLayer layer(4, 2);
  layer.calibrate_from_data(multiples(0, 10, 0.1));
  layer.activation_scale = 0.01;
  layer.weight_scale = 0.01;
  const auto out = layer.forward_train(std::vector{0.1, 0.2, 0.3, 0.4});
  ASSERT_EQ(out.size(), 2u);
  EXPECT_TRUE(std::isfinite(out[0]));
  EXPECT_TRUE(std::isfinite(out[1]));
}

TEST(OriginalCollector, MinMaxCoversTheData) {
  CalibrationCollector collector;
  collector.observe(multiples(-100, 201, 1.0));
  const double scale = collector.min_max_scale().scale;
  EXPECT_GT(scale, 0.0);
  EXPECT_GE(scale * 255.0, 199.0);
}

TEST(OriginalCollector, PercentileLeavesAnOutlierOut) {
  std::vector<double> data;
  for (int i = 0; i < 1000; ++i) data.push_back(static_cast<double>(i) / 1000.0);
  data.push_back(1'000'000.0);
  CalibrationCollector collector;
  collector.observe(data);
  EXPECT_LT(collector.percentile_scale(99.0).scale, 100.0);
}

TEST(OriginalCollector, KlScaleIsPositive) {
  CalibrationCollector collector;
  collector.observe(multiples(0, 500, 0.01));
  EXPECT_GT(collector.kl_divergence_scale().scale, 0.0);
}

TEST(OriginalQatLayer, GivesOneOutputForEachFeature) {
  const QatLayer layer(8, 4);
  EXPECT_EQ(layer.forward_train(std::vector<double>(8, 1.0)).size(), 4u);
}

TEST(OriginalWeights, ComeBackWithinAStep) {
  const auto weights = multiples(0, 16, 0.1);
  const auto [codes, scale, zero_point] = quantize_model_weights(weights, {});
  const auto back = dequantize_weights(codes, scale, zero_point);
  ASSERT_EQ(back.size(), weights.size());
  for (std::size_t i = 0; i < weights.size(); ++i) {
    EXPECT_LT(std::abs(weights[i] - back[i]), scale + 1e-9) << "weight " << i;
  }
}

TEST(OriginalQatConfig, IsInt8PerTensorSymmetric) {
  const QatConfig config;
  EXPECT_EQ(config.bits, QuantBits::kInt8);
  EXPECT_FALSE(config.per_channel);
  EXPECT_TRUE(config.symmetric);
}

TEST(OriginalCalibrateModel, GivesOneSpecForEachLayer) {
  std::vector<double> sines;
  for (int i = 0; i < 32; ++i) sines.push_back(std::sin(static_cast<double>(i)));
  const std::vector<LayerActivations> layers = {
      {"layer1", {multiples(0, 32, 0.1), multiples(0, 32, -0.05)}},
      {"layer2", {sines}},
  };
  const auto specs = calibrate_model(layers);
  ASSERT_EQ(specs.size(), 2u);
  EXPECT_EQ(specs[0].layer_name, "layer1");
  EXPECT_EQ(specs[1].layer_name, "layer2");
  EXPECT_GT(specs[0].scale, 0.0);
  EXPECT_GT(specs[1].scale, 0.0);
}

// Not the original's, but what its language guarantees.

TEST(OriginalInt8, PassesXThroughAtScaleZero) {
  EXPECT_EQ(quantize_int8(1e300, 0.0, 7), 1e300);
  EXPECT_TRUE(std::signbit(quantize_int4(-0.0, -0.0, 7)));
}

TEST(OriginalInt8, RoundsTiesAwayFromZero) {
  EXPECT_EQ(quantize_int8(0.5, 1.0, 0), 1.0);
  EXPECT_EQ(quantize_int8(-0.5, 1.0, 0), -1.0);
  EXPECT_EQ(quantize_int8(2.5, 1.0, 0), 3.0);
}

TEST(OriginalInt8, GivesNaNTheCodeZero) {
  EXPECT_EQ(quantize_int8(kNaN, 1.0, 5), -5.0);
  EXPECT_EQ(quantize_int4(kNaN, 1.0, -5), 5.0);
}

TEST(OriginalInt8, WrapsTheDifferenceToTheZeroPoint) {
  constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
  // 127 + 2^31 wraps to 127 - 2^31.
  EXPECT_EQ(quantize_int8(kInfinity, 1.0, kLeast), -2147483521.0);
}

TEST(OriginalCollector, GivesANaNPercentileTheDefault) {
  CalibrationCollector collector;
  collector.observe(std::vector{1.0, 2.0, 3.0});
  EXPECT_EQ(collector.percentile_scale(kNaN), (ScaleZeroPoint{1.0, 0}));
  EXPECT_EQ(collector.percentile_scale(1000.0), collector.min_max_scale());
}

TEST(OriginalCollector, SurvivesARangeThatOverflows) {
  constexpr double kLargest = std::numeric_limits<double>::max();
  CalibrationCollector collector;
  collector.observe(std::vector{-kLargest, kLargest});
  EXPECT_EQ(collector.min_max_scale(), (ScaleZeroPoint{kInfinity, -128}));
  EXPECT_EQ(collector.histogram()[0], 2.0);
}

TEST(OriginalCollector, SkipsWhatIsNotFinite) {
  CalibrationCollector collector;
  collector.observe(std::vector{kNaN, 1.0, kInfinity, 2.0, -kInfinity});
  EXPECT_EQ(collector.n_elements(), 2u);
  EXPECT_EQ(collector.min_val(), 1.0);
  EXPECT_EQ(collector.max_val(), 2.0);
}

TEST(OriginalQatLayer, KeepsItsActivationScaleWithoutActivations) {
  QatLayer layer(4, 2);
  layer.activation_scale = 0.5;
  layer.activation_zero_point = 3;
  layer.calibrate_from_data({});
  EXPECT_EQ(layer.activation_scale, 0.5);
  EXPECT_EQ(layer.activation_zero_point, 3);
  EXPECT_NE(layer.weight_scale, 1.0 / 127.0);
}

TEST(OriginalQatLayer, WrapsItsZeroPointTerms) {
  constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
  QatLayer layer(4, 1);
  layer.weight_zero_point = kLeast;
  layer.activation_zero_point = kLeast;
  layer.weight_scale = 1.0;
  layer.activation_scale = 1.0;
  layer.weights.assign(4, 0.0);
  // Codes are -128. Of (-128 + 2^31)^2 * 4 the term 4 * 2^62 is a multiple of 2^64 and vanishes.
  const double expected = 4.0 * (128.0 * 128.0 - 2.0 * 128.0 * 0x1p31);
  EXPECT_EQ(layer.forward_infer(std::vector<double>(4, 0.0)), std::vector{expected});
}

template <typename Function>
std::string message_of(Function&& function) {
  try {
    function();
  } catch (const InvalidArgument& error) {
    return error.what();
  }
  return "nothing thrown";
}

TEST(OriginalQatLayer, RefusesAnInputOfAnotherLength) {
  const QatLayer layer(4, 2);
  for (const std::size_t length : {0u, 3u, 5u, 8u}) {
    const std::vector<double> x(length, 1.0);
    const std::string message = "Expected 4 inputs, got " + std::to_string(length);
    EXPECT_EQ(message_of([&] { (void)layer.forward_train(x); }), message);
    EXPECT_EQ(message_of([&] { (void)layer.forward_infer(x); }), message);
  }
}

TEST(OriginalQatLayer, RefusesWeightsAndBiasThatAreTooShort) {
  const std::vector<double> x(4, 1.0);
  QatLayer layer(4, 2);
  layer.weights.pop_back();
  EXPECT_EQ(message_of([&] { (void)layer.forward_train(x); }),
            "Expected 2 rows of 4 weights, got 7 weights");
  EXPECT_THROW((void)layer.forward_infer(x), InvalidArgument);
  layer.weights.resize(9);
  EXPECT_EQ(layer.forward_infer(x).size(), 2u);
  layer.bias.pop_back();
  EXPECT_EQ(message_of([&] { (void)layer.forward_train(x); }),
            "Expected a bias of at least 2 elements, got 1");
  EXPECT_THROW((void)layer.forward_infer(x), InvalidArgument);
}

TEST(OriginalQatLayer, AcceptsNoFeatures) {
  const QatLayer no_inputs(0, 3);
  EXPECT_EQ(no_inputs.forward_train({}), std::vector<double>(3, 0.0));
  EXPECT_EQ(no_inputs.forward_infer({}), std::vector<double>(3, 0.0));
  const QatLayer no_outputs(3, 0);
  EXPECT_TRUE(no_outputs.forward_infer(std::vector<double>(3, 1.0)).empty());
}

}  // namespace
}  // namespace cuqat::original
