// Calls of the CUDA runtime that fail within a layer's functions, memory that cannot be had among
// them, and a second device: what only the executor can do.
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "conformance/device_layer_steps.hpp"
#include "conformance/second_device.hpp"
#include "simt/executor.hpp"

namespace cuqat::test {
namespace {

class DeviceLayerFailures : public DeviceArguments,
                            public ::testing::WithParamInterface<LayerKind> {
 protected:
  DeviceLayerFailures() : steps_(GetParam()) {
    // What the context keeps of products is there from here on.
    DeviceQatLayer layer(steps_.host(), context());
    expected_ = step_on_device(steps_, layer);
  }

  /// Calls `attempt` with n = 1, 2, ... until none of its calls is the n-th. It makes its one
  /// failing call in fails().
  static void for_each_call(const std::function<void(int)>& attempt) {
    const std::size_t leaked = simt::leaked_allocations();
    const std::size_t handles = simt::leaked_handles();
    int n = 1;
    for (was_pending_ = false; !was_pending_; ++n) {
      SCOPED_TRACE(n);
      attempt(n);
      EXPECT_EQ(simt::leaked_allocations(), leaked);
      EXPECT_EQ(simt::leaked_handles(), handles);
      EXPECT_EQ(simt::fault(), "");
      ASSERT_FALSE(HasFailure());
      ASSERT_LT(n, 500);
    }
    EXPECT_GT(n, 2);
  }
  /// Whether the operation, whose n-th call fails, throws CudaError.
  static bool fails(int n, const std::function<void()>& operation) {
    bool threw = false;
    simt::fail_call(n);
    try {
      operation();
    } catch (const CudaError&) {
      threw = true;
    }
    was_pending_ = simt::failure_pending();
    simt::fail_call(0);
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
    return threw;
  }

  struct Parameters {
    Bytes weight;
    Bytes bias;
    bool is_calibrated;
    QuantParams of_weight;
    QuantParams of_x;
  };
  static Parameters parameters(const DeviceQatLayer& layer) {
    QatLayer host = layer.to_host(context(), stream());
    const auto bytes = [](ConstTensorView view) {
      const auto* const first = static_cast<const std::byte*>(view.data());
      return Bytes(first, first + view.size_bytes());
    };
    Parameters result{bytes(host.weight()), bytes(host.bias()), host.is_calibrated(), {}, {}};
    if (result.is_calibrated) {
      result.of_weight = host.weight_params(by_reference());
      result.of_x = host.activation_params();
    }
    return result;
  }
  static void expect_same_parameters(const Parameters& found, const Parameters& expected) {
    EXPECT_EQ(found.weight, expected.weight);
    EXPECT_EQ(found.bias, expected.bias);
    EXPECT_EQ(found.is_calibrated, expected.is_calibrated);
    EXPECT_EQ(found.of_weight.scale, expected.of_weight.scale);
    EXPECT_EQ(found.of_weight.zero_point, expected.of_weight.zero_point);
    EXPECT_EQ(found.of_x.scale, expected.of_x.scale);
    EXPECT_EQ(found.of_x.zero_point, expected.of_x.zero_point);
  }
  /// Others, of the same kind.
  static QuantParams changed(QuantParams params) {
    for (double& scale : params.scale) scale *= 4.0;
    for (std::int32_t& zero_point : params.zero_point) zero_point += 3;
    return params;
  }

  static inline bool was_pending_ = false;
  LayerSteps steps_;
  StepBytes expected_;
};

TEST_P(DeviceLayerFailures, InAStepLeaveTheLayerUsable) {
  const DeviceQatLayer undisturbed(steps_.host(), context());
  const Parameters before = parameters(undisturbed);
  for_each_call([&](int n) {
    const DeviceStep step(steps_);
    DeviceQatLayer layer(steps_.host(), context());
    static_cast<void>(layer.change_weight());  // they are quantized in the step
    DeviceQatLayer::Saved saved;
    bool went_forward = false;
    const bool failed = fails(n, [&] {
      layer.forward_train(step.x(), step.y(), saved, context(), stream());
      went_forward = true;
      layer.backward(step.dy(), saved, step.gradients(), context(), stream());
      layer.forward_infer(step.x(), step.inferred(), context(), stream());
    });
    EXPECT_TRUE(failed || was_pending_);
    expect_same_parameters(parameters(layer), before);
    if (!went_forward) {
      expect_refused([&] { layer.backward(step.dy(), saved, {}, context(), stream()); },
                     {"saved", "no forward pass"});
    }
    step.run(layer, saved, context(), stream());
    EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
    expect_same(step.result(), expected_);
  });
}

/// All or nothing, and what a pass left is still of the scales as they are.
TEST_P(DeviceLayerFailures, WhereScalesAreSetLeaveThemAsTheyWere) {
  const QuantParams of_weight = changed(steps_.host().weight_params(by_reference()));
  const QuantParams of_x = changed(steps_.host().activation_params());
  for (const bool sets_weight : {true, false}) {
    for_each_call([&](int n) {
      DeviceQatLayer layer(steps_.host(), context());
      const Parameters before = parameters(layer);
      const DeviceStep step(steps_);
      DeviceQatLayer::Saved saved;
      layer.forward_train(step.x(), step.y(), saved, context(), stream());
      EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
      const bool failed = fails(n, [&] {
        if (sets_weight) {
          layer.set_weight_params(of_weight, context());
        } else {
          layer.set_activation_params(of_x, context());
        }
      });
      Parameters expected = before;
      if (!failed)
        (sets_weight ? expected.of_weight : expected.of_x) = sets_weight ? of_weight : of_x;
      expect_same_parameters(parameters(layer), expected);
      const auto backward = [&] {
        layer.backward(step.dy(), saved, step.gradients(), context(), stream());
      };
      if (failed) {
        EXPECT_NO_THROW(backward());
        EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
      } else {
        expect_refused(backward, {"saved", "changed"});
      }
    });
  }
}

TEST_P(DeviceLayerFailures, InCalibrationLeaveTheScalesAsTheyWere) {
  const DeviceStep step(steps_);
  const ConstDeviceTensorView batch = step.x();
  if (GetParam().dtype == DType::kF64) {  // which the device does not calibrate
    DeviceQatLayer layer(steps_.host(), context());
    const Parameters before = parameters(layer);
    expect_invalid([&] { layer.calibrate_from_data({&batch, 1}, context(), stream()); }, {"F64"});
    expect_same_parameters(parameters(layer), before);
    return;
  }
  const QatLayer fresh(LayerSteps::kIn, LayerSteps::kOut, GetParam().config(), 5);
  for (const QatLayer* const start : {&fresh, static_cast<const QatLayer*>(&steps_.host())}) {
    DeviceQatLayer undisturbed(*start, context());
    undisturbed.calibrate_from_data({&batch, 1}, context(), stream());
    const Parameters expected = parameters(undisturbed);
    for_each_call([&](int n) {
      DeviceQatLayer layer(*start, context());
      const Parameters before = parameters(layer);
      const bool failed = fails(n, [&] {
        layer.calibrate_from_data({&batch, 1}, context(), stream());
      });
      expect_same_parameters(parameters(layer), failed ? before : expected);
      layer.calibrate_from_data({&batch, 1}, context(), stream());
      expect_same_parameters(parameters(layer), expected);
    });
  }
}

TEST_P(DeviceLayerFailures, WhereALayerIsMadeLeaveNothing) {
  const QuantizedLayer deployed = steps_.host().quantized(by_reference());
  for (const bool of_codes : {true, false}) {
    for_each_call([&](int n) {
      std::optional<DeviceQatLayer> layer;
      const bool failed = fails(n, [&] {
        if (of_codes) {
          layer.emplace(DeviceQatLayer::of_quantized(deployed, GetParam().config(), context()));
        } else {
          layer.emplace(steps_.host(), context());
        }
      });
      EXPECT_EQ(layer.has_value(), !failed);
    });
  }
}

TEST_P(DeviceLayerFailures, InExportLeaveTheLayerUsable) {
  const DeviceStep step(steps_);
  for (const bool to_host : {true, false}) {
    for_each_call([&](int n) {
      DeviceQatLayer layer(steps_.host(), context());
      static_cast<void>(layer.change_weight());
      DeviceQatLayer::Saved saved;
      const bool failed = fails(n, [&] {
        if (to_host) {
          static_cast<void>(layer.to_host(context(), stream()));
        } else {
          static_cast<void>(layer.quantized(context(), stream()));
        }
      });
      EXPECT_TRUE(failed || was_pending_);
      step.run(layer, saved, context(), stream());
      EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
      expect_same(step.result(), expected_);
    });
  }
}

/// A Saved of a layer on another device takes memory of that one.
TEST_P(DeviceLayerFailures, ASavedGoesWithTheLayersDevice) {
  DeviceQatLayer layer(steps_.host(), context());
  const DeviceStep step(steps_);
  DeviceQatLayer::Saved saved;
  const auto run_on_first = [&] {
    step.run(layer, saved, context(), stream());
    EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
    expect_same(step.result(), expected_);
  };
  run_on_first();
  {
    const SecondDevice second;
    cudaStream_t of_second = nullptr;
    ASSERT_EQ(cudaStreamCreateWithFlags(&of_second, cudaStreamNonBlocking), cudaSuccess);
    const DeviceContext other;
    DeviceQatLayer layer_of_second(steps_.host(), other);
    const DeviceStep step_of_second(steps_);
    expect_refused(
        [&] {
          layer_of_second.backward(step_of_second.dy(), saved, step_of_second.gradients(), other,
                                   of_second);
        },
        {"saved", "another layer"});
    for (int i = 0; i < 2; ++i) {
      step_of_second.run(layer_of_second, saved, other, of_second);
      EXPECT_EQ(cudaStreamSynchronize(of_second), cudaSuccess);
      expect_same(step_of_second.result(), expected_);
    }
    EXPECT_EQ(cudaStreamDestroy(of_second), cudaSuccess);
  }
  run_on_first();
  EXPECT_EQ(simt::fault(), "");
}

/// Every function takes a context of the layer's device, and that device as the current one, before
/// it allocates anything.
TEST_P(DeviceLayerFailures, ALayerIsOfOneDevice) {
  DeviceQatLayer layer(steps_.host(), context());
  const DeviceStep step(steps_);
  DeviceQatLayer::Saved saved;
  step.run(layer, saved, context(), stream());
  EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
  const ConstDeviceTensorView batch = step.x();
  const QuantParams of_weight = steps_.host().weight_params(by_reference());
  const QuantParams of_x = steps_.host().activation_params();
  const auto calls = [&](const DeviceContext& with) {
    return std::vector<std::function<void()>>{
        [&] {
          layer.calibrate_from_data({&batch, 1}, with, stream());
        },
        [&] { layer.set_activation_params(of_x, with); },
        [&] { layer.set_weight_params(of_weight, with); },
        [&] {
          DeviceQatLayer::Saved fresh;
          layer.forward_train(step.x(), step.y(), fresh, with, stream());
        },
        [&] { layer.backward(step.dy(), saved, step.gradients(), with, stream()); },
        [&] { layer.forward_infer(step.x(), step.y(), with, stream()); },
        [&] { static_cast<void>(layer.quantized(with, stream())); },
        [&] { static_cast<void>(layer.to_host(with, stream())); }};
  };
  {
    const SecondDevice second;
    const DeviceContext other;
    for (const auto& call : calls(context())) {
      expect_refused(call, {"the current device is 1; it must be the context's, 0"});
    }
    for (const auto& call : calls(other)) expect_refused(call, {"context.device() is 1", "0"});
  }
  step.run(layer, saved, context(), stream());
  EXPECT_EQ(cudaStreamSynchronize(stream().get()), cudaSuccess);
  expect_same(step.result(), expected_);
}

std::vector<LayerKind> some_kinds() {
  std::vector<LayerKind> result;
  for (const LayerKind& kind : layer_kinds()) {
    const std::string name = kind.name;
    if (name == "int8_affine_f32" || name == "int8_groups_f64" || name == "e4m3_bf16") {
      result.push_back(kind);
    }
  }
  return result;
}

INSTANTIATE_TEST_SUITE_P(Kinds, DeviceLayerFailures, ::testing::ValuesIn(some_kinds()),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace cuqat::test
