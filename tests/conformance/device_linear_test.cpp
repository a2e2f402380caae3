// Integer layers on the device have the host's bits.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "conformance/device_layer.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

Bytes host_outputs(const Layer& layer, DType dtype) {
  const Bytes bias = to_bytes(compute_type(dtype), layer.bias);
  const Shape outputs{layer.shape.m, layer.shape.n};
  Bytes y(static_cast<std::size_t>(outputs.count()) * dtype_bytes(dtype), std::byte{0x5a});
  int8_linear(
      layer.x, layer.x_params, layer.w, layer.w_params, layer.shape,
      {bias.data(), compute_type(dtype), Shape{static_cast<std::int64_t>(layer.bias.size())}},
      TensorView(y.data(), dtype, outputs), {Backend::named("reference"), 1});
  return y;
}

class DeviceLinear : public testing::TestWithParam<DType> {
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }
};

TEST_P(DeviceLinear, HasTheHostsBits) {
  int number = 0;
  for (const GemmShape& shape :
       {GemmShape{1, 1, 1}, GemmShape{9, 17, 33}, GemmShape{70, 3, 129}, GemmShape{33, 40, 64}}) {
    for (int i = 0; i < 32; i += kThreadSanitized ? 5 : 1) {
      set_device_order(number++ % num_device_orders());
      const Layer layer = some_layer(shape, variant_of(i));
      ASSERT_EQ(device_outputs(layer, GetParam(), {.with_sums = number % 2 == 0}),
                host_outputs(layer, GetParam()))
          << shape.m << " x " << shape.n << " x " << shape.k << ", " << i;
    }
  }
}

TEST_P(DeviceLinear, MayLieAtEveryAddress) {
  int number = 0;
  for (const std::size_t x : {0u, 1u, 8u}) {
    for (const std::size_t w : {0u, 5u}) {
      for (const std::size_t y : {0u, 1u, 2u, 4u, 8u}) {
        set_device_order(number++ % num_device_orders());
        const Layer layer = some_layer({18, 24, 32}, variant_of(31));
        ASSERT_EQ(device_outputs(layer, GetParam(), {x, w, y, true}),
                  host_outputs(layer, GetParam()));
      }
    }
  }
}

/// Past kMaxInt32Depth, also with every code -128 and the zero points that make most of it.
TEST_P(DeviceLinear, IsExactForEveryDepth) {
  set_device_order(0);
  const DeviceContext context({.tunes_products = false});
  const Where where{.context = &context};
  for (const std::int64_t k : {131'071, 131'072, 300'001}) {
    if (kThreadSanitized && k != 131'072) continue;
    const auto length = static_cast<std::size_t>(k);
    Layer layer = some_layer({2, 3, k}, variant_of(31));
    ASSERT_EQ(device_outputs(layer, GetParam(), where), host_outputs(layer, GetParam())) << k;
    layer.x = Codes(2 * length, 0x80);
    layer.w = Codes(3 * length, 0x80);
    layer.x_params.zero_point.assign(2, 127);
    layer.w_params.zero_point.assign(3, 127);
    ASSERT_EQ(device_outputs(layer, GetParam(), where), host_outputs(layer, GetParam())) << k;
    layer.x_params.zero_point.clear();
    layer.w_params.zero_point.clear();
    ASSERT_EQ(device_outputs(layer, GetParam(), where), host_outputs(layer, GetParam())) << k;
  }
}

TEST_P(DeviceLinear, IsTheSameInPieces) {
  set_device_order(0);
  for (const GemmShape& shape :
       {GemmShape{100, 90, 48}, GemmShape{96, 96, 48}, GemmShape{65, 70, 33}}) {
    if (kThreadSanitized && shape.m != 65) continue;
    const Layer layer = some_layer(shape, variant_of(31));
    const Bytes expected = host_outputs(layer, GetParam());
    const std::size_t whole = product_workspace_bytes(shape);
    for (const std::size_t bytes : {whole, whole / 2, std::size_t{20'000}}) {
      const DeviceContext context(DeviceContext::Options{.workspace_bytes = bytes});
      for (const bool with_sums : {false, true}) {
        ASSERT_EQ(device_outputs(layer, GetParam(), {0, 0, 0, with_sums, &context}), expected);
        ASSERT_EQ(device_outputs(layer, GetParam(), {1, 3, 1, with_sums, &context}), expected);
      }
    }
  }
}

/// Pieces and parts of each.
TEST(DeviceDeepLinear, IsTheSameInPieces) {
  CUQAT_SKIP_WITHOUT_PRODUCTS();
  set_device_order(0);
  const Layer layer = some_layer({49, 17, 131'072}, variant_of(31));
  const DeviceContext context({.workspace_bytes = 7 << 20, .tunes_products = false});
  EXPECT_EQ(device_outputs(layer, DType::kF32, {0, 1, 0, false, &context}),
            host_outputs(layer, DType::kF32));
}

TEST_P(DeviceLinear, MayHaveNoRowsOutputsOrInputs) {
  set_device_order(0);
  for (const GemmShape& shape :
       {GemmShape{0, 3, 4}, GemmShape{3, 0, 4}, GemmShape{0, 0, 0}, GemmShape{2, 3, 0}}) {
    const Layer layer = some_layer(shape, variant_of(31));
    EXPECT_EQ(device_outputs(layer, GetParam()), host_outputs(layer, GetParam()));
  }
}

/// NaN and infinities of the bias, and a scale of 0, which the host refuses.
TEST_P(DeviceLinear, LetsSpecialNumbersThrough) {
  set_device_order(0);
  Layer layer = some_layer({3, 9, 20}, variant_of(31));
  layer.bias[1] = -std::numeric_limits<double>::quiet_NaN();
  layer.bias[2] = std::numeric_limits<double>::infinity();
  layer.bias[8] = -std::numeric_limits<double>::infinity();
  EXPECT_EQ(device_outputs(layer, GetParam()), host_outputs(layer, GetParam()));
  layer.bias.assign(9, 0.5);
  layer.x_params.scale.assign(3, 0.0);
  EXPECT_EQ(to_doubles(GetParam(), device_outputs(layer, GetParam())),
            std::vector<double>(27, 0.5));
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceLinear,
                         testing::Values(DType::kF32, DType::kF64, DType::kF16, DType::kBF16),
                         [](const auto& test) { return std::string(to_string(test.param)); });

}  // namespace
}  // namespace cuqat::test
