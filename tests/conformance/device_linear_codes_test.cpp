// Integer layers on the device whose outputs are codes have the host's.
#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <limits>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

#include "conformance/device_layer.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

Codes host_codes(const Layer& layer, const QuantParams& y_params) {
  const Bytes bias = to_bytes(DType::kF32, layer.bias);
  Codes codes(static_cast<std::size_t>(layer.shape.m * layer.shape.n), 0x5a);
  int8_linear(layer.x, layer.x_params, layer.w, layer.w_params, layer.shape,
              {bias.data(), DType::kF32, Shape{static_cast<std::int64_t>(layer.bias.size())}},
              y_params, codes, {Backend::named("reference"), 1});
  return codes;
}

Codes device_codes(const Layer& layer, const QuantParams& y_params, const Where& where = {}) {
  const DeviceContext& context = context_of(where);
  const StreamRef stream = device_under_test().stream;
  const PlacedLayer placed(layer, DType::kF32, where);
  const PlacedParams params(y_params, DType::kF32);
  const Placed codes(Codes(static_cast<std::size_t>(layer.shape.m * layer.shape.n), 0x5a), where.y);
  run_product([&] {
    int8_linear(placed.x(), placed.x_params(), placed.w(), placed.w_params(), layer.shape,
                placed.bias(), placed.sums(context, stream), params.get(),
                codes.span<std::uint8_t>(), context, stream);
  });
  return codes.content<std::uint8_t>();
}

struct OutputQuantizer {
  const char* name;
  QuantParams params;

  friend std::ostream& operator<<(std::ostream& out, const OutputQuantizer& quantizer) {
    return out << quantizer.name;
  }
};

class DeviceLinearCodes : public testing::TestWithParam<OutputQuantizer> {
 protected:
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }

  static void expect_the_hosts(const Layer& layer, const Where& where = {}) {
    const GemmShape& shape = layer.shape;
    ASSERT_EQ(device_codes(layer, GetParam().params, where), host_codes(layer, GetParam().params))
        << shape.m << " x " << shape.n << " x " << shape.k;
  }
};

TEST_P(DeviceLinearCodes, AreTheHosts) {
  int number = 0;
  for (const GemmShape& shape : {GemmShape{1, 1, 1}, GemmShape{9, 17, 33}, GemmShape{70, 3, 129},
                                 GemmShape{33, 40, 64}, GemmShape{3, 257, 16}}) {
    for (int i = 0; i < 32; ++i) {
      set_device_order(number++ % num_device_orders());
      expect_the_hosts(some_layer(shape, variant_of(i)), {.with_sums = number % 2 == 0});
      ASSERT_FALSE(HasFatalFailure()) << i;
    }
  }
}

TEST_P(DeviceLinearCodes, MayLieAtEveryAddress) {
  int number = 0;
  for (const std::size_t operand : {0u, 1u, 8u}) {
    for (const std::size_t codes : {0u, 1u, 4u, 7u, 8u}) {
      set_device_order(number++ % num_device_orders());
      expect_the_hosts(some_layer({18, 24, 32}, variant_of(31)), {operand, 5, codes, true});
      ASSERT_FALSE(HasFatalFailure());
    }
  }
}

/// Past kMaxInt32Depth.
TEST_P(DeviceLinearCodes, AreExactForEveryDepth) {
  set_device_order(0);
  const DeviceContext context({.tunes_products = false});
  expect_the_hosts(some_layer({2, 3, 131'072}, variant_of(31)), {.context = &context});
}

TEST_P(DeviceLinearCodes, AreTheSameInPieces) {
  set_device_order(0);
  const GemmShape shape{65, 70, 33};
  const Layer layer = some_layer(shape, variant_of(31));
  for (const std::size_t bytes : {product_workspace_bytes(shape) / 2, std::size_t{20'000}}) {
    const DeviceContext context(DeviceContext::Options{.workspace_bytes = bytes});
    expect_the_hosts(layer, {0, 0, 0, true, &context});
    expect_the_hosts(layer, {1, 3, 1, false, &context});
    ASSERT_FALSE(HasFatalFailure());
  }
}

TEST_P(DeviceLinearCodes, MayHaveNoRowsOutputsOrInputs) {
  set_device_order(0);
  for (const GemmShape& shape :
       {GemmShape{0, 3, 4}, GemmShape{3, 0, 4}, GemmShape{0, 0, 0}, GemmShape{2, 3, 0}}) {
    expect_the_hosts(some_layer(shape, variant_of(31)));
  }
}

TEST_P(DeviceLinearCodes, OfNaNAndInfinitiesAreTheHosts) {
  set_device_order(0);
  Layer layer = some_layer({3, 9, 20}, variant_of(31));
  layer.bias[1] = -std::numeric_limits<double>::quiet_NaN();
  layer.bias[2] = std::numeric_limits<double>::infinity();
  layer.bias[8] = -std::numeric_limits<double>::infinity();
  expect_the_hosts(layer);
}

/// Ties and both ends: y is each whole number from -1000 on.
TEST_P(DeviceLinearCodes, RoundAndSaturateAsQuantize) {
  set_device_order(0);
  Layer layer{{1, 2000, 0}, {}, {}, {}, {}, {}};
  for (int j = 0; j < 2000; ++j) layer.bias.push_back(j - 1000);
  QuantParams params = GetParam().params;
  params.scale = {2.0};
  const std::vector<float> y(layer.bias.begin(), layer.bias.end());
  Codes expected(y.size());
  quantize(y, params, expected, CodeLayout::kBytes, {Backend::named("reference"), 1});
  EXPECT_EQ(device_codes(layer, params), expected);
}

INSTANTIATE_TEST_SUITE_P(
    EveryQuantizer, DeviceLinearCodes,
    testing::Values(OutputQuantizer{"Int8", {{}, {}, {0.011}, {}}},
                    OutputQuantizer{"Int8Affine", {{}, {}, {0.011}, {-90}}},
                    OutputQuantizer{"Int8NarrowOriginal",
                                    {{Format::kInt8, Rounding::kOriginal, true}, {}, {0.011}, {}}},
                    OutputQuantizer{"Int8OriginalPastCodes",
                                    {{Format::kInt8, Rounding::kOriginal}, {}, {0.011}, {1000}}},
                    OutputQuantizer{"Int4", {{Format::kInt4}, {}, {0.19}, {-3}}},
                    OutputQuantizer{"Int4NarrowOriginal",
                                    {{Format::kInt4, Rounding::kOriginal, true}, {}, {0.19}, {2}}}),
    [](const auto& test) { return std::string(test.param.name); });

/// The device's own numbers, through the device's quantize.
TEST(DeviceLinearCodesOfADevice, AreThoseOfQuantizeAfterTheLayer) {
  CUQAT_SKIP_WITHOUT_PRODUCTS();
  set_device_order(0);
  const Layer layer = some_layer({kThreadSanitized ? 20 : 130, 200, 96}, variant_of(31));
  const QuantParams y_params{{}, {}, {0.02}, {7}};
  const PlacedParams params(y_params, DType::kF32);
  const Placed y(device_outputs(layer, DType::kF32));
  const std::int64_t count = layer.shape.m * layer.shape.n;
  const Placed codes{Codes(static_cast<std::size_t>(count))};
  run_on_device([&] {
    quantize({y.as<void>(), DType::kF32, Shape{count}}, params.get(), codes.span<std::uint8_t>(),
             CodeLayout::kBytes, device_under_test().context, device_under_test().stream);
  });
  EXPECT_EQ(device_codes(layer, y_params), codes.content<std::uint8_t>());
}

class DeviceLinearCodesErrors : public testing::Test {
 protected:
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }

  void run(const PlacedParams& y_params) {
    int8_linear(x_.span<const std::uint8_t>(), ones_.get(), w_.span<const std::uint8_t>(),
                ones_.get(), {2, 3, 4}, {}, {}, y_params.get(), codes_.span<std::uint8_t>(),
                device_under_test().context, device_under_test().stream);
  }
  void refuse(const QuantParams& y_params, std::initializer_list<std::string_view> parts,
              DType scale_dtype = DType::kF32) {
    const PlacedParams placed(y_params, scale_dtype);
    expect_refused([&] { run(placed); }, parts);
  }

  const PlacedParams ones_{QuantParams{}, DType::kF32};
  const Placed x_{Codes(8, 1)};
  const Placed w_{Codes(12, 1)};
  const Placed codes_{Codes(6, 77)};
};

TEST_F(DeviceLinearCodesErrors, ParametersOfYThatDoNotFitAreRefused) {
  set_device_order(0);
  for (const Format format : {Format::kE4M3, Format::kE5M2}) {
    refuse({{format}, {}, {1.0}, {}},
           {"y_params.quantizer.format is", to_string(format), "int8 or int4"});
  }
  refuse({{static_cast<Format>(7)}, {}, {1.0}, {}}, {"y_params.quantizer.format"});
  refuse({{}, Granularity::channel(0), {1.0}, {}}, {"y_params.granularity is another", "tensor"});
  refuse({{}, {}, {1.0, 1.0}, {}}, {"y_params.scale.size() is 2", "be 1"});
  refuse({{}, {}, {1.0}, {1, 1}}, {"y_params.zero_point.size() is 2"});
  refuse({}, {"y_params.scale.dtype() is F64", "F32"}, DType::kF64);
  EXPECT_EQ(codes_.content<std::uint8_t>(), Codes(6, 77));
  run(ones_);
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  EXPECT_EQ(codes_.content<std::uint8_t>(), Codes(6, 4));
}

}  // namespace
}  // namespace cuqat::test
