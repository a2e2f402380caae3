// The forward pass against its definition: codes by quantize, sums in int64 or f64, the roundings
// that layer.hpp and gemm.hpp state.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/layer_support.hpp"
#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kIn = 37;
constexpr std::int64_t kOut = 11;

template <typename C>
C scale_of(const QuantParams& params, std::size_t row) {
  return static_cast<C>(params.scale[params.scale.size() == 1 ? 0 : row]);
}

std::int64_t zero_of(const QuantParams& params, std::size_t row) {
  if (params.zero_point.empty()) return 0;
  return params.zero_point[params.zero_point.size() == 1 ? 0 : row];
}

/// The product of integer codes, each step rounded in C, then to y's type.
template <typename C>
Bytes integer_product(QatLayer& layer, const Numbers& x) {
  const QuantParams& of_x = layer.activation_params();
  const QuantParams of_w = layer.weight_params();
  const Codes x_codes = codes_of(x.view(), of_x);
  const Codes w_codes = codes_of(layer.weight(), of_w);
  const std::vector<double> bias = values_of(layer.bias());
  const auto k = static_cast<std::size_t>(layer.in_features());
  const auto n = static_cast<std::size_t>(layer.out_features());
  const auto m = static_cast<std::size_t>(x.shape[0]);
  Bytes y(m * n * dtype_bytes(x.dtype));
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      std::int64_t sum = 0;
      for (std::size_t l = 0; l < k; ++l) {
        sum += (static_cast<std::int8_t>(x_codes[i * k + l]) - zero_of(of_x, 0)) *
               (static_cast<std::int8_t>(w_codes[j * k + l]) - zero_of(of_w, j));
      }
      const C scale = scale_of<C>(of_x, 0) * scale_of<C>(of_w, j);
      const C product = scale * static_cast<C>(sum);
      const C value = product + static_cast<C>(bias[j]);
      store_element(x.dtype, y.data(), i * n + j, value);
    }
  }
  return y;
}

Bytes integer_product(QatLayer& layer, const Numbers& x) {
  return x.dtype == DType::kF64 ? integer_product<double>(layer, x)
                                : integer_product<float>(layer, x);
}

/// Expects abs(y - exact) to be within `relative` of the sum of the terms' sizes, and the rounding
/// of y; the dot products of rows of x and of w, times a factor for each output, and the bias.
void expect_dots(const Numbers& y, const std::vector<double>& x, const std::vector<double>& w,
                 const std::vector<double>& factor, const std::vector<double>& bias,
                 double relative, double absolute = 0.0) {
  const auto n = static_cast<std::size_t>(y.shape[1]);
  const auto m = static_cast<std::size_t>(y.shape[0]);
  const std::size_t k = w.size() / n;
  const std::vector<double> found = y.values();
  const double of_y = unit_of(y.dtype);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0;
      double size = std::abs(bias[j]);
      for (std::size_t l = 0; l < k; ++l) {
        sum += x[i * k + l] * w[j * k + l];
        size += std::abs(factor[j] * x[i * k + l] * w[j * k + l]);
      }
      const double exact = factor[j] * sum + bias[j];
      // The last term is of the sums above.
      const double bound = relative * size + absolute + static_cast<double>(k + 3) * 0x1p-53 * size;
      ASSERT_LE(std::abs(found[i * n + j] - exact),
                bound + of_y * (std::abs(exact) + bound) + least_step_of(y.dtype))
          << i << ", " << j << ": " << found[i * n + j] << " for " << exact;
    }
  }
}

/// What a product of numbers takes: fake-quantized numbers of x's dtype.
std::vector<double> quantized_input(const QatLayer& layer, const Numbers& x) {
  return fake_quantized(x.view(), layer.activation_params()).numbers.values();
}
std::vector<double> quantized_weight(QatLayer& layer, DType dtype) {
  return rounded_to(dtype, fake_quantized(layer.weight(), layer.weight_params()).numbers).values();
}

void expect_numbers_product(QatLayer& layer, const Numbers& x, const Numbers& y) {
  const std::vector<double> xq = quantized_input(layer, x);
  const std::vector<double> wq = quantized_weight(layer, x.dtype);
  const std::vector<double> bias = values_of(layer.bias());
  if (x.dtype != DType::kF64) {
    expect_dots(y, xq, wq, std::vector<double>(bias.size(), 1.0), bias,
                static_cast<double>(kIn + 3) * 0x1p-24);
    return;
  }
  std::vector<double> expected;
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t j = 0; j < kOut; ++j) {
      double sum = bias[j];
      for (std::size_t l = 0; l < kIn; ++l) sum += xq[i * kIn + l] * wq[j * kIn + l];
      expected.push_back(sum);
    }
  }
  EXPECT_EQ(y.values(), expected);
}

class IntegerCodes : public testing::TestWithParam<LayerCase> {};

TEST_P(IntegerCodes, HaveTheBitsOfTheDefinitionInTrainingAndInference) {
  const auto& [name, config, dtype] = GetParam();
  const QatLayer original = some_layer(config, dtype, kIn, kOut);
  const Numbers x = some_input(dtype, kRows, kIn);
  QatLayer judged = original;
  const Bytes expected = integer_product(judged, x);
  for (const char* const backend : kBackends) {
    for (const int num_threads : {1, 2}) {
      QatLayer layer = original;
      EXPECT_EQ(trained(layer, x, on(backend, num_threads)).bytes, expected) << backend;
      EXPECT_EQ(inferred(layer, x, on(backend, num_threads)).bytes, expected) << backend;
      QatLayer fresh = original;
      EXPECT_EQ(inferred(fresh, x, on(backend, num_threads)).bytes, expected) << backend;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forward, IntegerCodes,
                         testing::ValuesIn(integer_cases(QatProduct::kCodes)), case_name);

std::vector<double> decoded(const Codes& codes, Format format) {
  std::vector<double> values;
  for (const std::uint8_t code : codes) {
    values.push_back(decode(format == Format::kE4M3 ? kE4M3 : kE5M2, code));
  }
  return values;
}

class Fp8Codes : public testing::TestWithParam<LayerCase> {};

TEST_P(Fp8Codes, AreWithinTheBoundOfTheExactProduct) {
  const auto& [name, config, dtype] = GetParam();
  const QatLayer original = some_layer(config, dtype, kIn, kOut);
  const Numbers x = some_input(dtype, kRows, kIn);
  QatLayer judged = original;
  const QuantParams of_w = judged.weight_params();
  const QuantParams& of_x = judged.activation_params();
  const std::vector<double> xq = decoded(codes_of(x.view(), of_x), config.activation.format);
  const std::vector<double> wq = decoded(codes_of(judged.weight(), of_w), config.weight.format);
  std::vector<double> factor;
  for (std::size_t j = 0; j < kOut; ++j) {
    factor.push_back(static_cast<double>(scale_of<float>(of_x, 0)) *
                     static_cast<double>(scale_of<float>(of_w, j)));
  }
  const std::vector<double> bias = values_of(judged.bias());
  for (const char* const backend : kBackends) {
    for (const int num_threads : {1, 2}) {
      QatLayer layer = original;
      const Numbers y = trained(layer, x, on(backend, num_threads));
      // The sum, the product of the scales, the product, the sum with the bias.
      expect_dots(y, xq, wq, factor, bias, static_cast<double>(kIn + 2 + 4) * 0x1p-24);
      EXPECT_EQ(inferred(layer, x, on(backend, num_threads)).bytes, y.bytes) << backend;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forward, Fp8Codes, testing::ValuesIn(fp8_cases(QatProduct::kCodes)),
                         case_name);

std::vector<LayerCase> number_cases() {
  std::vector<LayerCase> cases = integer_cases(QatProduct::kNumbers);
  for (const LayerCase& fp8 : fp8_cases(QatProduct::kNumbers)) cases.push_back(fp8);
  for (const DType dtype : kDTypes) {
    cases.push_back(layer_case(options_of(Format::kInt4), Granularity::group(8),
                               options_of(Format::kE4M3), QatProduct::kNumbers, dtype));
    cases.push_back(layer_case(options_of(Format::kE5M2), Granularity::channel(0),
                               options_of(Format::kInt8, false), QatProduct::kNumbers, dtype));
  }
  return cases;
}

class OfNumbers : public testing::TestWithParam<LayerCase> {};

TEST_P(OfNumbers, IsWithinTheBoundOfTheFakeQuantizedProduct) {
  const auto& [name, config, dtype] = GetParam();
  const QatLayer original = some_layer(config, dtype, kIn, kOut);
  const Numbers x = some_input(dtype, kRows, kIn);
  for (const char* const backend : kBackends) {
    for (const int num_threads : {1, 2}) {
      QatLayer layer = original;
      const Numbers y = trained(layer, x, on(backend, num_threads));
      expect_numbers_product(layer, x, y);
      EXPECT_EQ(inferred(layer, x, on(backend, num_threads)).bytes, y.bytes) << backend;
    }
  }
}

/// The product of codes is in exact arithmetic that of the numbers: they part by roundings alone.
TEST_P(OfNumbers, AgreesWithTheProductOfCodes) {
  const auto& [name, config, dtype] = GetParam();
  QatLayerConfig of_codes = config;
  of_codes.product = QatProduct::kCodes;
  const bool mixed = is_integer(config.weight.format) != is_integer(config.activation.format);
  const bool grouped = config.weight_granularity.kind == Granularity::Kind::kGroup;
  const bool wide_fp8 = !is_integer(config.weight.format) && dtype == DType::kF64;
  if (mixed || grouped || wide_fp8) {
    EXPECT_THROW(some_layer(of_codes, dtype, kIn, kOut), InvalidArgument);
    return;
  }
  QatLayer numbers = some_layer(config, dtype, kIn, kOut);
  QatLayer codes = some_layer(of_codes, dtype, kIn, kOut);
  const Numbers x = some_input(dtype, kRows, kIn);
  const std::vector<double> xq = quantized_input(numbers, x);
  const std::vector<double> wq = quantized_weight(numbers, dtype);
  const std::vector<double> bias = values_of(numbers.bias());
  const std::vector<double> ones(kOut, 1.0);
  const double u = dtype == DType::kF64 ? 0x1p-53 : 0x1p-24;
  // Of codes: its sum (FP8), four roundings; and those of x and of w to C and to their dtype.
  const double relative = (static_cast<double>(kIn + 2 + 4) + 2.0) * u * 1.01 +
                          (dtype == DType::kF64 ? 0.0 : 2.02 * unit_of(dtype));
  const double absolute = dtype == DType::kF16 ? kIn * 0x1p-25 * 20.0 : 0.0;
  expect_dots(trained(codes, x), xq, wq, ones, bias, relative, absolute);
  expect_numbers_product(numbers, x, trained(numbers, x));
}

INSTANTIATE_TEST_SUITE_P(Forward, OfNumbers, testing::ValuesIn(number_cases()), case_name);

}  // namespace
}  // namespace cuqat::test
