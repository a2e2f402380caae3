// Integer layers whose outputs are codes: those of the definition, and of quantize after the layer.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "cuqat/fake_quant.hpp"
#include "cuqat/gemm.hpp"
#include "gemm/int8_layer.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

/// Every integer quantizer, with a zero point and without.
std::vector<QuantParams> output_params() {
  std::vector<QuantParams> all;
  for (const Format format : {Format::kInt8, Format::kInt4}) {
    for (const Rounding rounding : {Rounding::kNearestEven, Rounding::kOriginal}) {
      for (const bool narrow : {false, true}) {
        const double scale = format == Format::kInt8 ? 0.011 : 0.19;
        all.push_back({{format, rounding, narrow}, {}, {scale}, {}});
        all.push_back({{format, rounding, narrow}, {}, {scale}, {-3}});
      }
    }
  }
  // Which no code is.
  all.push_back({{Format::kInt8, Rounding::kOriginal}, {}, {0.011}, {1000}});
  return all;
}

std::string text(const QuantParams& params) {
  return std::string(to_string(params.quantizer.format)) + ", " +
         std::string(to_string(params.quantizer.rounding)) +
         (params.quantizer.narrow_range ? ", narrow" : "") +
         (params.zero_point.empty() ? "" : ", affine");
}

Codes run(const Layer& layer, const QuantParams& y_params, const HostOptions& options) {
  const Bytes bias = to_bytes(DType::kF32, layer.bias);
  Codes codes(static_cast<std::size_t>(layer.shape.m * layer.shape.n), 0x5a);
  int8_linear(layer.x, layer.x_params, layer.w, layer.w_params, layer.shape,
              {bias.data(), DType::kF32, Shape{static_cast<std::int64_t>(layer.bias.size())}},
              y_params, codes, options);
  return codes;
}

/// The code of one number, as docs/numerics.md says. Each step is one of f32.
std::uint8_t code_by_definition(float y, const QuantParams& params) {
  const auto zero = params.zero_point.empty() ? 0.0f : static_cast<float>(params.zero_point[0]);
  volatile float number = y / static_cast<float>(params.scale[0]);
  if (params.quantizer.rounding == Rounding::kNearestEven) {
    number = std::nearbyint(number);
    number = number + zero;
  } else {
    number = number + zero;
    number = std::round(number);
  }
  const int low = (params.quantizer.format == Format::kInt8 ? -128 : -8) +
                  (params.quantizer.narrow_range ? 1 : 0);
  const int high = params.quantizer.format == Format::kInt8 ? 127 : 7;
  const float whole = std::isnan(y) ? zero : number;
  const float clamped =
      std::min(std::max(whole, static_cast<float>(low)), static_cast<float>(high));
  return static_cast<std::uint8_t>(static_cast<std::int8_t>(clamped));
}

Codes codes_by_definition(const Layer& layer, const QuantParams& y_params) {
  Codes codes;
  for (const double y : by_definition<float>(layer, DType::kF32)) {
    codes.push_back(code_by_definition(static_cast<float>(y), y_params));
  }
  return codes;
}

TEST(Int8LinearCodes, AreThoseOfTheDefinition) {
  for (const GemmShape& shape :
       {GemmShape{1, 1, 1}, GemmShape{9, 17, 33}, GemmShape{70, 3, 129}, GemmShape{3, 5, 0}}) {
    for (int variant = 0; variant < 16; ++variant) {
      const Layer layer = some_layer(shape, (variant & 1) != 0 && shape.k > 0, (variant & 2) != 0,
                                     (variant & 4) != 0, (variant & 8) != 0);
      for (const QuantParams& params : output_params()) {
        const Codes expected = codes_by_definition(layer, params);
        for (const char* const name : {"reference", "cpu"}) {
          EXPECT_EQ(run(layer, params, {Backend::named(name), 2}), expected)
              << name << ", " << text(params) << ", " << shape.m << " x " << shape.n << " x "
              << shape.k << ", " << variant;
        }
      }
    }
  }
}

/// Also where int32 does not hold the sums.
TEST(Int8LinearCodes, AreExactForAnyDepth) {
  for (const std::int64_t k : {32'768, 131'072}) {
    Layer layer = some_layer({2, 3, k}, true, true, true, true);
    std::fill(layer.x.begin(), layer.x.end(), std::uint8_t{0x80});
    layer.x_params.zero_point.assign(2, 127);
    QuantParams params;
    for (const double largest : {1e6, 1e8, 1e10}) {
      params.scale = {largest * 1e-4 / 127.0};
      const Codes expected = codes_by_definition(layer, params);
      EXPECT_EQ(run(layer, params, {}), expected) << k;
      EXPECT_EQ(run(layer, params, {Backend::named("reference"), 1}), expected) << k;
    }
  }
}

/// A product of 1 and each whole number: every tie, and past both ends.
TEST(Int8LinearCodes, RoundTiesAndSaturateAsQuantize) {
  Layer layer{{1, 2000, 2}, Codes{1, 8}, Codes(4000), {}, {}, {}};
  for (int j = 0; j < 2000; ++j) {
    const int number = j - 1000;
    const int eighth = static_cast<int>(std::floor(number / 8.0));
    layer.w[static_cast<std::size_t>(2 * j)] = static_cast<std::uint8_t>(number - 8 * eighth);
    layer.w[static_cast<std::size_t>(2 * j + 1)] = static_cast<std::uint8_t>(eighth);
  }
  for (QuantParams params : output_params()) {
    for (const double scale : {2.0, 4.0, 1.0}) {
      params.scale = {scale};
      Codes expected;
      for (int number = -1000; number < 1000; ++number) {
        expected.push_back(code_by_definition(static_cast<float>(number), params));
      }
      for (const char* const name : {"reference", "cpu"}) {
        EXPECT_EQ(run(layer, params, {Backend::named(name), 1}), expected) << text(params);
      }
    }
  }
}

/// On each instruction set, where the parts of a row end, with a bias at an odd address.
TEST(Int8LinearCodes, AreThoseOfQuantizeAfterTheLayer) {
  for (const std::int64_t n : {2047, 2048, 2049, 4100}) {
    for (const bool by_output : {false, true}) {
      const GemmShape shape{20, n, 40};
      const Layer layer = some_layer(shape, true, by_output, true, true);
      std::vector<float> y(static_cast<std::size_t>(20 * n));
      Bytes bias = to_bytes(DType::kF32, layer.bias);
      bias.insert(bias.begin(), std::byte{0});
      const ConstTensorView bias_view(bias.data() + 1, DType::kF32, Shape{n});
      int8_linear(layer.x, layer.x_params, layer.w, layer.w_params, shape, bias_view,
                  TensorView(y.data(), Shape{20, n}), {Backend::named("reference"), 1});
      const QuantParams y_params{{}, {}, {0.011}, {5}};
      Codes expected(y.size());
      quantize(y, y_params, expected);
      const std::vector<float> x_scale(layer.x_params.scale.begin(), layer.x_params.scale.end());
      const std::vector<float> w_scale(layer.w_params.scale.begin(), layer.w_params.scale.end());
      const float y_scale = 0.011f;
      detail::ScaledTensor tensor;
      tensor.shape = {20, n};
      tensor.scale = &y_scale;
      tensor.zero_point = y_params.zero_point.data();
      for (const auto* table : multiplying_tables()) {
        for (const int num_threads : {1, 2, 5}) {
          Codes codes(y.size(), 0x5a);
          tensor.num_threads = num_threads;
          table->int8_linear_codes({{as_int8(layer.x), as_int8(layer.w), shape, num_threads},
                                    {x_scale.data(), layer.x_params.zero_point.data(), true},
                                    {w_scale.data(), layer.w_params.zero_point.data(), by_output},
                                    bias_view.data(),
                                    DType::kF32},
                                   tensor, codes.data());
          ASSERT_TRUE(codes == expected) << table_name(*table) << ", " << num_threads;
        }
      }
    }
  }
}

TEST(Int8LinearCodes, OfSpecialNumbersOfTheBias) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Layer layer = some_layer({3, 4, 5}, false, true, false, false);
  layer.bias = {std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, -0.0};
  for (const QuantParams& params : output_params()) {
    const Codes expected = codes_by_definition(layer, params);
    for (const char* const name : {"reference", "cpu"}) {
      EXPECT_EQ(run(layer, params, {Backend::named(name), 1}), expected) << text(params);
    }
  }
}

TEST(Int8LinearCodes, MayBeNone) {
  for (const GemmShape& shape : {GemmShape{0, 3, 4}, GemmShape{3, 0, 4}, GemmShape{0, 0, 0}}) {
    EXPECT_EQ(run(some_layer(shape, false, true, true, true), QuantParams(), {}), Codes());
  }
}

class Int8LinearCodesErrors : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(codes_, Codes(6, 77));
    run(params_);
    EXPECT_EQ(codes_, Codes(6, 4));
  }
  void run(const QuantParams& y_params) {
    int8_linear(x_, params_, w_, params_, shape_, {}, y_params, codes_);
  }

  const GemmShape shape_{2, 3, 4};
  Codes x_ = Codes(8, 1);
  Codes w_ = Codes(12, 1);
  Codes codes_ = Codes(6, 77);
  const QuantParams params_{};
};

TEST_F(Int8LinearCodesErrors, ParametersOfYAreNamed) {
  const auto with = [&](const QuantParams& changed) { return [=, this] { run(changed); }; };
  for (const Format format : {Format::kE4M3, Format::kE5M2}) {
    expect_invalid(with({{format}, {}, {1.0}, {}}),
                   {"y_params.quantizer.format is", to_string(format), "int8 or int4"});
  }
  expect_invalid(with({{static_cast<Format>(7)}, {}, {1.0}, {}}), {"y_params.quantizer.format"});
  expect_invalid(with({{}, Granularity::channel(0), {1, 1}, {}}),
                 {"y_params.granularity is another; it must be tensor"});
  expect_invalid(with({{}, Granularity::group(3), {1, 1}, {}}), {"y_params.granularity"});
  for (const double scale : {0.0, -1.0, 1e-50, 1e50, std::nan("")}) {
    expect_invalid(with({{}, {}, {scale}, {}}), {"y_params.scale[0] is", "positive and finite"});
  }
  expect_invalid(with({{}, {}, {1.0, 1.0}, {}}), {"y_params.scale.size() is 2", "be 1"});
  expect_invalid(with({{}, {}, {1.0}, {128}}), {"y_params.zero_point[0] is 128"});
  expect_invalid(with({{Format::kInt4}, {}, {1.0}, {8}}), {"y_params.zero_point[0] is 8"});
  expect_invalid(with({{}, {}, {1.0}, {1, 1}}), {"y_params.zero_point.size() is 2"});
}

TEST_F(Int8LinearCodesErrors, OtherArgumentsAreNamed) {
  const auto with_shape = [&](const GemmShape& shape) {
    return [=, this] { int8_linear(x_, params_, w_, params_, shape, {}, params_, codes_); };
  };
  expect_invalid(with_shape({-1, 3, 4}), {"shape.m is -1"});
  expect_invalid(with_shape({2, 3, 5}), {"x.size() is 8", "be 10"});
  const std::vector<double> wide(3);
  const std::vector<float> narrow(2);
  const auto with_bias = [&](ConstTensorView bias) {
    return [=, this] { int8_linear(x_, params_, w_, params_, shape_, bias, params_, codes_); };
  };
  expect_invalid(with_bias(wide), {"bias.dtype() is F64", "F32"});
  expect_invalid(with_bias(narrow), {"bias.size() is 2", "be 3"});
  expect_invalid(
      [&] {
        int8_linear(x_, params_, w_, params_, shape_, {}, params_, std::span(codes_).first(5));
      },
      {"codes.size() is 5", "be 6"});
  QuantParams changed;
  changed.quantizer.format = Format::kE4M3;
  expect_invalid([&] { int8_linear(x_, changed, w_, params_, shape_, {}, params_, codes_); },
                 {"x_params.quantizer.format is e4m3"});
  changed = {{Format::kInt8, Rounding::kOriginal}, {}, {1.0}, {-2'147'483'647}};
  expect_invalid([&] { int8_linear(x_, changed, w_, changed, shape_, {}, params_, codes_); },
                 {"sum", "9.2e18"});
  expect_invalid(
      [&] {
        int8_linear(x_, params_, w_, params_, shape_, {}, params_, codes_,
                    {Backend::automatic(), -1});
      },
      {"num_threads"});
}

TEST_F(Int8LinearCodesErrors, OutputsInTheMemoryOfInputsAreNamed) {
  Codes memory(20, 77);
  const std::span<std::uint8_t> all(memory);
  expect_invalid(
      [&] {
        int8_linear(all.first(8), params_, w_, params_, shape_, {}, params_, all.subspan(7, 6));
      },
      {"codes is in memory that x uses"});
  expect_invalid(
      [&] {
        int8_linear(x_, params_, all.first(12), params_, shape_, {}, params_, all.subspan(3, 6));
      },
      {"codes is in memory that w uses"});
  const ConstTensorView bias(memory.data(), DType::kF32, Shape{3});
  expect_invalid(
      [&] { int8_linear(x_, params_, w_, params_, shape_, bias, params_, all.subspan(11, 6)); },
      {"codes is in memory that bias uses"});
  EXPECT_EQ(memory, Codes(20, 77));
}

}  // namespace
}  // namespace cuqat::test
