// Weights, scales and what is kept between calls: when quantized weights are made anew, which
// scales follow the weights, and what a Saved stands for.
#include <gtest/gtest.h>

#include <cstdint>
#include <utility>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kIn = 19;
constexpr std::int64_t kOut = 7;

void expect_params(const QuantParams& found, const QuantParams& expected) {
  EXPECT_EQ(found.quantizer, expected.quantizer);
  EXPECT_EQ(found.granularity, expected.granularity);
  EXPECT_EQ(found.scale, expected.scale);
  const std::vector<std::int32_t> zeros(expected.scale.size(), 0);
  EXPECT_EQ(found.zero_point.empty() ? zeros : found.zero_point,
            expected.zero_point.empty() ? zeros : expected.zero_point);
}

QuantParams calibrated(ConstTensorView data, const Granularity& granularity,
                       const CalibrationOptions& options) {
  return calibrate({&data, 1}, granularity, {&options, 1}).front().params;
}

QatLayerConfig config_of(bool learned) {
  QatLayerConfig config;
  config.weight.symmetric = false;
  config.learn_weight_scale = learned;
  config.learn_activation_scale = learned;
  return config;
}

TEST(NewLayers, HaveXaviersWeightsAndNoBias) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const std::uint64_t seed : {0u, 7u}) {
      QatLayerConfig config;
      config.weight_dtype = dtype;
      const QatLayer layer(kIn, kOut, config, seed);
      std::vector<float> expected(kIn * kOut);
      xavier_uniform(seed, kIn, kOut, expected);
      EXPECT_EQ(values_of(layer.weight()), std::vector<double>(expected.begin(), expected.end()));
      EXPECT_EQ(values_of(layer.bias()), std::vector<double>(kOut, 0.0));
      EXPECT_EQ(layer.weight().shape(), (Shape{kOut, kIn}));
      EXPECT_EQ(layer.bias().shape(), Shape{kOut});
      EXPECT_EQ(layer.weight().dtype(), dtype);
      EXPECT_EQ(layer.bias().dtype(), dtype);
      EXPECT_EQ(layer.in_features(), kIn);
      EXPECT_EQ(layer.out_features(), kOut);
      EXPECT_FALSE(layer.is_calibrated());
    }
  }
}

TEST(Calibration, ChoosesWhatTheCalibratorChooses) {
  for (const DType dtype : kDTypes) {
    for (const CalibMethod method : {CalibMethod::kMinMax, CalibMethod::kPercentile,
                                     CalibMethod::kEntropy, CalibMethod::kMse}) {
      for (const Format format : {Format::kInt8, Format::kInt4, Format::kE4M3}) {
        LayerCase of = layer_case(options_of(format), Granularity::channel(0), options_of(format),
                                  QatProduct::kNumbers, dtype);
        of.config.weight.method = method;
        of.config.activation.method = method;
        of.config.activation.percentile = 97.5;
        if (is_integer(format)) of.config.activation.symmetric = false;
        QatLayer layer(kIn, kOut, of.config, 3);
        const Numbers first = normal_numbers(dtype, Shape{40, kIn}, 1.0, 1, 0.5);
        const Numbers none(dtype, Shape{0, kIn});
        const Numbers second = normal_numbers(dtype, Shape{3, kIn}, 2.0, 2);
        const ConstTensorView batches[] = {first.view(), none.view(), second.view()};
        layer.calibrate_from_data(batches);
        EXPECT_TRUE(layer.is_calibrated());
        std::vector<double> all = first.values();
        for (const double value : second.values()) all.push_back(value);
        const Numbers together(dtype, Shape{43, kIn}, all);
        expect_params(layer.activation_params(),
                      calibrated(together.view(), {}, of.config.activation));
        expect_params(layer.weight_params(),
                      calibrated(layer.weight(), Granularity::channel(0), of.config.weight));
      }
    }
  }
}

TEST(WeightScales, ThatAreNotLearnedFollowTheWeights) {
  QatLayer layer = some_layer(config_of(false), DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const QuantParams before = layer.weight_params();
  const QuantParams of_x = layer.activation_params();
  trained(layer, x);
  expect_params(layer.weight_params(), before);
  fill(layer.change_weight(), normal_values(kIn * kOut, 2.0, 40));
  const QuantParams after = layer.weight_params();
  EXPECT_NE(after.scale, before.scale);
  expect_params(after, calibrated(layer.weight(), Granularity::channel(0), layer.config().weight));
  expect_params(layer.activation_params(), of_x);

  // The caller's hold until the weights change.
  QuantParams own = after;
  for (double& scale : own.scale) scale *= 1.5;
  for (double& scale : own.scale) scale = static_cast<float>(scale);  // which it is kept as
  layer.set_weight_params(own);
  expect_params(layer.weight_params(), own);
  trained(layer, x);
  static_cast<void>(layer.change_bias());
  inferred(layer, x);
  expect_params(layer.weight_params(), own);
  static_cast<void>(layer.change_weight());
  expect_params(layer.weight_params(), after);
}

TEST(WeightScales, ThatAreLearnedStayUntilTheyAreSet) {
  QatLayer layer(kIn, kOut, config_of(true), 1);
  EXPECT_THROW(layer.weight_params(), InvalidArgument);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const ConstTensorView batches[] = {x.view()};
  layer.calibrate_from_data(batches);
  const QuantParams calibrated_params = layer.weight_params();
  expect_params(calibrated_params,
                calibrated(layer.weight(), Granularity::channel(0), layer.config().weight));
  fill(layer.change_weight(), normal_values(kIn * kOut, 2.0, 40));
  expect_params(layer.weight_params(), calibrated_params);
  QuantParams own = calibrated_params;
  for (double& scale : own.scale) scale *= 1.5;
  for (double& scale : own.scale) scale = static_cast<float>(scale);  // which it is kept as
  layer.set_weight_params(own);
  fill(layer.change_weight(), normal_values(kIn * kOut, 3.0, 41));
  expect_params(layer.weight_params(), own);
  trained(layer, x);
  expect_params(layer.weight_params(), own);
  layer.calibrate_from_data(batches);
  expect_params(layer.weight_params(),
                calibrated(layer.weight(), Granularity::channel(0), layer.config().weight));
}

/// Numbers written after the one call of change_weight are not seen before the next one.
TEST(QuantizedWeightsOfALayer, AreMadeAnewOnlyWhereWeightsChange) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    QatLayerConfig config = config_of(false);
    config.product = product;
    QatLayer layer = some_layer(config, DType::kF32, kIn, kOut);
    const Numbers x = some_input(DType::kF32, kRows, kIn);
    const TensorView weight = layer.change_weight();
    const Bytes first = trained(layer, x).bytes;
    const QuantParams params = layer.weight_params();
    const Bytes old_weight = bytes_of_view(layer.weight());
    fill(weight, normal_values(kIn * kOut, 2.0, 40));
    EXPECT_EQ(trained(layer, x).bytes, first);
    EXPECT_EQ(inferred(layer, x).bytes, first);
    expect_params(layer.weight_params(), params);
    static_cast<void>(layer.change_weight());
    const Bytes second = trained(layer, x).bytes;
    EXPECT_NE(second, first);
    QatLayer fresh = some_layer(config, DType::kF32, kIn, kOut);
    fill(fresh.change_weight(), normal_values(kIn * kOut, 2.0, 40));
    EXPECT_EQ(inferred(fresh, x).bytes, second);
    // Back again.
    fill(layer.change_weight(), to_doubles(DType::kF32, old_weight));
    EXPECT_EQ(inferred(layer, x).bytes, first);
  }
}

TEST(QuantizedWeightsOfALayer, FollowEveryChangeInEveryDType) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    QatLayerConfig config = config_of(false);
    config.product = product;
    QatLayer layer = some_layer(config, DType::kF32, kIn, kOut);
    for (int step = 0; step < 4; ++step) {
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16, DType::kBF16}) {
        const Numbers x = some_input(dtype, kRows, kIn);
        QatLayer fresh = some_layer(config, DType::kF32, kIn, kOut);
        fill(fresh.change_weight(), values_of(layer.weight()));
        fill(fresh.change_bias(), values_of(layer.bias()));
        fresh.set_weight_params(layer.weight_params());
        fresh.set_activation_params(layer.activation_params());
        EXPECT_EQ(trained(layer, x).bytes, trained(fresh, x).bytes) << step;
        EXPECT_EQ(inferred(layer, x).bytes, inferred(fresh, x).bytes) << step;
      }
      if (step == 0) fill(layer.change_weight(), normal_values(kIn * kOut, 2.0, 40));
      if (step == 1) fill(layer.change_bias(), normal_values(kOut, 2.0, 41));
      if (step == 2) {
        QuantParams params = layer.weight_params();
        for (double& scale : params.scale) scale *= 0.5;
        layer.set_weight_params(params);
        params = layer.activation_params();
        params.scale[0] *= 0.5;
        layer.set_activation_params(params);
      }
    }
  }
}

TEST(CopiesOfALayer, AreIndependent) {
  QatLayer layer = some_layer(config_of(true), DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Bytes y = inferred(layer, x).bytes;
  QatLayer copy = layer;
  EXPECT_EQ(inferred(copy, x).bytes, y);
  fill(copy.change_weight(), normal_values(kIn * kOut, 2.0, 40));
  static_cast<void>(copy.change_bias());
  EXPECT_NE(inferred(copy, x).bytes, y);
  EXPECT_EQ(inferred(layer, x).bytes, y);
  QatLayer moved = std::move(layer);
  EXPECT_EQ(inferred(moved, x).bytes, y);
}

}  // namespace
}  // namespace cuqat::test
