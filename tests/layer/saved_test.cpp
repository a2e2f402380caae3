// What a Saved stands for: one forward pass of the parameters as they were.
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "host/expect_invalid.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 6;
constexpr std::int64_t kIn = 19;
constexpr std::int64_t kOut = 7;

QatLayerConfig learning_config(QatProduct product = QatProduct::kCodes) {
  QatLayerConfig config;
  config.activation.symmetric = false;
  config.learn_weight_scale = true;
  config.learn_activation_scale = true;
  config.product = product;
  return config;
}

Numbers some_gradient(DType dtype, std::int64_t rows, std::uint64_t seed = 70) {
  return normal_numbers(dtype, Shape{rows, kOut}, 1.0, seed);
}

void expect_same(const Gradients& found, const Gradients& expected) {
  EXPECT_EQ(found.dx.bytes, expected.dx.bytes);
  EXPECT_EQ(found.dweight.bytes, expected.dweight.bytes);
  EXPECT_EQ(found.dbias.bytes, expected.dbias.bytes);
  EXPECT_EQ(found.weight_dscale, expected.weight_dscale);
  EXPECT_EQ(found.activation_dscale, expected.activation_dscale);
  EXPECT_EQ(found.activation_dzero_point, expected.activation_dzero_point);
}

struct Change {
  std::string name;
  void (*make)(QatLayer&);
};

const std::vector<Change> kChanges{
    {"Weight", [](QatLayer& layer) { static_cast<void>(layer.change_weight()); }},
    {"WeightParams",
     [](QatLayer& layer) { layer.set_weight_params(QuantParams(layer.weight_params())); }},
    {"ActivationParams",
     [](QatLayer& layer) { layer.set_activation_params(QuantParams(layer.activation_params())); }},
    {"Calibration",
     [](QatLayer& layer) {
       const Numbers batch = normal_numbers(DType::kF32, Shape{3, kIn}, 1.0, 5);
       const ConstTensorView batches[] = {batch.view()};
       layer.calibrate_from_data(batches);
     }},
};

class ChangedParameters : public testing::TestWithParam<Change> {};

TEST_P(ChangedParameters, MakeASavedUnusable) {
  QatLayer layer = some_layer(learning_config(), DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy = some_gradient(DType::kF32, kRows);
  QatLayer::Saved saved;
  trained(layer, x, saved);
  GetParam().make(layer);
  Gradients found(layer, x);
  const Gradients untouched = found;
  expect_invalid([&] { layer.backward(dy.view(), saved, found.views()); }, {"saved", "changed"});
  expect_same(found, untouched);
  // The next step with it is as one with a new Saved.
  trained(layer, x, saved);
  layer.backward(dy.view(), saved, found.views());
  expect_same(found, gradients_of(layer, x, dy));
}

INSTANTIATE_TEST_SUITE_P(Saved, ChangedParameters, testing::ValuesIn(kChanges),
                         [](const auto& param) { return param.param.name; });

TEST(Saved, OfNoForwardPassIsRefused) {
  QatLayer layer = some_layer(learning_config(), DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy = some_gradient(DType::kF32, kRows);
  QatLayer::Saved saved;
  Gradients found(layer, x);
  expect_invalid([&] { layer.backward(dy.view(), saved, found.views()); }, {"saved"});
  const Numbers none(DType::kF32, Shape{0, kOut});
  expect_invalid([&] { layer.backward(none.view(), saved, {}); }, {"saved"});
}

TEST(Saved, OfALayerOfOtherFeaturesIsRefused) {
  for (const std::int64_t of_other : {kIn - 3, kIn + 1}) {
    QatLayer layer = some_layer(learning_config(), DType::kF32, kIn, kOut);
    QatLayer other = some_layer(learning_config(), DType::kF32, of_other, kOut);
    const Numbers x = some_input(DType::kF32, kRows, of_other);
    const Numbers dy = some_gradient(DType::kF32, kRows);
    QatLayer::Saved saved;
    trained(other, x, saved);
    // The gradient of the bias needs nothing of it.
    for (const int chosen : {0, 1, 3, 4}) {
      Gradients some(layer, x);
      QatGradients views;
      if (chosen == 0) views.dx = some.dx.writable();
      if (chosen == 1) views.dweight = some.dweight.writable();
      if (chosen == 3) views.weight = {some.weight_dscale, {}};
      if (chosen == 4) views.activation = {some.activation_dscale, {}};
      EXPECT_THROW(layer.backward(dy.view(), saved, views), InvalidArgument) << chosen;
    }
  }
}

/// What does not change parameters leaves it as it is.
TEST(Saved, OutlivesInferenceExportAndRefusedCalls) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    QatLayer layer = some_layer(learning_config(product), DType::kF32, kIn, kOut);
    const Numbers x = some_input(DType::kF32, kRows, kIn);
    const Numbers dy = some_gradient(DType::kF32, kRows);
    const Gradients expected = gradients_of(layer, x, dy);
    QatLayer::Saved saved;
    trained(layer, x, saved);
    inferred(layer, some_input(DType::kBF16, 3, kIn));
    static_cast<void>(layer.quantized());
    static_cast<void>(layer.weight_params());
    QuantParams bad = layer.weight_params();
    bad.scale[0] = -1.0;
    EXPECT_THROW(layer.set_weight_params(bad), InvalidArgument);
    EXPECT_THROW(layer.calibrate_from_data({}), InvalidArgument);
    Gradients found(layer, x);
    const Numbers wide = some_gradient(DType::kF64, kRows);
    EXPECT_THROW(layer.backward(wide.view(), saved, found.views()), InvalidArgument);
    layer.backward(dy.view(), saved, found.views());
    expect_same(found, expected);
    Gradients again(layer, x);
    layer.backward(dy.view(), saved, again.views());
    expect_same(again, expected);
  }
}

/// Used twice in a step: each use has its own Saved, and the first is as if there were no second.
TEST(Saved, OfEachUseInAStepGivesTheGradientsOfThatUse) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
      QatLayer layer = some_layer(learning_config(product), DType::kF32, kIn, kOut);
      const Numbers x1 = some_input(dtype, kRows, kIn, 1);
      const Numbers x2 = some_input(DType::kF32, kRows + 3, kIn, 2);
      const Numbers dy1 = some_gradient(dtype, kRows, 3);
      const Numbers dy2 = some_gradient(DType::kF32, kRows + 3, 4);
      QatLayer alone = layer;
      const Gradients first = gradients_of(alone, x1, dy1);
      const Gradients second = gradients_of(alone, x2, dy2);
      QatLayer::Saved saved1;
      QatLayer::Saved saved2;
      trained(layer, x1, saved1);
      trained(layer, x2, saved2);
      Gradients found1(layer, x1);
      Gradients found2(layer, x2);
      layer.backward(dy2.view(), saved2, found2.views());
      layer.backward(dy1.view(), saved1, found1.views());
      expect_same(found1, first);
      expect_same(found2, second);
      // A copy stands for the same pass.
      const QatLayer::Saved copy = saved1;
      trained(layer, x2, saved1);
      Gradients again(layer, x1);
      layer.backward(dy1.view(), copy, again.views());
      expect_same(again, first);
    }
  }
}

/// The input's memory is the caller's again as soon as the forward pass is over.
TEST(Saved, KeepsNoMemoryOfTheInput) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    QatLayer layer = some_layer(learning_config(product), DType::kF32, kIn, kOut);
    Numbers x = some_input(DType::kF32, kRows, kIn);
    const Numbers dy = some_gradient(DType::kF32, kRows);
    const Gradients expected = gradients_of(layer, x, dy);
    QatLayer::Saved saved;
    trained(layer, x, saved);
    fill(x.writable(), std::vector<double>(kRows * kIn, 1e30));
    Gradients found(layer, x);
    layer.backward(dy.view(), saved, found.views());
    expect_same(found, expected);
  }
}

/// One for batches of any size and dtype, one after the other.
TEST(Saved, IsUsedAgainForOtherBatches) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    QatLayer layer = some_layer(learning_config(product), DType::kF32, kIn, kOut);
    QatLayer::Saved saved;
    std::uint64_t seed = 1;
    for (const std::int64_t rows : {6, 40, 0, 3, 40}) {
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        const Numbers x = some_input(dtype, rows, kIn, ++seed);
        const Numbers dy = some_gradient(dtype, rows, ++seed);
        trained(layer, x, saved);
        Gradients found(layer, x);
        layer.backward(dy.view(), saved, found.views());
        expect_same(found, gradients_of(layer, x, dy));
      }
    }
  }
}

}  // namespace
}  // namespace cuqat::test
