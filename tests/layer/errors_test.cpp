// Calls that do not fit a layer: the argument and its value are named, nothing is written, and the
// layer goes on with the same bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
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

QatLayerConfig learning_config() {
  QatLayerConfig config;
  config.activation.symmetric = false;
  config.learn_weight_scale = true;
  config.learn_activation_scale = true;
  return config;
}

template <typename View>
QatGradients only(View QatGradients::*output, const View& view) {
  QatGradients gradients;
  gradients.*output = view;
  return gradients;
}

class LayerErrors : public testing::Test {
 protected:
  LayerErrors() : layer_(some_layer(learning_config(), DType::kF32, kIn, kOut)) {
    y_ = trained(layer_, x_, saved_);
    expected_.emplace(gradients_of(layer_, x_, dy_));
    found_.emplace(layer_, x_);
  }
  void TearDown() override {
    const Gradients untouched(layer_, x_);
    EXPECT_EQ(found_->dx.bytes, untouched.dx.bytes);
    EXPECT_EQ(found_->dweight.bytes, untouched.dweight.bytes);
    EXPECT_EQ(found_->dbias.bytes, untouched.dbias.bytes);
    EXPECT_EQ(found_->weight_dscale, untouched.weight_dscale);
    EXPECT_EQ(found_->activation_dscale, untouched.activation_dscale);
    EXPECT_EQ(found_->activation_dzero_point, untouched.activation_dzero_point);
    EXPECT_EQ(output_.bytes, Numbers(DType::kF32, Shape{kRows, kOut}).bytes);
    EXPECT_EQ(bytes_of_view(layer_.weight()), weight_);
    EXPECT_EQ(bytes_of_view(layer_.bias()), bias_);
    EXPECT_EQ(layer_.weight_params().scale, of_w_.scale);
    EXPECT_EQ(layer_.activation_params().scale, of_x_.scale);
    EXPECT_EQ(layer_.activation_params().zero_point, of_x_.zero_point);
    EXPECT_EQ(inferred(layer_, x_).bytes, y_.bytes);
    EXPECT_EQ(trained(layer_, x_, saved_).bytes, y_.bytes);
    layer_.backward(dy_.view(), saved_, found_->views());
    EXPECT_EQ(found_->dx.bytes, expected_->dx.bytes);
    EXPECT_EQ(found_->dweight.bytes, expected_->dweight.bytes);
    EXPECT_EQ(found_->dbias.bytes, expected_->dbias.bytes);
    EXPECT_EQ(found_->weight_dscale, expected_->weight_dscale);
    EXPECT_EQ(found_->activation_dscale, expected_->activation_dscale);
    EXPECT_EQ(found_->activation_dzero_point, expected_->activation_dzero_point);
  }

  /// Both passes forward refuse it.
  void expect_forward_refused(ConstTensorView x, TensorView y,
                              std::initializer_list<std::string_view> parts) {
    QatLayer::Saved saved;
    expect_invalid([&] { layer_.forward_train(x, y, saved); }, parts);
    expect_invalid([&] { layer_.forward_infer(x, y); }, parts);
  }
  void expect_backward_refused(const QatGradients& gradients,
                               std::initializer_list<std::string_view> parts) {
    expect_invalid([&] { layer_.backward(dy_.view(), saved_, gradients); }, parts);
  }

  QatLayer layer_;
  const Bytes weight_ = bytes_of_view(layer_.weight());
  const Bytes bias_ = bytes_of_view(layer_.bias());
  const QuantParams of_w_ = layer_.weight_params();
  const QuantParams of_x_ = layer_.activation_params();
  const Numbers x_ = some_input(DType::kF32, kRows, kIn);
  const Numbers dy_ = normal_numbers(DType::kF32, Shape{kRows, kOut}, 1.0, 70);
  Numbers y_;
  Numbers output_{DType::kF32, Shape{kRows, kOut}};
  QatLayer::Saved saved_;
  std::optional<Gradients> expected_;
  std::optional<Gradients> found_;
};

TEST_F(LayerErrors, ABatchOfAnotherWidthIsNamed) {
  const Numbers wide(DType::kF32, Shape{kRows, kIn + 1});
  expect_forward_refused(wide.view(), output_.writable(), {"x", "[5, 7]", "6"});
  const Numbers flat(DType::kF32, Shape{kRows * kIn});
  expect_forward_refused(flat.view(), output_.writable(), {"x", "[30]"});
  const Numbers deep(DType::kF32, Shape{1, kRows, kIn});
  expect_forward_refused(deep.view(), output_.writable(), {"x", "[1, 5, 6]"});
  for (const Numbers* const batch : {&wide, &flat, &deep}) {
    const ConstTensorView batches[] = {x_.view(), batch->view()};
    expect_invalid([&] { layer_.calibrate_from_data(batches); }, {"shape()"});
  }
}

TEST_F(LayerErrors, AnOutputThatDoesNotFitIsNamed) {
  for (const Shape& shape :
       {Shape{kRows, kOut + 1}, Shape{kRows - 1, kOut}, Shape{kRows * kOut}, Shape{kOut, kRows}}) {
    Numbers y(DType::kF32, shape);
    expect_forward_refused(x_.view(), y.writable(), {"y.shape() is ["});
    EXPECT_EQ(y.bytes, Numbers(DType::kF32, shape).bytes);
  }
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF64}) {
    Numbers y(dtype, Shape{kRows, kOut});
    expect_forward_refused(x_.view(), y.writable(), {"y", to_string(dtype), "F32"});
  }
  expect_forward_refused(x_.view(), {}, {"y.shape() is [0]", "[5, 3]"});
  expect_forward_refused(x_.view(), {static_cast<float*>(nullptr), Shape{kRows, kOut}},
                         {"y", "null"});
  expect_forward_refused({static_cast<const float*>(nullptr), Shape{kRows, kIn}},
                         output_.writable(), {"x", "null"});
}

TEST_F(LayerErrors, ADTypeThatDoesNotFitTheWeightsIsNamed) {
  const Numbers x(DType::kF64, Shape{kRows, kIn});
  Numbers y(DType::kF64, Shape{kRows, kOut});
  expect_forward_refused(x.view(), y.writable(), {"x", "F64"});
  const ConstTensorView batches[] = {x.view()};
  expect_invalid([&] { layer_.calibrate_from_data(batches); }, {"dtype() is F64", "F32"});

  QatLayerConfig config;
  config.weight_dtype = DType::kF64;
  QatLayer wide = some_layer(config, DType::kF64, kIn, kOut);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    const Numbers narrow(dtype, Shape{kRows, kIn});
    Numbers of_narrow(dtype, Shape{kRows, kOut});
    expect_invalid([&] { wide.forward_infer(narrow.view(), of_narrow.writable()); },
                   {"x", to_string(dtype), "F64"});
  }
}

TEST_F(LayerErrors, AnOutputInMemoryOfTheInputIsNamed) {
  Bytes memory(1000);
  const ConstTensorView x(memory.data() + 40, DType::kF32, Shape{kRows, kIn});
  for (const std::size_t offset : {0u, 40u, 99u, 156u}) {
    const TensorView y(memory.data() + offset, DType::kF32, Shape{kRows, kOut});
    expect_forward_refused(x, y, {"y", "memory", "x"});
  }
  QatLayer::Saved saved;
  EXPECT_NO_THROW(
      layer_.forward_train(x, {memory.data() + 160, DType::kF32, Shape{kRows, kOut}}, saved));
}

TEST_F(LayerErrors, ThreadsAreChecked) {
  for (const int num_threads : {-1, kMaxThreads + 1}) {
    const HostOptions options = on("cpu", num_threads);
    QatLayer::Saved saved;
    const auto parts = {std::string_view("num_threads")};
    expect_invalid([&] { layer_.forward_train(x_.view(), output_.writable(), saved, options); },
                   parts);
    expect_invalid([&] { layer_.forward_infer(x_.view(), output_.writable(), options); }, parts);
    expect_invalid([&] { layer_.backward(dy_.view(), saved_, found_->views(), options); }, parts);
    const ConstTensorView batches[] = {x_.view()};
    expect_invalid([&] { layer_.calibrate_from_data(batches, options); }, parts);
  }
}

TEST_F(LayerErrors, CalibrationDataWithoutAFiniteElementIsRefused) {
  expect_invalid([&] { layer_.calibrate_from_data({}); }, {"batches"});
  const Numbers none(DType::kF32, Shape{0, kIn});
  const double infinity = std::numeric_limits<double>::infinity();
  std::vector<double> values(kIn, std::nan(""));
  values[1] = infinity;
  values[2] = -infinity;
  const Numbers bad(DType::kF32, Shape{1, kIn}, values);
  const ConstTensorView batches[] = {none.view(), bad.view()};
  expect_invalid([&] { layer_.calibrate_from_data(batches); }, {"batches", "finite"});
  expect_invalid([&] { layer_.calibrate_from_data({batches, 1}); }, {"batches", "finite"});
}

TEST_F(LayerErrors, AGradientThatDoesNotFitIsNamed) {
  for (const Shape& shape : {Shape{kRows, kOut + 1}, Shape{kRows + 1, kOut}, Shape{kRows * kOut}}) {
    const Numbers dy(DType::kF32, shape);
    expect_invalid([&] { layer_.backward(dy.view(), saved_, found_->views()); },
                   {"dy.shape() is ["});
  }
  const Numbers half(DType::kBF16, Shape{kRows, kOut});
  expect_invalid([&] { layer_.backward(half.view(), saved_, found_->views()); },
                 {"dy", "BF16", "F32"});
}

TEST_F(LayerErrors, OutputsOfBackwardThatDoNotFitAreNamed) {
  Numbers wrong_dx(DType::kF32, Shape{kRows, kIn + 1});
  expect_backward_refused(only(&QatGradients::dx, wrong_dx.writable()), {"dx", "[5, 7]", "[5, 6]"});
  Numbers wide_dx(DType::kF64, Shape{kRows, kIn});
  expect_backward_refused(only(&QatGradients::dx, wide_dx.writable()), {"dx", "F64", "F32"});
  Numbers wrong_dweight(DType::kF32, Shape{kIn, kOut});
  expect_backward_refused(only(&QatGradients::dweight, wrong_dweight.writable()),
                          {"dweight", "[6, 3]", "[3, 6]"});
  Numbers half_dweight(DType::kBF16, Shape{kOut, kIn});
  expect_backward_refused(only(&QatGradients::dweight, half_dweight.writable()),
                          {"dweight", "BF16", "F32"});
  Numbers wrong_dbias(DType::kF32, Shape{kOut + 1});
  expect_backward_refused(only(&QatGradients::dbias, wrong_dbias.writable()), {"dbias", "4", "3"});
  Numbers wide_dbias(DType::kF64, Shape{kOut});
  expect_backward_refused(only(&QatGradients::dbias, wide_dbias.writable()),
                          {"dbias", "F64", "F32"});
  std::vector<double> two(2);
  expect_backward_refused(only(&QatGradients::weight, LearnedScaleGradient{two, {}}),
                          {"weight.dscale", "2", "3"});
  expect_backward_refused(only(&QatGradients::activation, LearnedScaleGradient{two, {}}),
                          {"activation.dscale", "2", "1"});
  expect_backward_refused(
      only(&QatGradients::activation, LearnedScaleGradient{found_->activation_dscale, two}),
      {"dzero_point.size() is 2", "1"});
  // Before anything is written.
  QatGradients views = found_->views();
  views.activation.dzero_point = two;
  expect_backward_refused(views, {"gradients.activation.dzero_point.size() is 2", "1"});
}

TEST_F(LayerErrors, GradientScalesThatAreNotFiniteAreNamed) {
  for (const double bad : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    QatGradients views = found_->views();
    views.weight_gradient_scale = bad;
    expect_backward_refused(views, {"gradients.weight_gradient_scale", "finite"});
    views = found_->views();
    views.activation_gradient_scale = bad;
    expect_backward_refused(views, {"gradients.activation_gradient_scale", "finite"});
  }
}

TEST_F(LayerErrors, OutputsOfBackwardInMemoryOfInputsOrOfEachOtherAreNamed) {
  Numbers dy = dy_;
  const TensorView in_dy(dy.bytes.data() + 4, DType::kF32, Shape{kOut});
  expect_invalid([&] { layer_.backward(dy.view(), saved_, only(&QatGradients::dbias, in_dy)); },
                 {"dbias", "memory", "dy"});
  QatGradients views = found_->views();
  views.dweight = {found_->dx.bytes.data() + 8, DType::kF32, Shape{kOut, kIn}};
  expect_backward_refused(views, {"memory", "dx", "dweight"});
  views = found_->views();
  views.dbias = {found_->dweight.bytes.data() + 60, DType::kF32, Shape{kOut}};
  expect_backward_refused(views, {"memory", "dweight", "dbias"});
  views = found_->views();
  views.activation.dzero_point = views.activation.dscale;
  expect_backward_refused(views, {"memory", "dscale", "dzero_point"});
  views = found_->views();
  views.activation.dscale = views.weight.dscale.first(1);
  expect_backward_refused(views, {"memory", "dscale"});
}

TEST(LayerThatDoesNotLearn, RefusesGradientsOfScales) {
  QatLayer layer = some_layer({}, DType::kF32, kIn, kOut);
  const Numbers x = some_input(DType::kF32, kRows, kIn);
  const Numbers dy(DType::kF32, Shape{kRows, kOut});
  QatLayer::Saved saved;
  trained(layer, x, saved);
  std::vector<double> three(3, -5.0);
  std::vector<double> one(1, -5.0);
  expect_invalid(
      [&] {
        layer.backward(dy.view(), saved,
                       only(&QatGradients::weight, LearnedScaleGradient{three, {}}));
      },
      {"weight", "learn_weight_scale"});
  expect_invalid(
      [&] {
        layer.backward(dy.view(), saved,
                       only(&QatGradients::activation, LearnedScaleGradient{one, {}}));
      },
      {"activation", "learn_activation_scale"});
  EXPECT_EQ(three, std::vector<double>(3, -5.0));
  EXPECT_EQ(one, std::vector<double>(1, -5.0));
}

}  // namespace
}  // namespace cuqat::test
