// Layers on their way to the device and back: the host's parameters, codes and bits.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <vector>

#include "conformance/device_layer_steps.hpp"
#include "layer/deployed_support.hpp"
#include "support/captured_graph.hpp"

namespace cuqat::test {
namespace {

class DeviceLayerExport : public DeviceArguments, public ::testing::WithParamInterface<LayerKind> {
 protected:
  DeviceLayerExport() : steps_(GetParam()) {}

  /// What a layer infers of the steps' input.
  [[nodiscard]] Bytes inferred(QatLayer& layer) const {
    Bytes y = steps_.outputs().y;
    layer.forward_infer(
        {steps_.x().data(), steps_.dtype(), Shape{LayerSteps::kRows, LayerSteps::kIn}},
        {y.data(), steps_.dtype(), Shape{LayerSteps::kRows, LayerSteps::kOut}}, by_reference());
    return y;
  }
  [[nodiscard]] Bytes inferred(DeviceQatLayer& layer) const {
    const DeviceStep step(steps_);
    run_on_device([&] { layer.forward_infer(step.x(), step.inferred(), context(), stream()); });
    return step.result().inferred;
  }

  LayerSteps steps_;
};

TEST_P(DeviceLayerExport, HasTheHostsCodesScalesAndBias) {
  DeviceQatLayer layer(steps_.host(), context());
  EXPECT_TRUE(layer.is_calibrated());
  expect_same(layer.quantized(context(), stream()), steps_.host().quantized(by_reference()));
  // Of weights that have changed, quantized in the export or in a pass before.
  static_cast<void>(layer.change_weight());
  expect_same(layer.quantized(context(), stream()), steps_.host().quantized(by_reference()));
  static_cast<void>(layer.change_weight());
  static_cast<void>(inferred(layer));
  expect_same(layer.quantized(context(), stream()), steps_.host().quantized(by_reference()));
  QatLayer copy = layer.to_host(context(), stream());
  expect_same(copy.quantized(by_reference()), steps_.host().quantized(by_reference()));
}

/// Scales that are not learned are found in the pass, or in the export.
TEST_P(DeviceLayerExport, HasTheScalesOfWeightsThatChanged) {
  QatLayerConfig config = GetParam().config();
  config.learn_weight_scale = config.learn_activation_scale = false;
  QatLayer host(LayerSteps::kIn, LayerSteps::kOut, config, 8);
  host.set_activation_params(steps_.host().activation_params());
  DeviceQatLayer layer(LayerSteps::kIn, LayerSteps::kOut, config, 8, context());
  EXPECT_FALSE(layer.is_calibrated());
  expect_invalid([&] { static_cast<void>(layer.quantized(context(), stream())); },
                 {"no scale of its activations"});
  layer.set_activation_params(steps_.host().activation_params(), context());
  const QuantizedLayer before = layer.quantized(context(), stream());
  expect_same(before, host.quantized(by_reference()));
  const QatLayer other(LayerSteps::kIn, LayerSteps::kOut, config, 9);
  const ConstTensorView weights = other.weight();
  std::memcpy(host.change_weight().data(), weights.data(), weights.size_bytes());
  ASSERT_EQ(cudaMemcpy(layer.change_weight().data(), weights.data(), weights.size_bytes(),
                       cudaMemcpyHostToDevice),
            cudaSuccess);
  ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  const QuantizedLayer after = layer.quantized(context(), stream());
  expect_same(after, host.quantized(by_reference()));
  EXPECT_NE(after.weight.codes, before.weight.codes);
}

TEST_P(DeviceLayerExport, MadeAgainInfersTheSameBits) {
  DeviceQatLayer layer(steps_.host(), context());
  const Bytes expected = inferred(layer);
  const QuantizedLayer deployed = layer.quantized(context(), stream());
  DeviceQatLayer again = DeviceQatLayer::of_quantized(deployed, GetParam().config(), context());
  EXPECT_EQ(inferred(again), expected);
  expect_same(again.quantized(context(), stream()), deployed);
  // It trains like the host's.
  QatLayer host = QatLayer::of_quantized(deployed, GetParam().config(), by_reference());
  expect_same(step_on_device(steps_, again), steps_.run(host));
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceLayerExport, ::testing::ValuesIn(layer_kinds()),
                         [](const auto& test) { return test.param.name; });

using DeviceLayerCodes = DeviceLayerExport;

/// Codes that quantizing their values does not give: they stay those of the file until the weights
/// change, also in graphs and on the way back.
TEST_P(DeviceLayerCodes, AreThoseThatItIsMadeOf) {
  QuantizedLayer deployed = steps_.host().quantized(by_reference());
  if (is_integer(GetParam().weight)) {
    deployed.weight.codes[3] = 0x80;  // -128, which symmetric codes have not
  } else {
    for (double& scale : deployed.weight.params.scale) scale = 0x1p-142;  // values lose bits
    deployed.weight.codes[3] = 0x09;                                      // 9 * 2^-9
  }
  const QatLayerConfig config = GetParam().config();
  QatLayer host = QatLayer::of_quantized(deployed, config, by_reference());
  DeviceQatLayer layer = DeviceQatLayer::of_quantized(deployed, config, context());
  const auto expect_kept = [&] {
    expect_same(layer.quantized(context(), stream()), deployed);
    EXPECT_EQ(inferred(layer), inferred(host));
    QatLayer copy = layer.to_host(context(), stream());
    expect_same(copy.quantized(by_reference()), deployed);
  };
  expect_kept();
  {
    const DeviceStep step(steps_);
    const CapturedGraph graph(
        [&] { layer.forward_infer(step.x(), step.inferred(), context(), stream()); },
        stream().get());
    graph.run();
    EXPECT_EQ(step.result().inferred, inferred(host));
  }
  expect_kept();
  static_cast<void>(layer.change_weight());
  static_cast<void>(host.change_weight());
  EXPECT_NE(layer.quantized(context(), stream()).weight.codes, deployed.weight.codes);
  expect_same(layer.quantized(context(), stream()), host.quantized(by_reference()));
}

std::vector<LayerKind> kinds_with_more_codes() {
  std::vector<LayerKind> result;
  for (const LayerKind& kind : layer_kinds()) {
    const bool is_narrow = kind.weight == Format::kInt8 && kind.symmetric;
    if (is_narrow || !is_integer(kind.weight)) result.push_back(kind);
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceLayerCodes, ::testing::ValuesIn(kinds_with_more_codes()),
                         [](const auto& test) { return test.param.name; });

using DeviceLayerOfAHost = DeviceArguments;

/// A step as docs/training.md has it, captured: the weights change after the pass.
TEST_F(DeviceLayerOfAHost, QuantizesWeightsThatReplaysChange) {
  LayerSteps steps(layer_kinds().front());
  const StepBytes of_host = steps.run(steps.host());  // which has codes
  DeviceQatLayer layer(steps.host(), context());
  const DeviceStep step(steps);
  DeviceQatLayer::Saved saved;
  step.run(layer, saved, context(), stream());
  const CapturedGraph graph(
      [&] {
        layer.forward_train(step.x(), step.y(), saved, context(), stream());
        static_cast<void>(layer.change_weight());
      },
      stream().get());
  graph.run();
  EXPECT_EQ(step.result().y, of_host.y);
  std::vector<float> weights(LayerSteps::kOut * LayerSteps::kIn);
  const std::size_t bytes = weights.size() * sizeof(float);
  std::memcpy(weights.data(), steps.host().weight().data(), bytes);
  std::reverse(weights.begin(), weights.end());
  EXPECT_EQ(cudaMemcpy(layer.change_weight().data(), weights.data(), bytes, cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  std::memcpy(steps.host().change_weight().data(), weights.data(), bytes);
  const Bytes expected = steps.run(steps.host()).y;
  EXPECT_NE(expected, of_host.y);
  graph.run();
  EXPECT_EQ(step.result().y, expected);
}

TEST_F(DeviceLayerOfAHost, ThatIsNotCalibratedIsNotEither) {
  const QatLayer host(4, 3, {}, 1);
  DeviceQatLayer layer(host, context());
  EXPECT_FALSE(layer.is_calibrated());
  EXPECT_FALSE(layer.to_host(context(), stream()).is_calibrated());
  expect_invalid([&] { static_cast<void>(layer.quantized(context(), stream())); },
                 {"no scale of its activations"});
}

TEST_F(DeviceLayerOfAHost, ThatTheDeviceDoesNotHaveIsRefused) {
  QatLayerConfig config;
  config.weight.format = config.activation.format = Format::kE5M2;
  const QatLayer fp8(4, 3, config, 1);
  expect_refused([&] { const DeviceQatLayer layer(fp8, context()); }, {"e5m2"});
  config = {};
  config.weight_dtype = DType::kF64;
  config.weight.method = CalibMethod::kPercentile;
  const QatLayer wide(4, 3, config, 1);
  expect_refused([&] { const DeviceQatLayer layer(wide, context()); },
                 {"config.weight.method", "minmax"});
}

TEST_F(DeviceLayerOfAHost, IsRefusedWhereItsPartsDoNotFit) {
  LayerSteps steps(layer_kinds().front());
  QuantizedLayer deployed = steps.host().quantized(by_reference());
  deployed.bias.pop_back();
  expect_refused(
      [&] {
        static_cast<void>(DeviceQatLayer::of_quantized(deployed, steps.host().config(), context()));
      },
      {"layer.bias.size() is 5", "6"});
}

/// As from the host, which a pass on the device does not refuse.
TEST_F(DeviceLayerOfAHost, ExportsNoWeightsThatAreNotFinite) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    LayerSteps steps(layer_kinds().front());
    DeviceQatLayer layer(steps.host(), context());
    const auto value = static_cast<float>(bad);
    EXPECT_EQ(
        cudaMemcpy(layer.change_weight().data(), &value, sizeof(value), cudaMemcpyHostToDevice),
        cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    expect_invalid([&] { static_cast<void>(layer.quantized(context(), stream())); },
                   {"the number of weights that are NaN or infinite is 1", "0"});
    static_cast<void>(step_on_device(steps, layer));
  }
}

/// Scales that an optimizer left as no scale can be do not reach the host.
TEST_F(DeviceLayerOfAHost, GivesNoScalesThatTheHostRefuses) {
  LayerSteps steps(layer_kinds().front());
  ASSERT_TRUE(steps.host().config().learn_weight_scale);
  ASSERT_TRUE(steps.host().config().learn_activation_scale);
  for (const float bad : {0.0f, -1.0f, std::numeric_limits<float>::quiet_NaN()}) {
    for (const bool of_weight : {true, false}) {
      DeviceQatLayer layer(steps.host(), context());
      const DeviceTensorView scale =
          of_weight ? layer.change_weight_scale() : layer.change_activation_scale();
      ASSERT_EQ(cudaMemcpy(scale.data(), &bad, sizeof(bad), cudaMemcpyHostToDevice), cudaSuccess);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      const std::string_view name =
          of_weight ? "weight_params.scale[0]" : "activation_params.scale[0]";
      expect_invalid([&] { static_cast<void>(layer.quantized(context(), stream())); }, {name});
      expect_invalid([&] { static_cast<void>(layer.to_host(context(), stream())); }, {name});
    }
  }
}

}  // namespace
}  // namespace cuqat::test
