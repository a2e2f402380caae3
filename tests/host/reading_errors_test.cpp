// Bad arguments of statistics, histograms, percentiles and weights.
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(StatisticsErrors, RefuseAGranularityThatTheShapeHasNot) {
  const std::vector<float> x(6);
  expect_invalid([&] { statistics(x, Granularity::channel(-2)); },
                 {"granularity.axis", "is -2;", "[-1, 1)"});
  expect_invalid([&] { statistics(x, Granularity::group(-4)); },
                 {"granularity.group_size", "is -4;", "at least 1"});
}

TEST(StatisticsErrors, RefuseANegativeNumberOfThreads) {
  const std::vector<float> x(6);
  HostOptions options;
  options.num_threads = -1;
  expect_invalid([&] { statistics(x, options); },
                 {"options.num_threads", "is -1;", "in [1, 1024]"});
}

TEST(KeyHistogramErrors, RefusesF64) {
  const std::vector<double> x(3);
  std::vector<std::uint64_t> counts(kNumKeys, 9);
  expect_invalid([&] { accumulate_key_histogram(x, std::span<std::uint64_t, kNumKeys>(counts)); },
                 {"x.dtype()", "F64", "F32, F16 or BF16"});
  EXPECT_EQ(counts, std::vector<std::uint64_t>(kNumKeys, 9));
}

TEST(LinearHistogramErrors, RefusesAnAmaxThatIsNotPositiveAndFinite) {
  const std::vector<float> x(3);
  std::vector<std::uint64_t> counts(4, 9);
  for (const auto& [amax, value] :
       {std::pair{0.0, "is 0;"}, {-1.5, "is -1.5;"}, {kNaN, "is nan;"}, {kInfinity, "is inf;"}}) {
    expect_invalid(
        [&, amax = amax] { accumulate_linear_histogram(x, amax, BinRange::kMagnitude, counts); },
        {"amax", value, "positive and finite"});
  }
  EXPECT_EQ(counts, std::vector<std::uint64_t>(4, 9));
}

TEST(LinearHistogramErrors, RefusesACountOfBinsOutsideTheLimits) {
  const std::vector<float> x(3);
  std::vector<std::uint64_t> counts((std::size_t{1} << 24) + 1, 9);
  expect_invalid([&] { accumulate_linear_histogram(x, 1.0, BinRange::kMagnitude, {}); },
                 {"counts.size()", "is 0;", "[1, 16777216]"});
  expect_invalid([&] { accumulate_linear_histogram(x, 1.0, BinRange::kMagnitude, counts); },
                 {"counts.size()", "is 16777217;", "[1, 16777216]"});
  expect_invalid(
      [&] { accumulate_linear_histogram(x, 1.0, BinRange::kSigned, std::span(counts).first(3)); },
      {"counts.size()", "is 3;", "even"});
  EXPECT_EQ(counts.front(), 9u);
}

TEST(OrderStatisticsErrors, RefuseARankOutsideTheFiniteElements) {
  const std::vector<double> x{1.0, kNaN, kInfinity, 2.0};
  const std::vector<ConstTensorView> batches{x};
  const std::vector<std::int64_t> over{0, 2};
  const std::vector<std::int64_t> negative{-1};
  expect_invalid([&] { order_statistics(batches, OrderBy::kValue, over); },
                 {"ranks[1]", "is 2;", "[0, 2)"});
  expect_invalid([&] { order_statistics(batches, OrderBy::kMagnitude, negative); },
                 {"ranks[0]", "is -1;", "[0, 2)"});
  expect_invalid([&] { order_statistics({}, OrderBy::kValue, over); },
                 {"ranks[0]", "is 0;", "[0, 0)"});
}

TEST(OrderStatisticsErrors, RefuseBatchesOfDifferentDtypes) {
  const std::vector<double> wide(2);
  const std::vector<float> narrow(2);
  const std::vector<ConstTensorView> batches{wide, narrow};
  const std::vector<std::int64_t> ranks{0};
  expect_invalid([&] { order_statistics(batches, OrderBy::kValue, ranks); },
                 {"batches[1].dtype()", "F32", "F64"});
}

TEST(PercentileErrors, RefuseAPercentageOutsideZeroToHundred) {
  const std::vector<float> x(3);
  expect_invalid([&] { magnitude_percentile(x, 100.5); }, {"p", "is 100.5;", "[0, 100]"});
  expect_invalid([&] { percentile_range(x, -1.0); }, {"p", "is -1;", "[0, 100]"});
  expect_invalid([&] { percentile_rank(3, kNaN); }, {"p", "is nan;", "[0, 100]"});
  expect_invalid([&] { two_sided_percentile_ranks(3, 101.0); }, {"p", "is 101;", "[0, 100]"});
}

TEST(PercentileErrors, RefuseNoElements) {
  expect_invalid([] { percentile_rank(0, 50.0); }, {"n", "is 0;", "at least 1"});
  expect_invalid([] { two_sided_percentile_ranks(-1, 50.0); }, {"n", "is -1;", "at least 1"});
}

TEST(WeightErrors, RefuseAffineFp8AndChannelsOfAScalar) {
  const std::vector<float> x(3);
  expect_invalid(
      [&] {
        quantize_model_weights(x, {Format::kE5M2, false, false});
      },
      {"config.symmetric", "false", "true for e5m2"});
  expect_invalid(
      [&] {
        quantize_model_weights(ConstTensorView(x.data(), Shape{}), {Format::kInt8, true});
      },
      {"config.per_channel", "true", "false for a tensor of rank 0"});
}

TEST(WeightErrors, DequantizeRefusesAnotherShapeOrComputeType) {
  const std::vector<float> x{1.0f, 2.0f, 3.0f};
  const QuantizedWeights weights = quantize_model_weights(x);
  std::vector<double> y(3, 9.0);
  expect_invalid([&] { dequantize_weights(weights, TensorView(y.data(), Shape{3})); },
                 {"y.dtype()", "F64", "F32, F16 or BF16"});
  expect_invalid([&] { dequantize_weights(weights, TensorView(y.data(), DType::kF32, Shape{2})); },
                 {"y.shape()", "[2]", "[3]"});
  EXPECT_EQ(y, std::vector<double>(3, 9.0));
}

TEST(XavierErrors, RefuseFansThatAreNegativeOrBothZero) {
  std::vector<float> weights(2, 9.0f);
  expect_invalid([&] { xavier_uniform(1, -1, 4, weights); }, {"fan_in", "is -1;", "at least 0"});
  expect_invalid([&] { xavier_uniform(1, 4, -2, weights); }, {"fan_out", "is -2;", "at least 0"});
  expect_invalid([&] { xavier_uniform(1, 0, 0, weights); },
                 {"fan_in + fan_out", "is 0;", "at least 1"});
  EXPECT_EQ(weights, std::vector<float>(2, 9.0f));
}

}  // namespace
}  // namespace cuqat::test
