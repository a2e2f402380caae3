// FP8 layers and layers of real numbers that do not fit together are refused, and nothing is
// written.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "cuqat/gemm.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

constexpr std::uint8_t kOne = 0x38;  // 1 in E4M3.

class Fp8LinearErrors : public testing::Test {
 protected:
  Fp8LinearErrors() { params_.quantizer.format = Format::kE4M3; }
  void TearDown() override {
    EXPECT_EQ(y_, std::vector<float>(6, 77.0f));
    run(params_, params_);
    EXPECT_EQ(y_, std::vector<float>(6, 4.0f));
  }
  void run(const QuantParams& x_params, const QuantParams& w_params) {
    fp8_linear(x_, x_params, w_, w_params, shape_, {}, y_view());
  }
  auto with_params(const QuantParams& x_params, const QuantParams& w_params) {
    return [=, this] { run(x_params, w_params); };
  }
  TensorView y_view() { return {y_.data(), DType::kF32, Shape{2, 3}}; }

  const GemmShape shape_{2, 3, 4};
  std::vector<std::uint8_t> x_ = std::vector<std::uint8_t>(8, kOne);
  std::vector<std::uint8_t> w_ = std::vector<std::uint8_t>(12, kOne);
  std::vector<float> y_ = std::vector<float>(6, 77.0f);
  QuantParams params_;
};

TEST_F(Fp8LinearErrors, SizesAndShapesAreNamed) {
  const auto with_shape = [&](const GemmShape& shape) {
    return [=, this] { fp8_linear(x_, params_, w_, params_, shape, {}, y_view()); };
  };
  expect_invalid(with_shape({-1, 3, 4}), {"shape.m is -1"});
  expect_invalid(with_shape({2, -3, 4}), {"shape.n is -3"});
  expect_invalid(with_shape({2, 3, -4}), {"shape.k is -4"});
  expect_invalid(with_shape({2, 3, 5}), {"x.size() is 8", "10"});
  expect_invalid(with_shape({2, 4, 4}), {"y.shape() is [2, 3]", "[2, 4]"});
  w_.pop_back();
  expect_invalid(with_shape(shape_), {"w.size() is 11", "12"});
  w_.push_back(kOne);
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  EXPECT_THROW(with_shape({kMost, kMost, kMost})(), InvalidArgument);
  const auto with_y = [&](ConstTensorView bias, TensorView y) {
    return [=, this] { fp8_linear(x_, params_, w_, params_, shape_, bias, y); };
  };
  expect_invalid(with_y({}, {y_.data(), DType::kF32, Shape{3, 2}}), {"y.shape() is [3, 2]"});
  expect_invalid(with_y({}, {static_cast<void*>(nullptr), DType::kF32, Shape{2, 3}}),
                 {"y.data() is null"});
  std::vector<double> wide(6, 77.0);
  expect_invalid(with_y({}, {wide.data(), DType::kF64, Shape{2, 3}}), {"y.dtype() is F64"});
  EXPECT_EQ(wide, std::vector<double>(6, 77.0));
  const std::vector<double> wide_bias(3);
  expect_invalid(with_y(wide_bias, y_view()), {"bias.dtype() is F64", "F32"});
  const std::vector<float> short_bias(2);
  expect_invalid(with_y(short_bias, y_view()), {"bias.size() is 2", "3"});
}

TEST_F(Fp8LinearErrors, ParametersAreNamed) {
  for (const Format format : {Format::kInt8, Format::kInt4}) {
    QuantParams changed;
    changed.quantizer.format = format;
    expect_invalid(with_params(changed, params_), {"x_params.quantizer.format", to_string(format)});
    expect_invalid(with_params(params_, changed), {"w_params.quantizer.format", to_string(format)});
  }
  QuantParams changed = params_;
  changed.scale = {-1.0};
  expect_invalid(with_params(changed, params_), {"x_params.scale[0] is -1"});
  expect_invalid(with_params(params_, changed), {"w_params.scale[0] is -1"});
  changed = params_;
  changed.zero_point = {1};
  expect_invalid(with_params(changed, params_), {"x_params.zero_point[0] is 1"});
  expect_invalid(with_params(params_, changed), {"w_params.zero_point[0] is 1"});
  changed = params_;
  changed.quantizer.rounding = Rounding::kOriginal;
  expect_invalid(with_params(changed, params_), {"x_params.quantizer.rounding is original"});
  changed = params_;
  changed.granularity = Granularity::channel(1);
  changed.scale.assign(4, 1.0);
  expect_invalid(with_params(changed, params_), {"x_params.granularity"});
  expect_invalid(with_params(params_, changed), {"w_params.granularity"});
  changed.granularity = Granularity::group(2);
  expect_invalid(with_params(changed, params_), {"x_params.granularity", "k"});
  changed.granularity = Granularity::group(4);
  changed.scale.assign(3, 1.0);
  expect_invalid(with_params(params_, changed), {"w_params.granularity"});
  changed.granularity = Granularity::channel(0);
  expect_invalid(with_params(changed, params_), {"x_params.scale.size() is 3", "2"});
  changed.scale.assign(2, 1.0);
  expect_invalid(with_params(params_, changed), {"w_params.scale.size() is 2", "3"});
}

TEST_F(Fp8LinearErrors, OutputsInTheMemoryOfInputsAreNamed) {
  const std::span<const std::uint8_t> inside(reinterpret_cast<std::uint8_t*>(y_.data()) + 3, 12);
  expect_invalid([&] { fp8_linear(inside.first(8), params_, w_, params_, shape_, {}, y_view()); },
                 {"y is in memory that x uses"});
  expect_invalid([&] { fp8_linear(x_, params_, inside, params_, shape_, {}, y_view()); },
                 {"y is in memory that w uses"});
  const ConstTensorView bias(y_.data() + 3, Shape{3});
  expect_invalid([&] { fp8_linear(x_, params_, w_, params_, shape_, bias, y_view()); },
                 {"y is in memory that bias uses"});
}

TEST_F(Fp8LinearErrors, ThreadsAreChecked) {
  expect_invalid(
      [&] {
        fp8_linear(x_, params_, w_, params_, shape_, {}, y_view(), {Backend::automatic(), -1});
      },
      {"num_threads"});
}

class LinearErrors : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(y_, std::vector<float>(6, 77.0f));
    linear(x_view(), w_view(), {}, y_view());
    EXPECT_EQ(y_, std::vector<float>(6, 4.0f));
  }
  [[nodiscard]] ConstTensorView x_view() const { return {x_.data(), Shape{2, 4}}; }
  [[nodiscard]] ConstTensorView w_view() const { return {w_.data(), Shape{3, 4}}; }
  TensorView y_view() { return {y_.data(), Shape{2, 3}}; }

  std::vector<float> x_ = std::vector<float>(8, 1.0f);
  std::vector<float> w_ = std::vector<float>(12, 1.0f);
  std::vector<float> y_ = std::vector<float>(6, 77.0f);
};

TEST_F(LinearErrors, ShapesAndDTypesAreNamed) {
  expect_invalid([&] { linear({x_.data(), Shape{8}}, w_view(), {}, y_view()); }, {"x", "[8]"});
  expect_invalid(
      [&] {
        linear({x_.data(), Shape{4, 2}}, w_view(), {}, y_view());
      },
      {"x", "2", "w", "4"});
  expect_invalid(
      [&] {
        linear(x_view(), {w_.data(), Shape{4, 3}}, {}, y_view());
      },
      {"x", "4", "w", "3"});
  expect_invalid(
      [&] {
        linear(x_view(), w_view(), {}, {y_.data(), Shape{3, 2}});
      },
      {"y", "[3, 2]"});
  expect_invalid(
      [&] {
        linear(x_view(), {w_.data(), DType::kF64, Shape{1, 4}}, {}, y_view());
      },
      {"F64", "F32"});
  expect_invalid(
      [&] {
        linear(x_view(), w_view(), {}, {y_.data(), DType::kBF16, Shape{2, 3}});
      },
      {"y", "BF16"});
  const std::vector<double> wide(3);
  expect_invalid([&] { linear(x_view(), w_view(), wide, y_view()); }, {"bias", "F64", "F32"});
  const std::vector<float> two(2);
  expect_invalid([&] { linear(x_view(), w_view(), two, y_view()); }, {"bias", "2", "3"});
  expect_invalid(
      [&] {
        linear(x_view(), w_view(), {}, y_view(), {Backend::automatic(), -1});
      },
      {"num_threads"});
}

TEST_F(LinearErrors, OutputsInTheMemoryOfInputsAreNamed) {
  expect_invalid(
      [&] {
        linear({y_.data(), Shape{1, 4}}, w_view(), {}, {y_.data(), Shape{1, 3}});
      },
      {"y", "x"});
  expect_invalid(
      [&] {
        linear(x_view(), {y_.data() + 1, Shape{1, 4}}, {}, {y_.data(), Shape{2, 1}});
      },
      {"y", "w"});
  expect_invalid(
      [&] {
        linear(x_view(), w_view(), {y_.data() + 2, Shape{3}}, y_view());
      },
      {"y", "bias"});
}

}  // namespace
}  // namespace cuqat::test
