// Whole steps of the layer on the device, of every dtype and granularity, with learned scales and
// zero points: the host's bits.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "conformance/device_layer_steps.hpp"

namespace cuqat::test {
namespace {

class DeviceLayerSteps : public DeviceArguments, public ::testing::WithParamInterface<LayerKind> {};

TEST_P(DeviceLayerSteps, HaveTheHostsBits) {
  LayerSteps steps(GetParam());
  DeviceQatLayer layer(steps.host(), context());
  const StepBytes expected = steps.run(steps.host());
  expect_same(step_on_device(steps, layer), expected);
  EXPECT_EQ(device_fault(), "");
  // And once more, with what is kept.
  expect_same(step_on_device(steps, layer), expected);
}

TEST_P(DeviceLayerSteps, WithGradientScalesOfTheCallersHaveTheHostsBits) {
  LayerSteps steps(GetParam());
  DeviceQatLayer layer(steps.host(), context());
  const StepBytes own = steps.run(steps.host());
  steps.weight_gradient_scale = 1.0;
  steps.activation_gradient_scale = 0.3;
  const StepBytes expected = steps.run(steps.host());
  EXPECT_NE(expected.weight_dscale, own.weight_dscale);
  EXPECT_NE(expected.activation_dscale, own.activation_dscale);
  EXPECT_EQ(expected.dweight, own.dweight);
  expect_same(step_on_device(steps, layer), expected);
}

TEST_P(DeviceLayerSteps, WithoutGradientsOfZeroPointsHaveTheSameOthers) {
  LayerSteps steps(GetParam());
  DeviceQatLayer layer(steps.host(), context());
  StepBytes expected = step_on_device(steps, layer);
  expected.weight_dzero_point.clear();
  expected.activation_dzero_point.clear();
  steps.with_zero_points = false;
  expect_same(step_on_device(steps, layer), expected);
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceLayerSteps, ::testing::ValuesIn(layer_kinds()),
                         [](const auto& test) { return test.param.name; });

using DeviceLayerScales = DeviceArguments;

/// Zero points that an optimizer's kernel would write.
TEST_F(DeviceLayerScales, LearnedZeroPointsAreWrittenInPlace) {
  LayerSteps steps(layer_kinds().front());
  DeviceQatLayer layer(steps.host(), context());
  const StepBytes before = step_on_device(steps, layer);
  QuantParams of_weight = steps.host().weight_params(by_reference());
  QuantParams of_x = steps.host().activation_params();
  for (std::int32_t& zero_point : of_weight.zero_point) zero_point += 7;
  of_x.zero_point[0] -= 5;
  const auto write = [](const DeviceSpan<std::int32_t>& to, const std::vector<std::int32_t>& from) {
    ASSERT_EQ(to.size(), static_cast<std::int64_t>(from.size()));
    EXPECT_EQ(cudaMemcpy(to.data(), from.data(), from.size() * sizeof(std::int32_t),
                         cudaMemcpyHostToDevice),
              cudaSuccess);
  };
  write(layer.change_weight_zero_point(), of_weight.zero_point);
  write(layer.change_activation_zero_point(), of_x.zero_point);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  steps.host().set_weight_params(of_weight);
  steps.host().set_activation_params(of_x);
  const StepBytes expected = steps.run(steps.host());
  EXPECT_NE(expected.y, before.y);
  expect_same(step_on_device(steps, layer), expected);
  QatLayer copy = layer.to_host(context(), stream());
  EXPECT_EQ(copy.weight_params(by_reference()).zero_point, of_weight.zero_point);
  EXPECT_EQ(copy.activation_params().zero_point, of_x.zero_point);
}

TEST_F(DeviceLayerScales, ZeroPointsThatALayerHasNotAreRefused) {
  QatLayerConfig config;
  DeviceQatLayer symmetric(4, 3, config, 1, context());
  expect_refused([&] { static_cast<void>(symmetric.change_weight_zero_point()); },
                 {"config.weight.symmetric", "false"});
  expect_refused([&] { static_cast<void>(symmetric.change_activation_zero_point()); },
                 {"config.activation.symmetric", "false"});
  config.weight.symmetric = config.activation.symmetric = false;
  DeviceQatLayer fresh(4, 3, config, 1, context());
  expect_refused([&] { static_cast<void>(fresh.change_weight_zero_point()); },
                 {"no scale of its activations"});
  fresh.set_activation_params({{}, {}, {0.5}, {1}}, context());
  expect_refused([&] { static_cast<void>(fresh.change_weight_zero_point()); },
                 {"config.learn_weight_scale is false"});
  expect_refused([&] { static_cast<void>(fresh.change_activation_zero_point()); },
                 {"config.learn_activation_scale is false"});
}

/// Where a layer keeps the scales of its weights.
DeviceTensorView scales_of(const DeviceQatLayer& layer) {
  const ConstDeviceTensorView scale = layer.weight_params().scale;
  return {const_cast<void*>(scale.data()), scale.dtype(), scale.shape()};
}

/// All arguments of backward are checked before it writes.
TEST_F(DeviceLayerScales, GradientsOfScalesThatDoNotFitAreNamed) {
  const auto refuse = [&](std::size_t kind, const auto& spoil,
                          std::initializer_list<std::string_view> parts) {
    LayerSteps steps(layer_kinds()[kind]);
    DeviceQatLayer layer(steps.host(), context());
    DeviceQatLayer::Saved saved;
    const DeviceStep step(steps);
    step.run(layer, saved, context(), stream());
    const DeviceMemory dbias(std::vector<float>(LayerSteps::kOut, 7.0f));
    const DeviceMemory of_scales(std::vector<float>(64, 7.0f));
    DeviceQatGradients gradients;
    gradients.dbias = {dbias.as<float>(), Shape{LayerSteps::kOut}};
    gradients.weight.dscale = {of_scales.as<float>(), Shape{LayerSteps::kOut}};
    spoil(gradients, of_scales.as<float>(), layer);
    expect_refused([&] { layer.backward(step.dy(), saved, gradients, context(), stream()); },
                   parts);
    EXPECT_EQ(dbias.content<float>(), std::vector<float>(LayerSteps::kOut, 7.0f));
  };
  constexpr std::size_t kAffine = 0;  // Of layer_kinds().
  constexpr std::size_t kFp8 = 9;
  refuse(kAffine,
         [](DeviceQatGradients& g, float* at, DeviceQatLayer&) {
           g.weight.dscale = {at, Shape{5}};
         },
         {"gradients.weight.dscale.size() is 5", "6"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float* at, DeviceQatLayer&) {
           g.weight.dzero_point = {at + 8, Shape{7}};
         },
         {"gradients.weight.dzero_point.size() is 7", "6"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float* at, DeviceQatLayer&) {
           g.activation.dzero_point = {at + 8, Shape{1}};
         },
         {"gradients.activation.dscale.size() is 0", "1"});
  refuse(kFp8,
         [](DeviceQatGradients& g, float* at, DeviceQatLayer&) {
           g.weight.dzero_point = {at + 8, Shape{6}};
         },
         {"gradients.weight.dzero_point.size() is 6", "FP8 has no zero point"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float* at, DeviceQatLayer&) {
           g.weight.dscale = {at, DType::kF64, Shape{6}};
         },
         {"gradients.weight.dscale.dtype() is F64", "F32"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float* at, DeviceQatLayer&) {
           g.weight.dscale = {reinterpret_cast<std::byte*>(at) + 2, DType::kF32, Shape{6}};
         },
         {"gradients.weight.dscale is 2 bytes past"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float* at, DeviceQatLayer&) {
           g.weight.dzero_point = {at + 3, Shape{6}};
         },
         {"gradients.weight.dscale", "memory"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float*, DeviceQatLayer& layer) { g.dbias = scales_of(layer); },
         {"gradients.dbias", "memory", "the layer's scales"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float*, DeviceQatLayer& layer) {
           g.weight.dscale = scales_of(layer);
         },
         {"gradients.weight.dscale", "memory", "the layer's scales"});
  const std::vector<float> on_host(6);
  refuse(kAffine,
         [&](DeviceQatGradients& g, float*, DeviceQatLayer&) {
           g.weight.dscale = {const_cast<float*>(on_host.data()), Shape{6}};
         },
         {"gradients.weight.dscale is ", "device memory"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float*, DeviceQatLayer&) {
           g.weight_gradient_scale = std::nan("");
         },
         {"gradients.weight_gradient_scale", "finite"});
  refuse(kAffine,
         [](DeviceQatGradients& g, float*, DeviceQatLayer&) {
           g.activation_gradient_scale = HUGE_VAL;
         },
         {"gradients.activation_gradient_scale", "finite"});
}

}  // namespace
}  // namespace cuqat::test
