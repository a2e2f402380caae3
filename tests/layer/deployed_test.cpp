// A layer as it is deployed: exported and made again it infers the same bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cuqat/layer.hpp"
#include "host/expect_invalid.hpp"
#include "layer/deployed_support.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kIn = 21;
constexpr std::int64_t kOut = 9;

class Deployed : public testing::TestWithParam<LayerCase> {};

TEST_P(Deployed, HoldsCodesScalesAndBias) {
  const auto& [name, config, dtype] = GetParam();
  QatLayer layer = some_layer(config, dtype, kIn, kOut);
  const bool packed = config.weight.format == Format::kInt4;
  for (const char* const backend : kBackends) {
    const QuantizedLayer quantized = layer.quantized(on(backend));
    const CodeLayout layout = packed ? CodeLayout::kNibbles : CodeLayout::kBytes;
    Codes expected(codes_bytes(kIn * kOut, layout));
    quantize(layer.weight(), layer.weight_params(), expected, layout, on("reference"));
    EXPECT_EQ(quantized.weight.codes, expected);
    EXPECT_EQ(quantized.weight.layout, layout);
    EXPECT_EQ(quantized.weight.shape, (Shape{kOut, kIn}));
    EXPECT_EQ(quantized.weight.dtype, config.weight_dtype);
    EXPECT_EQ(quantized.bias, values_of(layer.bias()));
    EXPECT_EQ(quantized.activation.scale, layer.activation_params().scale);
    EXPECT_EQ(quantized.activation.quantizer, layer.activation_params().quantizer);
    EXPECT_EQ(quantized.weight.params.scale, layer.weight_params().scale);
    const auto expect_zero_points = [](const QuantParams& params, bool symmetric) {
      EXPECT_EQ(params.zero_point.size(), symmetric ? 0 : params.scale.size());
    };
    expect_zero_points(quantized.weight.params, config.weight.symmetric);
    expect_zero_points(quantized.activation, config.activation.symmetric);
  }
}

TEST_P(Deployed, MadeAgainInfersTheSameBits) {
  const auto& [name, plain, dtype] = GetParam();
  for (const bool learned : {false, true}) {
    QatLayerConfig config = plain;
    config.learn_weight_scale = config.learn_activation_scale = learned;
    QatLayer layer = some_layer(config, dtype, kIn, kOut);
    QuantParams own = layer.weight_params();
    for (double& scale : own.scale) scale *= 0.75;
    layer.set_weight_params(own);
    const Numbers x = some_input(dtype, kRows, kIn);
    const QuantizedLayer quantized = layer.quantized();
    for (const char* const backend : kBackends) {
      const Bytes expected = inferred(layer, x, on(backend)).bytes;
      QatLayer again = QatLayer::of_quantized(quantized, config, on(backend));
      EXPECT_EQ(again.in_features(), kIn);
      EXPECT_EQ(again.out_features(), kOut);
      EXPECT_TRUE(again.is_calibrated());
      EXPECT_EQ(inferred(again, x, on(backend)).bytes, expected);
      EXPECT_EQ(trained(again, x, on(backend)).bytes, expected);
      Numbers values(config.weight_dtype, Shape{kOut, kIn});
      dequantize_weights(quantized.weight, values.writable());
      EXPECT_EQ(bytes_of_view(again.weight()), values.bytes);
      EXPECT_EQ(values_of(again.bias()), quantized.bias);
      EXPECT_EQ(again.weight_params().scale, quantized.weight.params.scale);
      expect_same(again.quantized(on(backend)), quantized);
      // It trains like any other.
      const Numbers dy = normal_numbers(dtype, Shape{kRows, kOut}, 1.0, 70);
      const GradientOracle oracle = gradient_oracle(again, x, dy);
      const Gradients found = gradients_of(again, x, dy, on(backend));
      expect_straight_through(found.dx, oracle.dx, oracle.x.clipped);
      expect_straight_through(found.dweight, oracle.dweight, oracle.weight.clipped);
      // Until the weights change: then scales that are not learned follow them.
      fill(again.change_weight(), normal_values(kIn * kOut, 3.0, 8));
      EXPECT_EQ(again.weight_params().scale == quantized.weight.params.scale, learned);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layer, Deployed, testing::ValuesIn(deployed_cases()), case_name);

TEST(DeployedLayer, ThatDoesNotFitItsConfigIsRefused) {
  const QatLayerConfig config;
  const QuantizedLayer good = some_layer(config, DType::kF32, 6, 4).quantized();
  EXPECT_NO_THROW(QatLayer::of_quantized(good, config));
  const auto refuse = [&](const QuantizedLayer& layer, const QatLayerConfig& with = {}) {
    EXPECT_THROW(QatLayer::of_quantized(layer, with), InvalidArgument);
  };
  QatLayerConfig other;
  other.weight.format = Format::kInt4;
  refuse(good, other);
  other = {};
  other.activation.format = Format::kInt4;
  refuse(good, other);
  other = {};
  other.weight.symmetric = false;
  refuse(good, other);
  other = {};
  other.activation.rounding = Rounding::kOriginal;
  refuse(good, other);
  other = {};
  other.weight_granularity = Granularity::tensor();
  refuse(good, other);
  other = {};
  other.weight_dtype = DType::kF64;
  refuse(good, other);

  QuantizedLayer bad = good;
  bad.weight.codes.pop_back();
  refuse(bad);
  bad = good;
  bad.weight.layout = CodeLayout::kNibbles;
  refuse(bad);
  bad = good;
  bad.bias.pop_back();
  refuse(bad);
  bad = good;
  bad.weight.shape = Shape{24};
  refuse(bad);
  bad = good;
  bad.weight.shape = Shape{6, 4};
  refuse(bad);
  bad = good;
  bad.weight.shape = Shape{0, 6};
  bad.weight.codes.clear();
  refuse(bad);
  bad = good;
  bad.weight.dtype = DType::kBF16;
  refuse(bad);
  bad = good;
  bad.weight.params.scale[2] = -1.0;
  refuse(bad);
  bad = good;
  bad.weight.params.scale.pop_back();
  refuse(bad);
  bad = good;
  bad.weight.params.zero_point = {0, 0, 200, 0};
  refuse(bad);
  bad = good;
  bad.activation.scale = {};
  refuse(bad);
  bad = good;
  bad.activation.scale = {std::nan("")};
  refuse(bad);
  bad = good;
  bad.activation.granularity = Granularity::channel(0);
  refuse(bad);
}

}  // namespace
}  // namespace cuqat::test
