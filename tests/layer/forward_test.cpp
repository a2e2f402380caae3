// The forward pass against its definition: codes by quantize, sums in int64 or f64, the roundings
// that layer.hpp and gemm.hpp state.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/forward_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 5;
constexpr std::int64_t kIn = 37;
constexpr std::int64_t kOut = 11;

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

std::vector<LayerCase> float_cases() {
  std::vector<LayerCase> cases = number_cases();
  for (const LayerCase& fp8 : fp8_cases(QatProduct::kCodes)) cases.push_back(fp8);
  return cases;
}

class FloatProduct : public testing::TestWithParam<LayerCase> {};

TEST_P(FloatProduct, IsWithinItsBoundInTrainingAndInference) {
  const auto& [name, config, dtype] = GetParam();
  const QatLayer original = some_layer(config, dtype, kIn, kOut);
  const Numbers x = some_input(dtype, kRows, kIn);
  for (const char* const backend : kBackends) {
    for (const int num_threads : {1, 2}) {
      QatLayer layer = original;
      const Numbers y = trained(layer, x, on(backend, num_threads));
      expect_forward(layer, x, y);
      EXPECT_EQ(inferred(layer, x, on(backend, num_threads)).bytes, y.bytes) << backend;
      QatLayer fresh = original;
      EXPECT_EQ(inferred(fresh, x, on(backend, num_threads)).bytes, y.bytes) << backend;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Forward, FloatProduct, testing::ValuesIn(float_cases()), case_name);

class OfNumbers : public testing::TestWithParam<LayerCase> {};

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
  const Dots dots{quantized_input(numbers, x), quantized_weight(numbers, dtype),
                  std::vector<double>(kOut, 1.0), values_of(numbers.bias())};
  const double u = dtype == DType::kF64 ? 0x1p-53 : 0x1p-24;
  // Of codes: its sum (FP8), four roundings; and those of x and of w to C and to their dtype.
  const double relative = (static_cast<double>(kIn + 2 + 4) + 2.0) * u * 1.01 +
                          (dtype == DType::kF64 ? 0.0 : 2.02 * unit_of(dtype));
  const double absolute = dtype == DType::kF16 ? kIn * 0x1p-25 * 20.0 : 0.0;
  expect_dots(trained(codes, x), dots, relative, absolute);
}

INSTANTIATE_TEST_SUITE_P(Forward, OfNumbers, testing::ValuesIn(number_cases()), case_name);

}  // namespace
}  // namespace cuqat::test
