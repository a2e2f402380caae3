// The gradients of input, weights and bias against sums in f64, straight through.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 9;
constexpr std::int64_t kIn = 21;
constexpr std::int64_t kOut = 13;

std::vector<LayerCase> all_cases() {
  std::vector<LayerCase> cases;
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    for (const LayerCase& one : integer_cases(product)) cases.push_back(one);
    for (const LayerCase& one : fp8_cases(product)) cases.push_back(one);
  }
  return cases;
}

Numbers some_gradient(DType dtype, std::int64_t rows, std::int64_t out_features) {
  return normal_numbers(dtype, Shape{rows, out_features}, 1.0, 70);
}

/// A layer of which some weights are clipped: their scales are 0.7 of what calibration gave.
QatLayer clipping_layer(const LayerCase& of) {
  QatLayer layer = some_layer(of.config, of.dtype, kIn, kOut);
  QuantParams params = layer.weight_params();
  for (double& scale : params.scale) scale *= 0.7;
  layer.set_weight_params(params);
  return layer;
}

std::size_t count_of(const std::vector<bool>& flags) {
  return static_cast<std::size_t>(std::count(flags.begin(), flags.end(), true));
}

class Backward : public testing::TestWithParam<LayerCase> {};

TEST_P(Backward, GivesTheStraightThroughGradients) {
  const DType dtype = GetParam().dtype;
  const QatLayer original = clipping_layer(GetParam());
  const Numbers x = some_input(dtype, kRows, kIn);
  const Numbers dy = some_gradient(dtype, kRows, kOut);
  QatLayer judged = original;
  const GradientOracle oracle = gradient_oracle(judged, x, dy);
  // Both ways are taken.
  ASSERT_GT(count_of(oracle.weight.clipped), 0u);
  ASSERT_LT(count_of(oracle.weight.clipped), oracle.weight.clipped.size());
  ASSERT_GT(count_of(oracle.x.clipped), 0u);
  ASSERT_LT(count_of(oracle.x.clipped), oracle.x.clipped.size());
  for (const char* const backend : kBackends) {
    for (const int num_threads : {1, 2}) {
      QatLayer layer = original;
      const Gradients found = gradients_of(layer, x, dy, on(backend, num_threads));
      expect_straight_through(found.dx, oracle.dx, oracle.x.clipped);
      expect_straight_through(found.dweight, oracle.dweight, oracle.weight.clipped);
      expect_straight_through(found.dbias, oracle.dbias, {});
      ASSERT_FALSE(HasFailure()) << backend << ", " << num_threads;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, Backward, testing::ValuesIn(all_cases()), case_name);

LayerCase plain_case(DType dtype, QatProduct product = QatProduct::kCodes) {
  return layer_case(options_of(Format::kInt8), Granularity::channel(0),
                    options_of(Format::kInt8, false), product, dtype);
}

TEST(BackwardOutputs, ThatAreEmptyAreNotComputed) {
  for (const DType dtype : kDTypes) {
    for (const char* const backend : kBackends) {
      LayerCase of = plain_case(dtype);
      of.config.learn_weight_scale = true;
      of.config.learn_activation_scale = true;
      QatLayer layer = clipping_layer(of);
      const Numbers x = some_input(dtype, kRows, kIn);
      const Numbers dy = some_gradient(dtype, kRows, kOut);
      QatLayer::Saved saved;
      trained(layer, x, saved, on(backend));
      Gradients all(layer, x);
      layer.backward(dy.view(), saved, all.views(), on(backend));
      for (int chosen = 0; chosen < 64; ++chosen) {
        Gradients some(layer, x);
        const Gradients untouched = some;
        QatGradients views = some.views();
        const auto wanted = [&](int bit) { return (chosen >> bit & 1) != 0; };
        if (!wanted(0)) views.dx = {};
        if (!wanted(1)) views.dweight = {};
        if (!wanted(2)) views.dbias = {};
        if (!wanted(3)) views.weight = {};
        if (!wanted(4)) views.activation = {};
        if (!wanted(5)) views.activation.dzero_point = {};
        layer.backward(dy.view(), saved, views, on(backend));
        EXPECT_EQ(some.dx.bytes, (wanted(0) ? all : untouched).dx.bytes) << chosen;
        EXPECT_EQ(some.dweight.bytes, (wanted(1) ? all : untouched).dweight.bytes) << chosen;
        EXPECT_EQ(some.dbias.bytes, (wanted(2) ? all : untouched).dbias.bytes) << chosen;
        EXPECT_EQ(some.weight_dscale, (wanted(3) ? all : untouched).weight_dscale) << chosen;
        EXPECT_EQ(some.activation_dscale, (wanted(4) ? all : untouched).activation_dscale)
            << chosen;
        EXPECT_EQ(some.activation_dzero_point,
                  (wanted(4) && wanted(5) ? all : untouched).activation_dzero_point)
            << chosen;
      }
    }
  }
}

TEST(BackwardOfNaN, IsNaNInTheWeightsAndZeroInTheInput) {
  for (const DType dtype : kDTypes) {
    for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
      for (const char* const backend : kBackends) {
        const LayerCase of = plain_case(dtype, product);
        QatLayer layer = some_layer(of.config, dtype, kIn, kOut);
        std::vector<double> values = normal_values(kRows * kIn, 0.5, 7);
        const std::vector<double> finite = values;
        values[3 * kIn + 4] = std::numeric_limits<double>::quiet_NaN();
        const Numbers x(dtype, Shape{kRows, kIn}, values);
        const Numbers dy = some_gradient(dtype, kRows, kOut);
        const Gradients found = gradients_of(layer, x, dy, on(backend));
        const std::vector<double> dweight = found.dweight.values();
        for (std::size_t i = 0; i < dweight.size(); ++i) {
          EXPECT_EQ(std::isnan(dweight[i]), i % kIn == 4) << i;
        }
        const std::vector<double> dx = found.dx.values();
        EXPECT_EQ(dx[3 * kIn + 4], 0.0);
        EXPECT_FALSE(std::signbit(dx[3 * kIn + 4]));
        const Numbers clean(dtype, Shape{kRows, kIn}, finite);
        const Gradients others = gradients_of(layer, clean, dy, on(backend));
        EXPECT_EQ(found.dbias.bytes, others.dbias.bytes);
        std::vector<double> expected_dx = others.dx.values();
        expected_dx[3 * kIn + 4] = 0.0;
        EXPECT_EQ(dx, expected_dx);
      }
    }
  }
}

/// An infinite gradient passes where nothing is clipped, and is +0 elsewhere.
TEST(BackwardOfInfinities, SaturatedInputsHaveNoGradient) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const DType dtype : kDTypes) {
    for (const char* const backend : kBackends) {
      QatLayerConfig config = plain_case(dtype).config;
      QatLayer layer(2, 1, config);
      fill(layer.change_weight(), std::vector{0.5, 1.0});
      const Numbers batch(dtype, Shape{1, 2}, std::vector{-1.0, 1.0});
      const ConstTensorView batches[] = {batch.view()};
      layer.calibrate_from_data(batches);
      const Numbers x(dtype, Shape{3, 2}, std::vector{kInfinity, 0.5, -kInfinity, -0.5, 0.0, 0.25});
      const Numbers dy(dtype, Shape{3, 1}, std::vector{1.0, 2.0, kInfinity});
      const std::vector<double> dx = gradients_of(layer, x, dy, on(backend)).dx.values();
      EXPECT_EQ(dx[0], 0.0);
      EXPECT_EQ(dx[2], 0.0);
      EXPECT_EQ(dx[1], 1.0);
      EXPECT_EQ(dx[3], 2.0);
      EXPECT_EQ(dx[4], kInfinity);
      EXPECT_EQ(dx[5], kInfinity);
    }
  }
}

}  // namespace
}  // namespace cuqat::test
