// What a layer on the device asks for, and how it keeps to the stream.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_layer.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 9;
constexpr std::int64_t kIn = 16;
constexpr std::int64_t kOut = 8;

template <typename T>
std::vector<T> numbers(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<T> result(static_cast<std::size_t>(count));
  for (T& value : result) value = static_cast<T>(random.uniform(-2.0, 2.0));
  return result;
}

class DeviceLayerRules : public DeviceArguments {
 protected:
  DeviceLayerRules()
      : layer_(kIn, kOut, {}, 5, context()),
        input_(numbers<float>(kRows * kIn, 1)),
        dy_(numbers<float>(kRows * kOut, 2)),
        output_(std::vector<float>(kRows * kOut, -7.0f)),
        dweight_(std::vector<float>(kOut * kIn, -7.0f)) {}

  [[nodiscard]] ConstDeviceTensorView input(std::int64_t rows = kRows) const {
    return {input_.as<const float>(), Shape{rows, kIn}};
  }
  [[nodiscard]] DeviceTensorView output(std::int64_t rows = kRows) const {
    return {output_.as<float>(), Shape{rows, kOut}};
  }
  [[nodiscard]] ConstDeviceTensorView dy() const {
    return {dy_.as<const float>(), Shape{kRows, kOut}};
  }
  [[nodiscard]] DeviceQatGradients gradients() const {
    return {{}, {dweight_.as<float>(), Shape{kOut, kIn}}, {}, {}, {}};
  }
  void calibrate() {
    const ConstDeviceTensorView batch = input();
    layer_.calibrate_from_data({&batch, 1}, context(), stream());
  }
  void forward() { layer_.forward_train(input(), output(), saved_, context(), stream()); }
  void backward() { layer_.backward(dy(), saved_, gradients(), context(), stream()); }

  DeviceQatLayer layer_;
  DeviceMemory input_;
  DeviceMemory dy_;
  DeviceMemory output_;
  DeviceMemory dweight_;
  DeviceQatLayer::Saved saved_;
};

TEST_F(DeviceLayerRules, AStepIsCapturedOnceOneHasRun) {
  calibrate();
  const auto step = [&] {
    static_cast<void>(layer_.change_weight());  // as an optimizer does: they are quantized again
    forward();
    backward();
  };
  run_on_device(step);
  const std::vector<float> y = output_.content<float>();
  const std::vector<float> dweight = dweight_.content<float>();
  const CapturedGraph graph(step, stream().get());
  EXPECT_EQ(cudaMemset(output_.as<void>(), 0, output_.size_bytes()), cudaSuccess);
  EXPECT_EQ(cudaMemset(dweight_.as<void>(), 0, dweight_.size_bytes()), cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  graph.run();
  EXPECT_EQ(output_.content<float>(), y);
  EXPECT_EQ(dweight_.content<float>(), dweight);
  // Other weights, the same graph.
  const std::vector<float> other = numbers<float>(kOut * kIn, 9);
  EXPECT_EQ(cudaMemcpy(layer_.change_weight().data(), other.data(), other.size() * sizeof(float),
                       cudaMemcpyHostToDevice),
            cudaSuccess);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  graph.run();
  const std::vector<float> of_graph = output_.content<float>();
  EXPECT_NE(of_graph, y);
  run_on_device([&] { forward(); });
  EXPECT_EQ(output_.content<float>(), of_graph);
}

/// A captured pass quantizes in every replay, and a pass afterwards does not take what it finds.
TEST_F(DeviceLayerRules, WeightsThatReplaysChangeAreQuantizedAgain) {
  calibrate();
  run_on_device([&] { forward(); });
  const std::vector<float> y = output_.content<float>();
  const CapturedGraph graph([&] { forward(); }, stream().get());
  const auto overwrite = [&](std::uint64_t seed) {  // as an optimizer within the graph does
    const std::vector<float> other = numbers<float>(kOut * kIn, seed);
    EXPECT_EQ(cudaMemcpy(const_cast<void*>(layer_.weight().data()), other.data(),
                         other.size() * sizeof(float), cudaMemcpyHostToDevice),
              cudaSuccess);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  };
  overwrite(9);
  graph.run();
  const std::vector<float> of_graph = output_.content<float>();
  EXPECT_NE(of_graph, y);
  overwrite(10);
  run_on_device([&] { forward(); });
  const std::vector<float> eager = output_.content<float>();
  EXPECT_NE(eager, of_graph);
  graph.run();
  EXPECT_EQ(output_.content<float>(), eager);
}

TEST_F(DeviceLayerRules, ASavedThatWasMovedFromIsANewOne) {
  calibrate();
  run_on_device([&] { forward(); });
  DeviceQatLayer::Saved other = std::move(saved_);
  expect_refused([&] { backward(); }, {"saved", "no forward pass"});
  run_on_device([&] {
    forward();
    backward();
    layer_.backward(dy(), other, gradients(), context(), stream());
  });
}

/// A Saved that is new, and one that has been used.
TEST_F(DeviceLayerRules, AStepOfNoRowsHasGradientsOfZero) {
  calibrate();
  const std::vector<float> zeros(kOut * kIn, 0.0f);
  for (int i = 0; i < 2; ++i) {
    run_on_device([&] {
      layer_.forward_train(input(0), output(0), saved_, context(), stream());
      layer_.backward({dy_.as<const float>(), Shape{0, kOut}}, saved_, gradients(), context(),
                      stream());
      layer_.forward_infer(input(0), output(0), context(), stream());
    });
    EXPECT_EQ(dweight_.content<float>(), zeros);
    run_on_device([&] {
      forward();
      backward();
    });
    EXPECT_NE(dweight_.content<float>(), zeros);
  }
}

TEST_F(DeviceLayerRules, WhatDoesNotFitIsNamed) {
  expect_refused([&] { forward(); }, {"no scale of its activations"});
  calibrate();
  const auto pass = [&](ConstDeviceTensorView x, DeviceTensorView y) {
    return [this, x, y] { layer_.forward_train(x, y, saved_, context(), stream()); };
  };
  expect_refused(pass({input_.as<const float>(), Shape{kRows, kIn - 1}}, output()),
                 {"x.shape()", "[9, 15]", "16"});
  expect_refused(pass({input_.as<const double>(), Shape{kRows / 2, kIn}}, output(kRows / 2)),
                 {"x.dtype()", "F64"});
  expect_refused(pass(input(), output(kRows - 1)), {"y.shape()", "[8, 8]"});
  expect_refused(pass(input(), {input_.as<float>(), Shape{kRows, kOut}}), {"y", "x"});
  expect_refused([&] { backward(); }, {"saved", "no forward pass"});
  run_on_device([&] { forward(); });
  static_cast<void>(layer_.change_weight());
  expect_refused([&] { backward(); }, {"saved", "changed"});
  run_on_device([&] { forward(); });
  DeviceQatLayer other(kIn, kOut, {}, 5, context());
  expect_refused([&] { other.backward(dy(), saved_, gradients(), context(), stream()); },
                 {"saved", "another layer"});
  DeviceQatGradients wrong = gradients();
  wrong.dweight = layer_.change_weight();
  run_on_device([&] { forward(); });
  expect_refused([&] { layer_.backward(dy(), saved_, wrong, context(), stream()); },
                 {"gradients.dweight", "weights"});
  wrong = gradients();
  wrong.weight.dscale = {dweight_.as<float>(), Shape{kOut}};
  expect_refused([&] { layer_.backward(dy(), saved_, wrong, context(), stream()); },
                 {"gradients.weight", "learn_weight_scale"});
  expect_refused([&] { static_cast<void>(layer_.change_weight_scale()); }, {"learn_weight_scale"});
  // And then as if nothing had been.
  run_on_device([&] {
    forward();
    backward();
  });
}

TEST_F(DeviceLayerRules, CalibrationNeedsSomethingFinite) {
  expect_invalid([&] { layer_.calibrate_from_data({}, context(), stream()); }, {"finite", "0"});
  const DeviceMemory nan(std::vector<float>(kIn, std::nanf("")));
  const ConstDeviceTensorView batch(nan.as<const float>(), Shape{1, kIn});
  expect_invalid(
      [&] {
        layer_.calibrate_from_data({&batch, 1}, context(), stream());
      },
      {"finite", "0"});
}

/// The original's convention, in f64: integers have the host's bits, and those the original's
/// (tests/layer/original_test.cpp).
TEST_F(DeviceLayerRules, InferenceInTheOriginalsConventionHasTheHostsBits) {
  QatLayerConfig config;
  config.weight_dtype = DType::kF64;
  config.weight_granularity = Granularity::tensor();
  config.weight.rounding = config.activation.rounding = Rounding::kOriginal;
  config.weight.symmetric = config.activation.symmetric = false;
  QatLayer host(kIn, kOut, config, 3);
  DeviceQatLayer layer(kIn, kOut, config, 3, context());
  const std::vector<double> x = numbers<double>(kRows * kIn, 4);
  const ConstTensorView batch(x.data(), Shape{kRows, kIn});
  const HostOptions by_reference{Backend::named("reference"), 1};
  host.calibrate_from_data({&batch, 1}, by_reference);
  layer.set_activation_params(host.activation_params(), context());
  layer.set_weight_params(host.weight_params(by_reference), context());
  std::vector<double> expected(kRows * kOut);
  host.forward_infer(batch, {expected.data(), Shape{kRows, kOut}}, by_reference);
  const DeviceMemory device_x(x);
  const DeviceMemory y(std::vector<double>(kRows * kOut, -1.0));
  run_on_device([&] {
    layer.forward_infer({device_x.as<const double>(), Shape{kRows, kIn}},
                        {y.as<double>(), Shape{kRows, kOut}}, context(), stream());
  });
  EXPECT_EQ(y.content<double>(), expected);
}

}  // namespace
}  // namespace cuqat::test
