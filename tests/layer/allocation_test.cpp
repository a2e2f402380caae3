// Out of memory at each allocation of a step in turn: the step throws, the layer's parameters stay,
// and the next step has the bits of one that nothing disturbed.
#include <gtest/gtest.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/failing_allocations.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 9;
constexpr std::int64_t kIn = 12;
constexpr std::int64_t kOut = 7;

struct Parameters {
  Bytes weight;
  Bytes bias;
  std::optional<QuantParams> of_x;
  std::optional<QuantParams> of_w;  ///< Where they are learned.

  explicit Parameters(QatLayer& layer)
      : weight(bytes_of_view(layer.weight())), bias(bytes_of_view(layer.bias())) {
    if (layer.is_calibrated()) of_x = layer.activation_params();
    if (layer.config().learn_weight_scale && layer.is_calibrated()) of_w = layer.weight_params();
  }
};

void expect_same(const Parameters& found, const Parameters& expected) {
  ASSERT_EQ(found.weight, expected.weight);
  ASSERT_EQ(found.bias, expected.bias);
  ASSERT_EQ(found.of_x.has_value(), expected.of_x.has_value());
  ASSERT_EQ(found.of_w.has_value(), expected.of_w.has_value());
  if (found.of_x) {
    ASSERT_EQ(found.of_x->scale, expected.of_x->scale);
  }
  if (found.of_x) {
    ASSERT_EQ(found.of_x->zero_point, expected.of_x->zero_point);
  }
  if (found.of_w) {
    ASSERT_EQ(found.of_w->scale, expected.of_w->scale);
  }
}

/// What a step computes, into memory that is there before it.
struct Step {
  QatLayer::Saved saved;
  Numbers y;
  Gradients gradients;
  Numbers inferred;
  bool went_forward = false;

  Step(QatLayer& layer, const Numbers& x)
      : y(x.dtype, Shape{x.shape[0], layer.out_features()}), gradients(layer, x), inferred(y) {}
  void run(QatLayer& layer, const Numbers& x, const Numbers& dy, const HostOptions& options) {
    layer.forward_train(x.view(), y.writable(), saved, options);
    went_forward = true;
    layer.backward(dy.view(), saved, gradients.views(), options);
    layer.forward_infer(x.view(), inferred.writable(), options);
  }
};

void expect_same(const Step& found, const Step& expected) {
  ASSERT_EQ(found.y.bytes, expected.y.bytes);
  ASSERT_EQ(found.inferred.bytes, expected.inferred.bytes);
  ASSERT_EQ(found.gradients.dx.bytes, expected.gradients.dx.bytes);
  ASSERT_EQ(found.gradients.dweight.bytes, expected.gradients.dweight.bytes);
  ASSERT_EQ(found.gradients.dbias.bytes, expected.gradients.dbias.bytes);
  ASSERT_EQ(found.gradients.weight_dscale, expected.gradients.weight_dscale);
  ASSERT_EQ(found.gradients.activation_dscale, expected.gradients.activation_dscale);
  ASSERT_EQ(found.gradients.activation_dzero_point, expected.gradients.activation_dzero_point);
}

std::vector<LayerCase> cases() {
  std::vector<LayerCase> all;
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF64}) {
    for (const bool learned : {false, true}) {
      for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
        LayerCase of = layer_case(options_of(Format::kInt4), Granularity::channel(0),
                                  options_of(Format::kInt8, false), product, dtype);
        LayerCase fp8 = layer_case(options_of(Format::kE4M3), Granularity::channel(0),
                                   options_of(Format::kE5M2), product, dtype);
        for (LayerCase* const one : {&of, &fp8}) {
          if (one == &fp8 && product == QatProduct::kCodes && dtype == DType::kF64) continue;
          one->config.learn_weight_scale = learned;
          one->config.learn_activation_scale = learned;
          one->name += learned ? "_learned" : "";
          all.push_back(*one);
        }
      }
    }
  }
  return all;
}

class OutOfMemory : public testing::TestWithParam<LayerCase> {};

TEST_P(OutOfMemory, InAStepLeavesTheLayerUsable) {
  const auto& [name, config, dtype] = GetParam();
  const Numbers x = some_input(dtype, kRows, kIn);
  const Numbers dy = normal_numbers(dtype, Shape{kRows, kOut}, 1.0, 70);
  for (const char* const backend : kBackends) {
    const HostOptions options = on(backend);
    const QatLayer original = some_layer(config, dtype, kIn, kOut);
    QatLayer undisturbed = original;
    Step expected(undisturbed, x);
    expected.run(undisturbed, x, dy, options);
    int num_thrown = 0;
    Ending ending = Ending::kThrew;
    for (std::int64_t n = 1; ending != Ending::kUndisturbed; ++n) {
      ASSERT_LT(n, 100'000);
      QatLayer layer = original;
      // So that its weights are quantized in the step.
      static_cast<void>(layer.change_weight());
      Step step(layer, x);
      const Parameters before(layer);
      static_cast<void>(layer.change_weight());
      ending = run_failing(n, [&] { step.run(layer, x, dy, options); });
      SCOPED_TRACE(std::string(backend) + ", allocation " + std::to_string(n));
      expect_same(Parameters(layer), before);
      if (ending == Ending::kThrew) {
        ++num_thrown;
        if (!step.went_forward) {
          EXPECT_THROW(layer.backward(dy.view(), step.saved, {}, options), InvalidArgument);
        }
      } else {
        expect_same(step, expected);
      }
      Step again(layer, x);
      again.run(layer, x, dy, options);
      expect_same(again, expected);
      ASSERT_FALSE(HasFailure());
    }
    EXPECT_GT(num_thrown, 3);
  }
}

/// All or nothing: the scales before, or those that calibration gives.
TEST_P(OutOfMemory, InCalibrationLeavesTheScalesAsTheyWere) {
  const auto& [name, config, dtype] = GetParam();
  const Numbers x = some_input(dtype, kRows, kIn);
  const ConstTensorView batches[] = {x.view()};
  for (const char* const backend : kBackends) {
    const QatLayer fresh(kIn, kOut, config, 1);
    QatLayer original = some_layer(config, dtype, kIn, kOut);
    for (const QatLayer* const start : {&fresh, static_cast<const QatLayer*>(&original)}) {
      QatLayer undisturbed = *start;
      undisturbed.calibrate_from_data(batches, on(backend));
      const Parameters expected(undisturbed);
      const Bytes y = inferred(undisturbed, x, on(backend)).bytes;
      int num_thrown = 0;
      Ending ending = Ending::kThrew;
      for (std::int64_t n = 1; ending != Ending::kUndisturbed; ++n) {
        ASSERT_LT(n, 100'000);
        SCOPED_TRACE(std::string(backend) + ", allocation " + std::to_string(n));
        QatLayer layer = *start;
        const Parameters before(layer);
        ending = run_failing(n, [&] { layer.calibrate_from_data(batches, on(backend)); });
        num_thrown += ending == Ending::kThrew ? 1 : 0;
        expect_same(Parameters(layer), ending == Ending::kThrew ? before : expected);
        layer.calibrate_from_data(batches, on(backend));
        expect_same(Parameters(layer), expected);
        ASSERT_EQ(inferred(layer, x, on(backend)).bytes, y);
        ASSERT_FALSE(HasFailure());
      }
      EXPECT_GT(num_thrown, 0);
    }
  }
}

/// Parameters of the caller's that are refused for want of memory, and an export.
TEST_P(OutOfMemory, InSettersAndExportLeavesTheLayerAsItWas) {
  const auto& [name, config, dtype] = GetParam();
  const Numbers x = some_input(dtype, kRows, kIn);
  const QatLayer original = some_layer(config, dtype, kIn, kOut);
  QatLayer undisturbed = original;
  const Bytes y = inferred(undisturbed, x).bytes;
  QuantParams of_w = undisturbed.weight_params();
  QuantParams of_x = undisturbed.activation_params();
  for (double& scale : of_w.scale) scale *= 2.0;
  of_x.scale[0] *= 2.0;
  Ending ending = Ending::kThrew;
  for (std::int64_t n = 1; ending != Ending::kUndisturbed; ++n) {
    ASSERT_LT(n, 100'000);
    QatLayer layer = original;
    ending = run_failing(n, [&] { layer.set_weight_params(of_w); });
    if (ending == Ending::kThrew) {
      ASSERT_EQ(inferred(layer, x).bytes, y) << n;
    }
  }
  ending = Ending::kThrew;
  for (std::int64_t n = 1; ending != Ending::kUndisturbed; ++n) {
    ASSERT_LT(n, 100'000);
    QatLayer layer = original;
    ending = run_failing(n, [&] { layer.set_activation_params(of_x); });
    if (ending == Ending::kThrew) {
      ASSERT_EQ(inferred(layer, x).bytes, y) << n;
    }
  }
  ending = Ending::kThrew;
  for (std::int64_t n = 1; ending != Ending::kUndisturbed; ++n) {
    ASSERT_LT(n, 100'000);
    QatLayer layer = original;
    ending = run_failing(n, [&] { static_cast<void>(layer.quantized()); });
    ASSERT_EQ(inferred(layer, x).bytes, y) << n;
  }
}

INSTANTIATE_TEST_SUITE_P(Layer, OutOfMemory, testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace cuqat::test
