// Layers of every awkward shape, at any address, and of special numbers.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/forward_oracle.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"
#include "support/guarded_buffer.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

/// Each kind of product, in each dtype.
std::vector<LayerCase> cases() {
  std::vector<LayerCase> all;
  for (const DType dtype : kDTypes) {
    all.push_back(layer_case(options_of(Format::kInt8), Granularity::channel(0),
                             options_of(Format::kInt8, false), QatProduct::kCodes, dtype));
    all.push_back(layer_case(options_of(Format::kInt4, false), Granularity::channel(0),
                             options_of(Format::kInt8), QatProduct::kCodes, dtype));
    all.push_back(layer_case(options_of(Format::kInt4), Granularity::group(16),
                             options_of(Format::kInt8, false), QatProduct::kNumbers, dtype));
    all.push_back(layer_case(options_of(Format::kE4M3), Granularity::channel(0),
                             options_of(Format::kE5M2), QatProduct::kNumbers, dtype));
    if (dtype == DType::kF64) continue;
    all.push_back(layer_case(options_of(Format::kE4M3), Granularity::channel(0),
                             options_of(Format::kE4M3), QatProduct::kCodes, dtype));
  }
  for (LayerCase& one : all) {
    one.config.learn_weight_scale = true;
    one.config.learn_activation_scale = true;
  }
  return all;
}

class LayerShapes : public testing::TestWithParam<LayerCase> {};

void expect_layer(const LayerCase& of, std::int64_t rows, std::int64_t in, std::int64_t out) {
  SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(in) + " -> " + std::to_string(out));
  const QatLayer original = some_layer(of.config, of.dtype, in, out);
  const Numbers x = some_input(of.dtype, rows, in);
  const Numbers dy = normal_numbers(of.dtype, Shape{rows, out}, 1.0, 70);
  QatLayer judged = original;
  const GradientOracle oracle = gradient_oracle(judged, x, dy);
  for (const char* const backend : kBackends) {
    // The reference takes its time.
    if (std::string(backend) == "reference" && rows * in * out > 200'000) continue;
    QatLayer layer = original;
    const HostOptions options = on(backend, 2);
    QatLayer::Saved saved;
    const Numbers y = trained(layer, x, saved, options);
    expect_forward(layer, x, y);
    EXPECT_EQ(inferred(layer, x, options).bytes, y.bytes);
    Gradients found(layer, x);
    layer.backward(dy.view(), saved, found.views(), options);
    expect_straight_through(found.dx, oracle.dx, oracle.x.clipped);
    expect_straight_through(found.dweight, oracle.dweight, oracle.weight.clipped);
    expect_straight_through(found.dbias, oracle.dbias, {});
    ASSERT_FALSE(testing::Test::HasFailure()) << backend;
  }
}

TEST_P(LayerShapes, OfOddRowsAndFeatures) {
  const std::vector<std::int64_t> features{1, 7, 31, 33, 127, 384};
  const std::vector<std::int64_t> all_rows{0, 1, 63, 64, 65, 257};
  for (std::size_t row_turn = 0; row_turn < all_rows.size(); ++row_turn) {
    for (std::size_t in_turn = 0; in_turn < features.size(); ++in_turn) {
      // Each number of outputs meets each of inputs once, the largest pairs aside.
      const std::int64_t rows = all_rows[row_turn];
      const std::int64_t in = features[in_turn];
      const std::int64_t out = features[(row_turn + in_turn) % 6];
      const std::int64_t most = kSanitized ? 300'000 : 3'000'000;
      expect_layer(GetParam(), rows, in, rows * in * out > most ? 7 : out);
      ASSERT_FALSE(HasFailure());
    }
  }
}

/// An empty batch gives +0 for all gradients of parameters.
TEST_P(LayerShapes, OfNoRows) {
  for (const char* const backend : kBackends) {
    QatLayer layer = some_layer(GetParam().config, GetParam().dtype, 7, 5);
    const Numbers x(GetParam().dtype, Shape{0, 7});
    const Numbers dy(GetParam().dtype, Shape{0, 5});
    const Gradients found = gradients_of(layer, x, dy, on(backend));
    EXPECT_EQ(found.dweight.bytes, Bytes(found.dweight.bytes.size()));
    EXPECT_EQ(found.dbias.bytes, Bytes(found.dbias.bytes.size()));
    for (const double value : found.weight_dscale) EXPECT_EQ(value, 0.0);
    for (const double value : found.activation_dscale) EXPECT_EQ(value, 0.0);
    for (const double value : found.activation_dzero_point) EXPECT_EQ(value, 0.0);
  }
}

TEST_P(LayerShapes, AtAnyAddressHaveTheSameBits) {
  const auto& [name, config, dtype] = GetParam();
  const std::int64_t rows = 13;
  const std::int64_t in = 21;
  const std::int64_t out = 10;
  const Numbers x = some_input(dtype, rows, in);
  const Numbers dy = normal_numbers(dtype, Shape{rows, out}, 1.0, 70);
  for (const char* const backend : kBackends) {
    QatLayer layer = some_layer(config, dtype, in, out);
    QatLayer::Saved saved;
    const Numbers y = trained(layer, x, saved, on(backend));
    Gradients expected(layer, x);
    layer.backward(dy.view(), saved, expected.views(), on(backend));
    for (std::size_t offset = 1; offset < 16; ++offset) {
      GuardedBuffer x_memory(x.bytes, offset);
      GuardedBuffer dy_memory(dy.bytes, offset);
      GuardedBuffer y_memory(y.bytes.size(), offset);
      GuardedBuffer dx_memory(x.bytes.size(), offset);
      GuardedBuffer dweight_memory(expected.dweight.bytes.size(), offset);
      GuardedBuffer dbias_memory(expected.dbias.bytes.size(), offset);
      const ConstTensorView x_view(x_memory.data(), dtype, x.shape);
      const TensorView y_view(y_memory.data(), dtype, y.shape);
      layer.forward_train(x_view, y_view, saved, on(backend));
      Gradients found(layer, x);
      QatGradients views = found.views();
      views.dx = {dx_memory.data(), dtype, x.shape};
      views.dweight = {dweight_memory.data(), views.dweight.dtype(), views.dweight.shape()};
      views.dbias = {dbias_memory.data(), views.dbias.dtype(), views.dbias.shape()};
      layer.backward({dy_memory.data(), dtype, dy.shape}, saved, views, on(backend));
      EXPECT_TRUE(y_memory.holds(y.bytes)) << backend << ", " << offset;
      EXPECT_TRUE(dx_memory.holds(expected.dx.bytes)) << backend << ", " << offset;
      EXPECT_TRUE(dweight_memory.holds(expected.dweight.bytes)) << backend << ", " << offset;
      EXPECT_TRUE(dbias_memory.holds(expected.dbias.bytes)) << backend << ", " << offset;
      EXPECT_EQ(found.weight_dscale, expected.weight_dscale);
      EXPECT_EQ(found.activation_dscale, expected.activation_dscale);
      layer.forward_infer(x_view, y_view, on(backend));
      EXPECT_TRUE(y_memory.holds(y.bytes)) << backend << ", " << offset;
      for (GuardedBuffer* const memory :
           {&x_memory, &dy_memory, &y_memory, &dx_memory, &dweight_memory, &dbias_memory}) {
        EXPECT_TRUE(memory->guards_intact()) << backend << ", " << offset;
      }
    }
  }
}

TEST_P(LayerShapes, OfSpecialInputs) {
  const auto& [name, config, dtype] = GetParam();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const std::int64_t in = 9;
  std::vector<double> values(8 * 9, 0.0);
  for (std::size_t i = 0; i < 9; ++i) {
    values[9 + i] = -0.0;
    values[18 + i] = 0.625;
    values[27 + i] = i == 4 ? std::nan("") : 0.1 * static_cast<double>(i);
    values[36 + i] = i % 2 == 0 ? kInfinity : -kInfinity;
    values[45 + i] = i == 8 ? kInfinity : 0.25;
    values[54 + i] = i == 0 ? std::nan("") : i == 1 ? kInfinity : -1.0;
    values[63 + i] = 1e-30;
  }
  const Numbers x(dtype, Shape{8, in}, values);
  for (const char* const backend : kBackends) {
    QatLayer layer = some_layer(config, dtype, in, 6);
    const Numbers y = trained(layer, x, on(backend));
    expect_forward(layer, x, y);
    EXPECT_EQ(inferred(layer, x, on(backend)).bytes, y.bytes);
    const std::vector<double> found = y.values();
    const std::vector<double> bias =
        rounded_to(dtype, Numbers(layer.bias().dtype(), Shape{6}, values_of(layer.bias())))
            .values();
    for (std::size_t j = 0; j < 6; ++j) {
      // A product of zeros is the bias.
      EXPECT_EQ(found[j], bias[j]);
      EXPECT_EQ(found[6 + j], bias[j]);
      const bool keeps_nan =
          config.product == QatProduct::kNumbers || !is_integer(config.activation.format);
      EXPECT_EQ(std::isnan(found[18 + j]), keeps_nan);
      EXPECT_EQ(std::isnan(found[36 + j]), keeps_nan);
      EXPECT_TRUE(std::isfinite(found[24 + j]));
    }
  }
}

/// Calibrated on constants and zeros alone, a layer still computes.
TEST_P(LayerShapes, OfConstantCalibrationData) {
  const auto& [name, config, dtype] = GetParam();
  for (const double constant : {0.0, 0.5, -3.0, 1e-30}) {
    for (const char* const backend : kBackends) {
      QatLayer layer(6, 4, config, 2);
      const Numbers x(dtype, Shape{3, 6}, std::vector<double>(18, constant));
      const ConstTensorView batches[] = {x.view()};
      layer.calibrate_from_data(batches, on(backend));
      const double scale = layer.activation_params().scale.at(0);
      EXPECT_TRUE(std::isnormal(scale) && scale > 0.0) << scale;
      expect_forward(layer, x, trained(layer, x, on(backend)));
    }
  }
}

/// So do outputs whose weights are all zeros.
TEST_P(LayerShapes, OfZeroWeights) {
  const auto& [name, config, dtype] = GetParam();
  for (const char* const backend : kBackends) {
    QatLayer layer = some_layer(config, dtype, 6, 4);
    fill(layer.change_weight(), std::vector<double>(24, 0.0));
    const Numbers x = some_input(dtype, 3, 6);
    const ConstTensorView batches[] = {x.view()};
    layer.calibrate_from_data(batches, on(backend));
    for (const double scale : layer.weight_params().scale) EXPECT_EQ(scale, 1.0);
    const Numbers y = trained(layer, x, on(backend));
    const std::vector<double> bias =
        rounded_to(dtype, Numbers(layer.bias().dtype(), Shape{4}, values_of(layer.bias())))
            .values();
    const std::vector<double> found = y.values();
    for (std::size_t i = 0; i < found.size(); ++i) EXPECT_EQ(found[i], bias[i % 4]);
  }
}

INSTANTIATE_TEST_SUITE_P(Every, LayerShapes, testing::ValuesIn(cases()), case_name);

}  // namespace
}  // namespace cuqat::test
