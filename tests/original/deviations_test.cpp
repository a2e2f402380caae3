// One test for each row of docs/deviations.md: the original's value and cuqat's. cuqat's values are
// worked out by hand from docs/numerics.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "cuqat/original.hpp"

namespace cuqat {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr Quantizer kInt8{.format = Format::kInt8};
constexpr Quantizer kInt4{.format = Format::kInt4};
constexpr Quantizer kE4M3{.format = Format::kE4M3};

Quantizer narrow(Quantizer quantizer) {
  quantizer.narrow_range = true;
  return quantizer;
}

QuantParams params_of(const Quantizer& quantizer, ScaleZeroPoint answer) {
  return {.quantizer = quantizer,
          .granularity = Granularity::tensor(),
          .scale = {answer.scale},
          .zero_point = {answer.zero_point}};
}

double fake_quantized(double x, const QuantParams& params) {
  double y = 0.0;
  fake_quantize(ConstTensorView(&x, Shape{1}), params, TensorView(&y, Shape{1}));
  return y;
}

std::uint8_t code_of(double x, const QuantParams& params) {
  std::uint8_t code = 0;
  quantize(ConstTensorView(&x, Shape{1}), params, std::span(&code, 1));
  return code;
}

original::ScaleZeroPoint original_min_max(const std::vector<double>& data) {
  original::CalibrationCollector collector;
  collector.observe(data);
  return collector.min_max_scale();
}

CalibrationResult calibrated(const std::vector<double>& data, const CalibrationOptions& options) {
  const ConstTensorView batch(data);
  return calibrate({&batch, 1}, Granularity::tensor(), {&options, 1}).front();
}

TEST(Deviation01, EntropyDependsOnTheData) {
  // 128 bins of width 1, alternately of 10 and 90 elements, and one outlier at the far end.
  std::vector<double> bulk{2048.0};
  for (int bin = 0; bin < 128; ++bin) {
    bulk.insert(bulk.end(), bin % 2 == 0 ? 10u : 90u, bin + 0.5);
  }
  const std::vector<double> two_values{0.5, 2048.0};

  const original::ScaleZeroPoint half_of_range{1023.75 / 255.0, -128};
  for (const auto& data : {bulk, two_values}) {
    original::CalibrationCollector collector;
    collector.observe(data);
    EXPECT_EQ(collector.kl_divergence_scale(), half_of_range);
  }

  // Only the candidates of 128 and 2048 bins end in a bin that is not empty. The first costs one
  // folded outlier (KL < 1e-6), the second merges bins of 10 and of 90 (KL > 0.3).
  const CalibrationOptions entropy{.method = CalibMethod::kEntropy};
  EXPECT_EQ(calibrated(bulk, entropy).params.scale, std::vector{128.0 / 127.0});
  // The lower value is in the first bin, which takes its empty neighbour's count.
  EXPECT_EQ(calibrated(two_values, entropy).params.scale, std::vector{2048.0 / 127.0});
}

TEST(Deviation02, E4M3CarriesTiesToEvenAndKeepsZeroSignAndNaN) {
  const QuantParams unscaled = params_of(kE4M3, {1.0, 0});

  EXPECT_EQ(original::quantize_fp8(1.97), 1.875);
  EXPECT_EQ(fake_quantized(1.97, unscaled), 2.0);

  // Half way between 1 and 1.125.
  EXPECT_EQ(original::quantize_fp8(1.0625), 1.125);
  EXPECT_EQ(fake_quantized(1.0625, unscaled), 1.0);

  // Nearer to 2^-6 than to 7 * 2^-9.
  EXPECT_EQ(original::quantize_fp8(0.0155), 7 * 0x1p-9);
  EXPECT_EQ(fake_quantized(0.0155, unscaled), 0x1p-6);

  EXPECT_FALSE(std::signbit(original::quantize_fp8(-0.0)));
  EXPECT_TRUE(std::signbit(fake_quantized(-0.0, unscaled)));

  EXPECT_EQ(original::quantize_fp8(kNaN), 0.0);
  EXPECT_TRUE(std::isnan(fake_quantized(kNaN, unscaled)));
}

TEST(Deviation03, Int4ScaleSpansItsOwnCodes) {
  const original::ScaleZeroPoint eight_bit = original_min_max({-1.0, 2.0});
  EXPECT_EQ(eight_bit, (original::ScaleZeroPoint{3.0 / 255.0, -43}));
  // Codes 127 and -128 are wanted, 7 and -8 given.
  EXPECT_EQ(original::quantize_int4(2.0, 3.0 / 255.0, -43), 50 * (3.0 / 255.0));
  EXPECT_EQ(original::quantize_int4(-1.0, 3.0 / 255.0, -43), 35 * (3.0 / 255.0));

  const ScaleZeroPoint affine = range_to_scale({-1.0, 2.0}, kInt4, false, DType::kF64);
  EXPECT_EQ(affine, (ScaleZeroPoint{0.2, -3}));
  EXPECT_EQ(fake_quantized(2.0, params_of(kInt4, affine)), 2.0);
  EXPECT_EQ(fake_quantized(-1.0, params_of(kInt4, affine)), -1.0);

  const ScaleZeroPoint symmetric = range_to_scale({-1.0, 1.75}, narrow(kInt4), true, DType::kF64);
  EXPECT_EQ(symmetric, (ScaleZeroPoint{0.25, 0}));
}

TEST(Deviation04, PerChannelAndSymmetricAreHonoured) {
  const std::vector<double> weights{-0.25, 127.0 / 128.0, 0.5, 0.0,  //
                                    -51.0, 204.0,         3.0, 0.0};
  const ConstTensorView view(weights.data(), Shape{2, 4});
  for (const bool per_channel : {false, true}) {
    for (const bool symmetric : {false, true}) {
      const auto result = original::quantize_model_weights(
          weights, {original::QuantBits::kInt8, per_channel, symmetric});
      EXPECT_EQ(result.scale, 1.0);
      EXPECT_EQ(result.zero_point, -77);
    }
  }

  const auto affine = quantize_model_weights(view, {.symmetric = false});
  EXPECT_EQ(affine.params.scale, std::vector{1.0});
  EXPECT_EQ(affine.params.zero_point, std::vector{-77});

  const auto symmetric = quantize_model_weights(view, {.symmetric = true});
  EXPECT_EQ(symmetric.params.scale, std::vector{204.0 / 127.0});

  const auto channels = quantize_model_weights(view, {.per_channel = true, .symmetric = true});
  EXPECT_EQ(channels.params.scale, (std::vector{1.0 / 128.0, 204.0 / 127.0}));
  EXPECT_EQ(channels.params.granularity, Granularity::channel(0));
  // -0.25 * 128 = -32 and -51 * 127 / 204 = -31.75.
  EXPECT_EQ(static_cast<std::int8_t>(channels.codes[0]), -32);
  EXPECT_EQ(static_cast<std::int8_t>(channels.codes[4]), -32);
}

TEST(Deviation05, EveryFormatHasItsOwnCodes) {
  original::QatLayer layer(1, 1, {original::QuantBits::kInt4, false, true});
  layer.weights = {3.0};
  layer.weight_scale = 1.0;
  layer.activation_scale = 1.0;
  EXPECT_EQ(layer.forward_train(std::vector{100.0}), std::vector{7.0 * 3.0});
  EXPECT_EQ(layer.forward_infer(std::vector{100.0}), std::vector{100.0 * 3.0});
  layer.config.bits = original::QuantBits::kFp8;
  EXPECT_EQ(layer.forward_train(std::vector{0.3}), std::vector{0.3125 * 3.0});
  EXPECT_EQ(layer.forward_infer(std::vector{0.3}), std::vector{0.0});

  EXPECT_EQ(code_of(100.0, params_of(kInt8, {1.0, 0})), 100);
  EXPECT_EQ(code_of(100.0, params_of(kInt4, {1.0, 0})), 7);
  // 0.3125 is 2^(5 - 7) * (1 + 2 / 8).
  EXPECT_EQ(code_of(0.3, params_of(kE4M3, {1.0, 0})), 5 << 3 | 2);
}

TEST(Deviation06, AConstantIsRepresentable) {
  const std::vector<double> constant(10, 300.0);
  const original::ScaleZeroPoint one = original_min_max(constant);
  EXPECT_EQ(one, (original::ScaleZeroPoint{1.0, 0}));
  EXPECT_EQ(original::quantize_int8(300.0, one.scale, one.zero_point), 127.0);

  const CalibrationResult affine = calibrated(constant, {.symmetric = false});
  EXPECT_EQ(affine.params.scale, std::vector{300.0 / 255.0});
  EXPECT_EQ(affine.params.zero_point, std::vector{-128});
  EXPECT_EQ(fake_quantized(300.0, affine.params), 300.0);

  const CalibrationResult symmetric = calibrated(constant, {.symmetric = true});
  EXPECT_EQ(symmetric.params.scale, std::vector{300.0 / 127.0});
  EXPECT_EQ(fake_quantized(300.0, symmetric.params), 300.0);
}

TEST(Deviation07, ZeroIsRepresentable) {
  const std::vector<double> data{1000.0, 1255.0};
  const original::ScaleZeroPoint far = original_min_max(data);
  EXPECT_EQ(far, (original::ScaleZeroPoint{1.0, -1128}));
  EXPECT_EQ(original::quantize_int8(0.0, far.scale, far.zero_point), 1000.0);

  const CalibrationResult widened = calibrated(data, {.symmetric = false});
  EXPECT_EQ(widened.low, std::vector{0.0});
  EXPECT_EQ(widened.params.scale, std::vector{1255.0 / 255.0});
  EXPECT_EQ(widened.params.zero_point, std::vector{-128});
  EXPECT_EQ(fake_quantized(0.0, widened.params), 0.0);
}

TEST(Deviation08, EveryElementCounts) {
  std::vector<double> early(100'000);
  for (std::size_t i = 0; i < early.size(); i += 2) early[i] = 1.0;
  const std::vector<double> late(100'000, 3.0);

  original::CalibrationCollector original_collector;
  original_collector.observe(early);
  original_collector.observe(late);
  EXPECT_EQ(original_collector.percentile_scale(99.0),
            (original::ScaleZeroPoint{1.0 / 255.0, -128}));
  const auto histogram = original_collector.histogram();
  EXPECT_EQ(std::accumulate(histogram.begin(), histogram.end(), 0.0), 100'000.0);

  CalibrationCollector collector(DType::kF64);
  collector.observe(early);
  collector.observe(late);
  EXPECT_EQ(collector.statistics().finite(), 200'000);
  // Ranks 1 000 and 199 000 of 200 000.
  const CalibrationResult result = collector.compute(
      {.method = CalibMethod::kPercentile, .percentile = 99.0, .symmetric = false});
  EXPECT_EQ(result.params.scale, std::vector{3.0 / 255.0});
  EXPECT_EQ(result.params.zero_point, std::vector{-128});
}

TEST(Deviation09, BatchesHaveGradients) {
  const original::QatLayer layer(4, 1);
  const std::vector<double> x{0.25, -3.0, 200.0,  -300.0,  //
                              2.5,  -2.5, 127.25, kNaN};
  EXPECT_THROW((void)layer.forward_train(x), InvalidArgument);

  const Shape two_rows{2, 4};
  const QuantParams params = params_of(kInt8, {1.0, 0});
  std::vector<double> y(x.size());
  fake_quantize({x.data(), two_rows}, params, {y.data(), two_rows});
  EXPECT_TRUE(std::isnan(y.back()));
  y.pop_back();
  EXPECT_EQ(y, (std::vector{0.0, -3.0, 127.0, -128.0, 2.0, -2.0, 127.0}));

  const std::vector<double> dy{1.0, 2.0, 3.0, 4.0, 8.0, 16.0, 32.0, 64.0};
  const std::vector<double> straight_through{1.0, 2.0, 0.0, 0.0, 8.0, 16.0, 32.0, 0.0};
  std::vector<double> dx(x.size());
  fake_quantize_backward({dy.data(), two_rows}, {x.data(), two_rows}, params,
                         {dx.data(), two_rows});
  EXPECT_EQ(dx, straight_through);

  double dscale = 0.0;
  double dzero_point = 0.0;
  std::fill(dx.begin(), dx.end(), -1.0);
  learned_scale_backward({dy.data(), two_rows}, {x.data(), two_rows}, params, {dx.data(), two_rows},
                         {.dscale = {&dscale, 1}, .dzero_point = {&dzero_point, 1}}, 1.0);
  EXPECT_EQ(dx, straight_through);
  EXPECT_EQ(dscale, -0.25 * 1 + 127.0 * 3 - 128.0 * 4 - 0.5 * 8 + 0.5 * 16 - 0.25 * 32);
  EXPECT_EQ(dzero_point, -(3.0 + 4.0));
}

TEST(Deviation10, TheZeroPointBelongsToTheScale) {
  constexpr double kStep = 0x1p-50;
  const original::ScaleZeroPoint disagreeing = original_min_max({-100 * kStep, 155 * kStep});
  // -28 is the zero point of 2^-50.
  EXPECT_EQ(disagreeing, (original::ScaleZeroPoint{1e-12, -28}));
  EXPECT_EQ(original::quantize_int8(155 * kStep, 1e-12, -28), 0.0);

  const ScaleZeroPoint agreeing =
      range_to_scale({-100 * kStep, 155 * kStep}, kInt8, false, DType::kF64);
  EXPECT_EQ(agreeing, (ScaleZeroPoint{kStep, -28}));
  EXPECT_EQ(fake_quantized(155 * kStep, params_of(kInt8, agreeing)), 155 * kStep);

  // Raised to the smallest normal number first; 2^-1022 is one step then, not 127.5.
  const ScaleZeroPoint raised = range_to_scale({-0x1p-1022, 0x1p-1022}, kInt8, false, DType::kF64);
  EXPECT_EQ(raised, (ScaleZeroPoint{0x1p-1022, -127}));
  EXPECT_EQ(fake_quantized(0x1p-1022, params_of(kInt8, raised)), 0x1p-1022);
}

TEST(Deviation11, TheZeroPointNeverWraps) {
  const original::ScaleZeroPoint wrapped = original_min_max({1e12, 1e12 + 1});
  // -128 - (2^31 - 1), modulo 2^32.
  EXPECT_EQ(wrapped, (original::ScaleZeroPoint{1.0 / 255.0, 2147483521}));
  EXPECT_EQ(original::quantize_int8(1e12, wrapped.scale, wrapped.zero_point),
            (127 - 2147483521) * (1.0 / 255.0));

  const ScaleZeroPoint inside = range_to_scale({1e12, 1e12 + 1}, kInt8, false, DType::kF64);
  EXPECT_EQ(inside, (ScaleZeroPoint{(1e12 + 1) / 255.0, -128}));
  EXPECT_EQ(fake_quantized(1e12, params_of(kInt8, inside)), 255.0 * ((1e12 + 1) / 255.0));
}

TEST(Deviation12, InitialWeightsHaveBothSigns) {
  const original::QatLayer layer(64, 32);
  EXPECT_EQ(std::count_if(layer.weights.begin(), layer.weights.end(),
                          [](double weight) { return weight < 0.0; }),
            64 * 32);

  std::vector<float> weights(64 * 32);
  xavier_uniform(0, 64, 32, weights);
  // The published first block of Philox4x32-10 for counter and key 0; the bound is 1 / 4.
  const std::array words{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u};
  for (std::size_t i = 0; i < words.size(); ++i) {
    EXPECT_EQ(weights[i], 0.25f - static_cast<float>(words[i] >> 8) * 0x1p-25f) << i;
  }
  // 2 048 fair coins: 1 024 +- 6 standard deviations of 22.6.
  const auto num_positive =
      std::count_if(weights.begin(), weights.end(), [](float weight) { return weight > 0.0f; });
  EXPECT_GT(num_positive, 888);
  EXPECT_LT(num_positive, 1160);
}

// No defect of the original's quantizers but a choice: what the rounding convention cannot share.
TEST(DeviationNote, NaNStaysNaNWithTheOriginalRounding) {
  EXPECT_EQ(original::quantize_int8(kNaN, 0.5, 3), -1.5);
  const Quantizer quantizer{.format = Format::kInt8, .rounding = Rounding::kOriginal};
  const QuantParams params = params_of(quantizer, {0.5, 3});
  EXPECT_TRUE(std::isnan(fake_quantized(kNaN, params)));
  EXPECT_EQ(code_of(kNaN, params), 3);

  // All else agrees: here a tie, which goes away from zero after the zero point is added.
  EXPECT_EQ(original::quantize_int8(0.25, 0.5, 3), 0.5);
  EXPECT_EQ(fake_quantized(0.25, params), 0.5);
}

}  // namespace
}  // namespace cuqat
