// Every function that takes QuantParams refuses bad ones in the same words, and writes nothing.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

constexpr std::uint8_t kUntouched = 0xa5;
const Shape kShape{2, 3};

/// Inputs of zeros and outputs of a known byte, large enough for any dtype.
struct Buffers {
  std::vector<std::uint8_t> x = std::vector<std::uint8_t>(6 * sizeof(double));
  std::vector<std::uint8_t> dy = x;
  std::vector<std::uint8_t> codes = std::vector<std::uint8_t>(6);
  std::vector<std::uint8_t> output = std::vector<std::uint8_t>(6 * sizeof(double), kUntouched);
  std::vector<std::uint8_t> code_output = std::vector<std::uint8_t>(6, kUntouched);
  std::vector<std::uint8_t> transposed_output = code_output;
  std::vector<std::uint8_t> mask = std::vector<std::uint8_t>(1, kUntouched);
  std::vector<double> dscale{-5.0};
  std::vector<double> dzero_point{-5.0};

  [[nodiscard]] ConstTensorView x_view(DType dtype) const { return {x.data(), dtype, kShape}; }
  [[nodiscard]] ConstTensorView dy_view(DType dtype) const { return {dy.data(), dtype, kShape}; }
  [[nodiscard]] TensorView output_view(DType dtype) { return {output.data(), dtype, kShape}; }
};

bool outputs_untouched(const Buffers& buffers) {
  const Buffers fresh;
  return buffers.output == fresh.output && buffers.code_output == fresh.code_output &&
         buffers.transposed_output == fresh.transposed_output && buffers.mask == fresh.mask &&
         buffers.dscale == fresh.dscale && buffers.dzero_point == fresh.dzero_point;
}

struct Operation {
  std::string name;
  void (*run)(Buffers&, DType, const QuantParams&, const HostOptions&);
};

const std::vector<Operation> kOperations{
    {"Quantize",
     [](Buffers& b, DType dtype, const QuantParams& params, const HostOptions& options) {
       quantize(b.x_view(dtype), params, b.code_output, CodeLayout::kBytes, options);
     }},
    {"QuantizeTransposed",
     [](Buffers& b, DType dtype, const QuantParams& params, const HostOptions& options) {
       quantize_transposed(b.x_view(dtype), params, b.code_output, b.transposed_output, options);
     }},
    {"Dequantize",
     [](Buffers& b, DType dtype, const QuantParams& params, const HostOptions& options) {
       dequantize(b.codes, params, b.output_view(dtype), CodeLayout::kBytes, options);
     }},
    {"FakeQuantize",
     [](Buffers& b, DType dtype, const QuantParams& params, const HostOptions& options) {
       fake_quantize(b.x_view(dtype), params, b.output_view(dtype), b.mask, options);
     }},
    {"FakeQuantizeBackward",
     [](Buffers& b, DType dtype, const QuantParams& params, const HostOptions& options) {
       fake_quantize_backward(b.dy_view(dtype), b.x_view(dtype), params, b.output_view(dtype),
                              options);
     }},
    {"LearnedScaleBackward",
     [](Buffers& b, DType dtype, const QuantParams& params, const HostOptions& options) {
       learned_scale_backward(b.dy_view(dtype), b.x_view(dtype), params, b.output_view(dtype),
                              {b.dscale, {}}, std::nullopt, options);
     }},
    {"QuantizationError",
     [](Buffers& b, DType dtype, const QuantParams& params, const HostOptions& options) {
       const std::vector<double> amax{1.0};
       quantization_error(b.x_view(dtype), params, amax, options);
     }},
};

struct BadParams {
  std::string name;
  DType dtype;
  QuantParams params;
  std::string argument;
  std::string value;
  std::string limit;
};

const Granularity kTensor = Granularity::tensor();
const Quantizer kInt8{};
const Quantizer kNarrowInt8{Format::kInt8, Rounding::kNearestEven, true, true};
const Quantizer kInt4{Format::kInt4, Rounding::kNearestEven, false, true};
const Quantizer kE4M3{Format::kE4M3, Rounding::kNearestEven, false, true};
const Quantizer kOriginalE5M2{Format::kE5M2, Rounding::kOriginal, false, true};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
const std::string kScale = "params.scale[0]";
const std::string kPositive = "positive and finite in ";

const std::vector<BadParams> kBadParams{
    {"ZeroScale", DType::kF32, {kInt8, kTensor, {0.0}, {}}, kScale, "is 0;", kPositive + "F32"},
    {"NegativeScale", DType::kF64, {kInt8, kTensor, {-0.5}, {}}, kScale, "-0.5", kPositive + "F64"},
    {"NaNScale", DType::kF32, {kInt8, kTensor, {kNaN}, {}}, kScale, "nan", kPositive + "F32"},
    {"InfiniteScale", DType::kF64, {kE4M3, kTensor, {kInfinity}, {}}, kScale, "inf", kPositive},
    {"ScaleThatIsZeroInC", DType::kF32, {kInt8, kTensor, {1e-60}, {}}, kScale, "1e-60", "F32"},
    {"ScaleThatIsInfiniteInC", DType::kBF16, {kInt8, kTensor, {1e39}, {}}, kScale, "1e+39", "F32"},
    {"SecondScale",
     DType::kF32,
     {kInt8, Granularity::channel(0), {1.0, -1.0}, {}},
     "params.scale[1]",
     "is -1;",
     kPositive},
    {"TooFewScales",
     DType::kF32,
     {kInt8, Granularity::channel(0), {1.0}, {}},
     "params.scale.size()",
     "is 1;",
     "be 2"},
    {"TooManyScales",
     DType::kF32,
     {kInt8, kTensor, {1.0, 1.0}, {}},
     "params.scale.size()",
     "is 2;",
     "be 1"},
    {"NoScale", DType::kF32, {kInt8, kTensor, {}, {}}, "params.scale.size()", "is 0;", "be 1"},
    {"TooManyZeroPoints",
     DType::kF32,
     {kInt8, kTensor, {1.0}, {0, 0}},
     "params.zero_point.size()",
     "is 2;",
     "be 1"},
    {"ZeroPointOverInt8",
     DType::kF32,
     {kInt8, kTensor, {1.0}, {128}},
     "params.zero_point[0]",
     "is 128;",
     "[-128, 127]"},
    {"ZeroPointUnderNarrowInt8",
     DType::kF32,
     {kNarrowInt8, kTensor, {1.0}, {-128}},
     "params.zero_point[0]",
     "is -128;",
     "[-127, 127]"},
    {"ZeroPointUnderInt4",
     DType::kF16,
     {kInt4, kTensor, {1.0}, {-9}},
     "params.zero_point[0]",
     "is -9;",
     "[-8, 7]"},
    {"ZeroPointOfFp8",
     DType::kF32,
     {kE4M3, kTensor, {1.0}, {1}},
     "params.zero_point[0]",
     "is 1;",
     "be 0 for e4m3"},
    {"OriginalRoundingOfFp8",
     DType::kF32,
     {kOriginalE5M2, kTensor, {1.0}, {}},
     "params.quantizer.rounding",
     "is original;",
     "nearest-even"},
    {"AxisOverRank",
     DType::kF32,
     {kInt8, Granularity::channel(2), {1.0}, {}},
     "granularity.axis",
     "is 2;",
     "[-2, 2)"},
    {"GroupOfNothing",
     DType::kF32,
     {kInt8, Granularity::group(0), {1.0}, {}},
     "granularity.group_size",
     "is 0;",
     "at least 1"},
};

class BadQuantParams : public testing::TestWithParam<std::tuple<Operation, BadParams>> {};

TEST_P(BadQuantParams, AreRefusedAndNothingIsWritten) {
  const Operation& operation = std::get<0>(GetParam());
  const BadParams& bad = std::get<1>(GetParam());
  Buffers buffers;
  expect_invalid([&] { operation.run(buffers, bad.dtype, bad.params, {}); },
                 {bad.argument, bad.value, bad.limit});
  EXPECT_TRUE(outputs_untouched(buffers));
}

INSTANTIATE_TEST_SUITE_P(Errors, BadQuantParams,
                         testing::Combine(testing::ValuesIn(kOperations),
                                          testing::ValuesIn(kBadParams)),
                         [](const auto& param_info) {
                           return std::get<0>(param_info.param).name + "_" +
                                  std::get<1>(param_info.param).name;
                         });

class EveryOperation : public testing::TestWithParam<Operation> {};

TEST_P(EveryOperation, RefusesANegativeNumberOfThreads) {
  Buffers buffers;
  HostOptions options;
  options.num_threads = -2;
  expect_invalid([&] { GetParam().run(buffers, DType::kF32, {}, options); },
                 {"options.num_threads", "is -2;", "in [1, 1024]"});
  EXPECT_TRUE(outputs_untouched(buffers));
}

TEST_P(EveryOperation, TakesGoodParameters) {
  Buffers buffers;
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    EXPECT_NO_THROW(GetParam().run(buffers, dtype, {}, {})) << to_string(dtype);
  }
}

TEST_P(EveryOperation, TakesAZeroPointThatIsNoCodeInTheOriginalConvention) {
  Buffers buffers;
  QuantParams params;
  params.quantizer.rounding = Rounding::kOriginal;
  params.zero_point = {1000};
  EXPECT_NO_THROW(GetParam().run(buffers, DType::kF64, params, {}));
}

INSTANTIATE_TEST_SUITE_P(Errors, EveryOperation, testing::ValuesIn(kOperations),
                         [](const auto& param_info) { return param_info.param.name; });

}  // namespace
}  // namespace cuqat::test
