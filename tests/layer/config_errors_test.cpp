// Layers that cannot be: options, granularities and parameters that do not fit together are named.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "cuqat/layer.hpp"
#include "host/expect_invalid.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

void expect_refused(const QatLayerConfig& config, std::initializer_list<std::string_view> parts) {
  expect_invalid([&] { QatLayer layer(4, 3, config); }, parts);
}

TEST(LayerConfig, FeaturesBelowOneAreNamed) {
  expect_invalid([] { QatLayer layer(0, 3); }, {"in_features", "0", "1"});
  expect_invalid([] { QatLayer layer(-4, 3); }, {"in_features", "-4"});
  expect_invalid([] { QatLayer layer(4, 0); }, {"out_features", "0", "1"});
  expect_invalid([] { QatLayer layer(4, -3); }, {"out_features", "-3"});
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_THROW(QatLayer(kMost, kMost), InvalidArgument);
}

TEST(LayerConfig, OptionsThatDoNotFitTogetherAreNamed) {
  for (const Format format : {Format::kE4M3, Format::kE5M2}) {
    const std::string_view name = to_string(format);
    QatLayerConfig config;
    config.weight.format = config.activation.format = format;
    config.weight.symmetric = false;
    expect_refused(config, {"symmetric", name});
    config.weight.symmetric = true;
    config.activation.symmetric = false;
    expect_refused(config, {"symmetric", name});
    config.activation.symmetric = true;
    config.weight.rounding = Rounding::kOriginal;
    expect_refused(config, {"rounding", "original"});
    config.weight.rounding = Rounding::kNearestEven;
    config.activation.rounding = Rounding::kOriginal;
    expect_refused(config, {"rounding", "original"});
    config.activation.rounding = Rounding::kNearestEven;
    EXPECT_NO_THROW(QatLayer(4, 3, config));
    config.weight_dtype = DType::kF64;
    expect_refused(config, {"product", "FP8", "f64"});
    config.product = QatProduct::kNumbers;
    EXPECT_NO_THROW(QatLayer(4, 3, config));
  }
}

TEST(LayerConfig, PercentilesAndMethodsAreChecked) {
  for (const double percentile : {-0.5, 100.5, std::numeric_limits<double>::quiet_NaN()}) {
    QatLayerConfig config;
    config.activation.method = CalibMethod::kPercentile;
    config.activation.percentile = percentile;
    expect_refused(config, {"percentile", "[0, 100]"});
    config = {};
    config.weight.method = CalibMethod::kPercentile;
    config.weight.percentile = percentile;
    expect_refused(config, {"percentile", "[0, 100]"});
  }
}

TEST(LayerConfig, AProductOfCodesTakesTwoFormatsOfAKind) {
  for (const Format integer : {Format::kInt8, Format::kInt4}) {
    for (const Format fp8 : {Format::kE4M3, Format::kE5M2}) {
      QatLayerConfig config;
      config.weight.format = integer;
      config.activation.format = fp8;
      expect_refused(config, {"config.product is of codes"});
      config.weight.format = fp8;
      config.activation.format = integer;
      expect_refused(config, {"config.product is of codes"});
      config.product = QatProduct::kNumbers;
      EXPECT_NO_THROW(QatLayer(4, 3, config));
    }
  }
}

TEST(LayerConfig, GranularitiesThatAProductDoesNotTakeAreNamed) {
  QatLayerConfig config;
  config.weight_granularity = Granularity::group(2);
  expect_refused(config, {"config.product is of codes", "weight"});
  config.weight_granularity = Granularity::channel(1);
  expect_refused(config, {"config.product is of codes", "weight"});
  config.product = QatProduct::kNumbers;
  for (const Granularity& wrong : {Granularity::channel(2), Granularity::channel(-3),
                                   Granularity::group(0), Granularity::group(-1)}) {
    config.weight_granularity = wrong;
    SCOPED_TRACE(std::to_string(wrong.axis) + ", " + std::to_string(wrong.group_size));
    expect_refused(config, {"granularity"});
  }
  config.weight_granularity = Granularity::group(3);
  EXPECT_NO_THROW(QatLayer(4, 3, config));
}

TEST(LayerConfig, WeightsOf16BitsAreRefused) {
  for (const DType dtype : {DType::kF16, DType::kBF16}) {
    QatLayerConfig config;
    config.weight_dtype = dtype;
    expect_refused(config, {"weight_dtype", to_string(dtype), "F32", "F64"});
  }
}

TEST(LayerConfig, EnumeratorsThatDoNotExistAreRefused) {
  QatLayerConfig config;
  config.product = static_cast<QatProduct>(7);
  EXPECT_THROW(QatLayer(4, 3, config), InvalidArgument);
  config = {};
  config.weight_dtype = static_cast<DType>(9);
  EXPECT_THROW(QatLayer(4, 3, config), InvalidArgument);
  config = {};
  config.weight.format = static_cast<Format>(9);
  EXPECT_THROW(QatLayer(4, 3, config), InvalidArgument);
  config = {};
  config.activation.format = static_cast<Format>(9);
  EXPECT_THROW(QatLayer(4, 3, config), InvalidArgument);
  config = {};
  config.activation.rounding = static_cast<Rounding>(9);
  EXPECT_THROW(QatLayer(4, 3, config), InvalidArgument);
  config = {};
  config.weight.method = static_cast<CalibMethod>(9);
  EXPECT_THROW(QatLayer(4, 3, config), InvalidArgument);
  config = {};
  config.weight_granularity.kind = static_cast<Granularity::Kind>(9);
  EXPECT_THROW(QatLayer(4, 3, config), InvalidArgument);
}

class LayerParams : public testing::Test {
 protected:
  LayerParams() : layer_(some_layer({}, DType::kF32, 4, 3)), of_w_(layer_.weight_params()) {}
  void TearDown() override {
    EXPECT_EQ(layer_.weight_params().scale, of_w_.scale);
    EXPECT_EQ(layer_.activation_params().scale, of_x_.scale);
    EXPECT_EQ(inferred(layer_, x_).bytes, y_.bytes);
    layer_.set_weight_params(of_w_);
    layer_.set_activation_params(of_x_);
    EXPECT_EQ(inferred(layer_, x_).bytes, y_.bytes);
  }
  QatLayer layer_;
  const QuantParams of_w_;
  const QuantParams of_x_ = layer_.activation_params();
  const Numbers x_ = some_input(DType::kF32, 5, 4);
  const Numbers y_ = inferred(layer_, x_);
};

TEST_F(LayerParams, OfAnotherQuantizerOrGranularityAreRefused) {
  for (int choice = 0; choice < 4; ++choice) {
    QuantParams w = of_w_;
    QuantParams x = of_x_;
    if (choice == 0) w.quantizer.format = x.quantizer.format = Format::kInt4;
    if (choice == 1) w.quantizer.rounding = x.quantizer.rounding = Rounding::kOriginal;
    if (choice == 2) w.quantizer.narrow_range = x.quantizer.narrow_range = false;
    if (choice == 3) {
      w.granularity = Granularity::tensor();
      w.scale = {1.0};
      x.granularity = Granularity::channel(0);
    }
    expect_invalid([&] { layer_.set_weight_params(w); }, {"config"});
    expect_invalid([&] { layer_.set_activation_params(x); }, {"config"});
  }
}

TEST_F(LayerParams, OfBadScalesAndZeroPointsAreNamed) {
  for (const double scale : {0.0, -1.0, std::nan(""), HUGE_VAL, 1e-60, 1e39}) {
    QuantParams w = of_w_;
    w.scale[1] = scale;
    expect_invalid([&] { layer_.set_weight_params(w); }, {"scale[1]", "positive and finite"});
    QuantParams x = of_x_;
    x.scale[0] = scale;
    expect_invalid([&] { layer_.set_activation_params(x); }, {"scale[0]", "positive and finite"});
  }
  QuantParams w = of_w_;
  w.scale.pop_back();
  expect_invalid([&] { layer_.set_weight_params(w); }, {"scale.size()", "2", "3"});
  w = of_w_;
  w.zero_point = {0, 0, 128};
  expect_invalid([&] { layer_.set_weight_params(w); }, {"zero_point[2]", "128"});
  QuantParams x = of_x_;
  x.scale.push_back(1.0);
  expect_invalid([&] { layer_.set_activation_params(x); }, {"scale.size()", "2", "1"});
  x = of_x_;
  x.zero_point = {-129};
  expect_invalid([&] { layer_.set_activation_params(x); }, {"zero_point[0]", "-129"});
}

}  // namespace
}  // namespace cuqat::test
