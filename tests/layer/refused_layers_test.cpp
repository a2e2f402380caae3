// Layers that cannot compute yet or not now: before calibration, and with weights that are not
// finite. Afterwards, with weights that are, they go on as if nothing had been.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cuqat/layer.hpp"
#include "host/expect_invalid.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kIn = 6;
constexpr std::int64_t kOut = 3;

TEST(LayerBeforeCalibration, RefusesToCompute) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    for (const bool learned : {false, true}) {
      QatLayerConfig config;
      config.product = product;
      config.learn_weight_scale = config.learn_activation_scale = learned;
      QatLayer layer(kIn, kOut, config, 5);
      const Bytes weight = bytes_of_view(layer.weight());
      const Numbers x = some_input(DType::kF32, kRows, kIn);
      const Numbers dy(DType::kF32, Shape{kRows, kOut});
      Numbers y(DType::kF32, Shape{kRows, kOut});
      QatLayer::Saved saved;
      expect_invalid([&] { layer.forward_train(x.view(), y.writable(), saved); }, {"calibrat"});
      expect_invalid([&] { layer.backward(dy.view(), saved, {}); }, {"saved"});
      expect_invalid([&] { layer.forward_infer(x.view(), y.writable()); }, {"calibrat"});
      expect_invalid([&] { static_cast<void>(layer.quantized()); }, {"calibrat"});
      expect_invalid([&] { static_cast<void>(layer.activation_params()); }, {"calibrat"});
      EXPECT_EQ(y.bytes, Numbers(DType::kF32, Shape{kRows, kOut}).bytes);
      if (learned) {
        expect_invalid([&] { layer.weight_params(); }, {"calibrat"});
        // The scale of activations alone does not do.
        QuantParams of_x;
        of_x.quantizer.narrow_range = true;
        layer.set_activation_params(of_x);
        expect_invalid([&] { layer.forward_infer(x.view(), y.writable()); }, {"calibrat"});
      }
      EXPECT_EQ(bytes_of_view(layer.weight()), weight);
      const ConstTensorView batches[] = {x.view()};
      layer.calibrate_from_data(batches);
      QatLayer fresh(kIn, kOut, config, 5);
      fresh.calibrate_from_data(batches);
      EXPECT_EQ(trained(layer, x, saved).bytes, trained(fresh, x).bytes);
      EXPECT_EQ(inferred(layer, x).bytes, inferred(fresh, x).bytes);
    }
  }
}

class NotFinite : public testing::TestWithParam<double> {};

TEST_P(NotFinite, WeightsAreRefusedByEveryCallThatQuantizesThem) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
      for (const bool learned : {false, true}) {
        for (const char* const backend : kBackends) {
          QatLayerConfig config;
          config.product = product;
          config.weight_dtype = dtype;
          config.learn_weight_scale = learned;
          QatLayer layer = some_layer(config, dtype, kIn, kOut);
          const Numbers x = some_input(dtype, kRows, kIn);
          const Numbers expected = trained(layer, x, on(backend));
          const QuantParams of_x = layer.activation_params();
          const std::vector<double> good = values_of(layer.weight());
          const Bytes bias = bytes_of_view(layer.bias());
          std::vector<double> bad = good;
          bad[10] = GetParam();
          fill(layer.change_weight(), bad);
          const Bytes bad_bytes = bytes_of_view(layer.weight());
          Numbers y(dtype, Shape{kRows, kOut});
          QatLayer::Saved saved;
          for (int attempt = 0; attempt < 2; ++attempt) {
            expect_invalid([&] { layer.forward_train(x.view(), y.writable(), saved, on(backend)); },
                           {"weight", "finite"});
            expect_invalid([&] { layer.forward_infer(x.view(), y.writable(), on(backend)); },
                           {"weight", "finite"});
            expect_invalid([&] { static_cast<void>(layer.quantized(on(backend))); },
                           {"weight", "finite"});
            if (!learned) {
              expect_invalid([&] { layer.weight_params(on(backend)); }, {"weight", "finite"});
            }
          }
          EXPECT_EQ(y.bytes, Numbers(dtype, Shape{kRows, kOut}).bytes);
          EXPECT_EQ(bytes_of_view(layer.weight()), bad_bytes);
          EXPECT_EQ(bytes_of_view(layer.bias()), bias);
          EXPECT_EQ(layer.activation_params().scale, of_x.scale);
          fill(layer.change_weight(), good);
          EXPECT_EQ(inferred(layer, x, on(backend)).bytes, expected.bytes);
          EXPECT_EQ(trained(layer, x, on(backend)).bytes, expected.bytes);
        }
      }
    }
  }
}

/// Calibration takes the scales of the weights from the weights: it is all or nothing.
TEST_P(NotFinite, WeightsLeaveACalibrationAsItWas) {
  QatLayerConfig config;
  config.learn_weight_scale = true;
  QatLayer layer = some_layer(config, DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers expected = trained(layer, x);
  const QuantParams of_x = layer.activation_params();
  const QuantParams of_w = layer.weight_params();
  const std::vector<double> good = values_of(layer.weight());
  std::vector<double> bad = good;
  bad[10] = GetParam();
  fill(layer.change_weight(), bad);
  const ConstTensorView batches[] = {x.view()};
  expect_invalid([&] { layer.calibrate_from_data(batches); }, {"weight", "finite"});
  EXPECT_EQ(layer.activation_params().scale, of_x.scale);
  fill(layer.change_weight(), good);
  EXPECT_EQ(layer.weight_params().scale, of_w.scale);
  EXPECT_EQ(inferred(layer, x).bytes, expected.bytes);

  QatLayer fresh(kIn, kOut, config);
  fill(fresh.change_weight(), bad);
  expect_invalid([&] { fresh.calibrate_from_data(batches); }, {"weight", "finite"});
  EXPECT_FALSE(fresh.is_calibrated());
}

INSTANTIATE_TEST_SUITE_P(Layer, NotFinite,
                         testing::Values(std::nan(""), std::numeric_limits<double>::infinity(),
                                         -std::numeric_limits<double>::infinity()),
                         [](const auto& param) {
                           return std::isnan(param.param) ? "NaN"
                                  : param.param > 0.0     ? "Infinity"
                                                          : "MinusInfinity";
                         });

}  // namespace
}  // namespace cuqat::test
