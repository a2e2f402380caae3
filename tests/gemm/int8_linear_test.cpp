// Integer layers: the bits of the definition on every backend, the original's for f64.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cuqat/fake_quant.hpp"
#include "cuqat/original.hpp"
#include "gemm/int8_layer.hpp"

namespace cuqat::test {
namespace {

class Int8Linear : public testing::TestWithParam<DType> {};

TEST_P(Int8Linear, HasTheBitsOfItsDefinition) {
  for (const GemmShape& shape :
       {GemmShape{1, 1, 1}, GemmShape{9, 17, 33}, GemmShape{70, 3, 129}, GemmShape{2, 5, 32'768}}) {
    for (int variant = 0; variant < 16; ++variant) {
      const Layer layer = some_layer(shape, (variant & 1) != 0, (variant & 2) != 0,
                                     (variant & 4) != 0, (variant & 8) != 0);
      const std::vector<double> expected = by_definition(layer, GetParam());
      for (const char* const name : {"reference", "cpu"}) {
        EXPECT_EQ(run(layer, GetParam(), {Backend::named(name), 2}), expected)
            << name << ", " << shape.m << " x " << shape.n << " x " << shape.k << ", " << variant;
      }
    }
  }
}

/// On each instruction set, and where a block of rows ends.
TEST_P(Int8Linear, IsTheSameOnEveryInstructionSetAndForEveryNumberOfThreads) {
  const GemmShape shape{300, 4100, 40};
  const Layer layer = some_layer(shape, true, true, true, true);
  const std::vector<double> expected = run(layer, GetParam(), {Backend::named("reference"), 1});
  std::vector<float> x_scale(layer.x_params.scale.begin(), layer.x_params.scale.end());
  std::vector<float> w_scale(layer.w_params.scale.begin(), layer.w_params.scale.end());
  std::vector<float> bias(layer.bias.begin(), layer.bias.end());
  const bool wide = GetParam() == DType::kF64;
  for (const auto* table : multiplying_tables()) {
    for (const int num_threads : {1, 2, 5}) {
      Bytes y(expected.size() * dtype_bytes(GetParam()));
      table->int8_linear(
          {{as_int8(layer.x), as_int8(layer.w), shape, num_threads},
           {wide ? static_cast<const void*>(layer.x_params.scale.data()) : x_scale.data(),
            layer.x_params.zero_point.data(), true},
           {wide ? static_cast<const void*>(layer.w_params.scale.data()) : w_scale.data(),
            layer.w_params.zero_point.data(), true},
           wide ? static_cast<const void*>(layer.bias.data()) : bias.data(),
           GetParam()},
          y.data());
      ASSERT_TRUE(to_doubles(GetParam(), y) == expected)
          << table_name(*table) << ", " << num_threads;
    }
  }
}

/// Past kMaxInt32Depth, also with every code -128.
TEST_P(Int8Linear, IsExactForAnyDepth) {
  for (const std::int64_t k : {131'071, 131'072, 300'001}) {
    const auto length = static_cast<std::size_t>(k);
    Layer layer = some_layer({2, 3, k}, true, true, true, true);
    const std::vector<double> expected = by_definition(layer, GetParam());
    EXPECT_EQ(run(layer, GetParam(), {}), expected) << k;
    EXPECT_EQ(run(layer, GetParam(), {Backend::named("reference"), 1}), expected) << k;
    layer.x = Codes(2 * length, 0x80);
    layer.w = Codes(3 * length, 0x80);
    layer.x_params.zero_point.assign(2, 127);
    layer.w_params.zero_point.assign(3, 127);
    EXPECT_EQ(run(layer, GetParam(), {}), by_definition(layer, GetParam())) << k;
  }
}

TEST_P(Int8Linear, MayHaveNoRowsOutputsOrInputs) {
  for (const GemmShape& shape : {GemmShape{0, 3, 4}, GemmShape{3, 0, 4}, GemmShape{0, 0, 0}}) {
    EXPECT_EQ(run(some_layer(shape, false, true, true, true), GetParam(), {}).size(), 0u);
  }
  const Layer layer = some_layer({2, 3, 0}, false, true, true, true);
  for (const char* const name : {"reference", "cpu"}) {
    EXPECT_EQ(run(layer, GetParam(), {Backend::named(name), 1}), by_definition(layer, GetParam()));
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDType, Int8Linear,
                         testing::Values(DType::kF32, DType::kF64, DType::kF16, DType::kBF16),
                         [](const auto& type) { return std::string(to_string(type.param)); });

/// The product of fake-quantized numbers is the integer product times the scales.
TEST(Int8LinearLayer, IsTheFakeQuantizedProduct) {
  const Layer layer = some_layer({7, 11, 50}, true, true, true, false);
  std::vector<double> x(350);
  std::vector<double> w(550);
  QuantParams x_params = layer.x_params;
  dequantize(layer.x, x_params, TensorView(x.data(), DType::kF64, Shape{7, 50}));
  dequantize(layer.w, layer.w_params, TensorView(w.data(), DType::kF64, Shape{11, 50}));
  const std::vector<double> y = run(layer, DType::kF64, {});
  for (std::size_t i = 0; i < 7; ++i) {
    for (std::size_t j = 0; j < 11; ++j) {
      double sum = 0.0;
      double size = 0.0;
      for (std::size_t k = 0; k < 50; ++k) {
        sum += x[i * 50 + k] * w[j * 50 + k];
        size += std::abs(x[i * 50 + k] * w[j * 50 + k]);
      }
      EXPECT_NEAR(y[i * 11 + j], sum, 1e-13 * size);
    }
  }
}

/// Its codes, zero points of any size, scales and bias in f64.
TEST(Int8LinearLayer, IsTheOriginalsForwardInfer) {
  for (const std::int32_t zero_point : {0, 5, -1000, 200'000}) {
    original::QatLayer original(13, 7);
    Random random(21);
    for (double& weight : original.weights) weight = random.normal();
    for (double& bias : original.bias) bias = random.normal();
    original.weight_scale = 0.0123;
    original.weight_zero_point = zero_point == 0 ? 0 : 3;
    original.activation_scale = 0.0456;
    original.activation_zero_point = zero_point;
    std::vector<double> x;
    for (int i = 0; i < 13; ++i) x.push_back(random.normal() * 3.0 - 0.0456 * zero_point);

    Quantizer quantizer;
    quantizer.rounding = Rounding::kOriginal;
    const QuantParams x_params{quantizer, {}, {0.0456}, {zero_point}};
    const QuantParams w_params{quantizer, {}, {0.0123}, {original.weight_zero_point}};
    Codes x_codes(13);
    Codes w_codes(91);
    quantize(x, x_params, x_codes);
    quantize(original.weights, w_params, w_codes);
    for (const char* const name : {"reference", "cpu"}) {
      std::vector<double> y(7);
      int8_linear(x_codes, x_params, w_codes, w_params, {1, 7, 13}, original.bias,
                  TensorView(y.data(), DType::kF64, Shape{1, 7}), {Backend::named(name), 1});
      EXPECT_EQ(y, original.forward_infer(x)) << name << ", " << zero_point;
    }
  }
}

}  // namespace
}  // namespace cuqat::test
