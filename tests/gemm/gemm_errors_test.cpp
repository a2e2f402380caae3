// Products of what does not fit together are refused, and nothing is written.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "cuqat/gemm.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

class GemmErrors : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(product_, std::vector<std::int32_t>(6, 77));
    EXPECT_EQ(y_, std::vector<float>(6, 77.0f));
    int8_gemm(x_, w_, shape_, product_);
    linear();
    EXPECT_EQ(product_, std::vector<std::int32_t>(6, 4));
    EXPECT_EQ(y_, std::vector<float>(6, 4.0f));
  }
  void linear() { int8_linear(x_, params_, w_, params_, shape_, {}, y_view()); }
  TensorView y_view() { return {y_.data(), DType::kF32, Shape{2, 3}}; }

  const GemmShape shape_{2, 3, 4};
  std::vector<std::uint8_t> x_ = std::vector<std::uint8_t>(8, 1);
  std::vector<std::uint8_t> w_ = std::vector<std::uint8_t>(12, 1);
  std::vector<std::int32_t> product_ = std::vector<std::int32_t>(6, 77);
  std::vector<float> y_ = std::vector<float>(6, 77.0f);
  const QuantParams params_{};
};

TEST_F(GemmErrors, ShapesAndSizesAreNamed) {
  expect_invalid([&] { int8_gemm(x_, w_, {-1, 3, 4}, product_); }, {"shape.m is -1", "at least 0"});
  expect_invalid([&] { int8_gemm(x_, w_, {2, -3, 4}, product_); }, {"shape.n is -3"});
  expect_invalid([&] { int8_gemm(x_, w_, {2, 3, -4}, product_); }, {"shape.k is -4"});
  expect_invalid([&] { int8_gemm(x_, w_, {2, 3, 5}, product_); }, {"x.size() is 8", "be 10"});
  expect_invalid([&] { int8_gemm(x_, w_, {2, 4, 4}, product_); }, {"w.size() is 12", "be 16"});
  expect_invalid([&] { int8_gemm(x_, w_, shape_, std::span(product_).first(5)); },
                 {"product.size() is 5", "be 6"});
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  expect_invalid([&] { int8_gemm(x_, w_, {kMost, kMost, kMost}, product_); }, {"extent"});
}

TEST_F(GemmErrors, ADepthThatInt32DoesNotHoldIsNamed) {
  const std::vector<std::uint8_t> deep(kMaxInt32Depth + 1);
  std::vector<std::int32_t> one(1);
  expect_invalid(
      [&] {
        int8_gemm(deep, deep, {1, 1, kMaxInt32Depth + 1}, one);
      },
      {"shape.k is 131072", "at most 131071"});
}

TEST_F(GemmErrors, OutputsInTheMemoryOfInputsAreNamed) {
  auto* const bytes = reinterpret_cast<std::uint8_t*>(product_.data());
  const std::span<const std::uint8_t> inside(bytes + 3, 8);
  expect_invalid([&] { int8_gemm(inside, w_, shape_, product_); }, {"product", "x uses"});
  expect_invalid([&] { int8_gemm(x_, {bytes + 12, 12}, shape_, product_); }, {"product", "w uses"});
  const std::span<const std::uint8_t> in_y(reinterpret_cast<std::uint8_t*>(y_.data()), 8);
  expect_invalid([&] { int8_linear(in_y, params_, w_, params_, shape_, {}, y_view()); },
                 {"y is in memory that x uses"});
  const ConstTensorView bias(y_.data() + 3, Shape{3});
  expect_invalid([&] { int8_linear(x_, params_, w_, params_, shape_, bias, y_view()); },
                 {"y is in memory that bias uses"});
}

TEST_F(GemmErrors, ParametersOfAnIntegerLayerAreNamed) {
  const auto with_params = [&](const QuantParams& x_params, const QuantParams& w_params) {
    return [=, this] { int8_linear(x_, x_params, w_, w_params, shape_, {}, y_view()); };
  };
  QuantParams changed;
  changed.quantizer.format = Format::kE4M3;
  expect_invalid(with_params(changed, params_), {"x_params.quantizer.format is e4m3", "int8"});
  expect_invalid(with_params(params_, changed), {"w_params.quantizer.format is e4m3", "int8"});
  changed = params_;
  changed.scale = {-1.0};
  expect_invalid(with_params(changed, params_), {"x_params.scale[0] is -1"});
  expect_invalid(with_params(params_, changed), {"w_params.scale[0] is -1"});
  changed = params_;
  changed.zero_point = {128};
  expect_invalid(with_params(params_, changed), {"w_params.zero_point[0] is 128"});
  changed = {{}, Granularity::channel(1), {1, 1, 1, 1}, {}};
  expect_invalid(with_params(changed, params_), {"x_params.granularity", "channel(0)"});
  changed = {{}, Granularity::group(2), {1, 1, 1, 1}, {}};
  expect_invalid(with_params(changed, params_), {"x_params.granularity", "at least k"});
  changed = {{}, Granularity::group(4), {1, 1, 1}, {}};
  expect_invalid(with_params(params_, changed), {"w_params.granularity", "tensor or channel(0)"});
  changed = {{}, Granularity::channel(0), {1, 1}, {}};
  expect_invalid(with_params(params_, changed), {"w_params.scale.size() is 2", "be 3"});
  changed = {{Format::kInt8, Rounding::kOriginal}, {}, {1.0}, {-2'147'483'647}};
  expect_invalid(with_params(changed, changed), {"sum", "9.2e18"});
}

TEST_F(GemmErrors, OutputsAndBiasOfAnIntegerLayerAreNamed) {
  const auto with = [&](ConstTensorView bias, TensorView y) {
    return [=, this] { int8_linear(x_, params_, w_, params_, shape_, bias, y); };
  };
  expect_invalid(with({}, {y_.data(), DType::kF32, Shape{3, 2}}),
                 {"y.shape() is [3, 2]", "[2, 3]"});
  expect_invalid(with({}, {static_cast<void*>(nullptr), DType::kF32, Shape{2, 3}}),
                 {"y.data() is null"});
  const std::vector<double> wide(3);
  const std::vector<float> narrow(2);
  expect_invalid(with(wide, y_view()), {"bias.dtype() is F64", "F32"});
  expect_invalid(with(narrow, y_view()), {"bias.size() is 2", "be 3"});
}

}  // namespace
}  // namespace cuqat::test
