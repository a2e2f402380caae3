// Channel equalization: the factors' formula, products that stay, and what it gains on a real
// layer.
#include "cuqat/equalization.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <iostream>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "host/expect_invalid.hpp"
#include "support/golden_file.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

Statistics with_amax(double amax) {
  Statistics statistics;
  statistics.count = 2;
  statistics.min = -amax;
  statistics.max = amax / 2;
  return statistics;
}

std::vector<float> normal(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(random.normal());
  return values;
}

/// Normal numbers whose input channels differ by up to 2^7.
std::vector<float> spread(std::int64_t rows, std::int64_t inputs, std::uint64_t seed) {
  std::vector<float> values = normal(rows * inputs, seed);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] *= std::ldexp(1.0f, static_cast<int>(i % static_cast<std::size_t>(inputs) % 8));
  }
  return values;
}

TEST(EqualizationFactors, FollowTheFormula) {
  Random random(2);
  for (int i = 0; i < 20'000; ++i) {
    const double a = std::ldexp(random.uniform(1.0, 2.0), static_cast<int>(random() % 60) - 30);
    const double w = std::ldexp(random.uniform(1.0, 2.0), static_cast<int>(random() % 60) - 30);
    const double alpha = i % 10 == 0 ? (i % 20 == 0 ? 0.0 : 1.0) : random.uniform(0.0, 1.0);
    const std::vector<Statistics> activation = {with_amax(a)};
    const std::vector<Statistics> weight = {with_amax(w)};
    const double found = equalization_factors(activation, weight, alpha).front();
    const long double exact = std::pow(static_cast<long double>(a), alpha) /
                              std::pow(static_cast<long double>(w), 1.0L - alpha);
    EXPECT_EQ(found, static_cast<double>(static_cast<float>(found)));
    const auto unit = static_cast<double>(
        std::nextafter(static_cast<float>(exact), std::numeric_limits<float>::infinity()) -
        static_cast<float>(exact));
    ASSERT_LE(std::abs(found - static_cast<double>(exact)), 0.51 * unit) << a << " " << w << alpha;
  }
}

TEST(EqualizationFactors, AreOneWithoutASpreadAndNormalAtTheEnds) {
  const std::vector<Statistics> activations = {with_amax(0.0),   with_amax(3.0),    Statistics{},
                                               with_amax(1e300), with_amax(1e-300), with_amax(4.0)};
  const std::vector<Statistics> weights = {with_amax(2.0),    with_amax(0.0),   with_amax(1.0),
                                           with_amax(1e-300), with_amax(1e300), with_amax(1.0)};
  const std::vector<double> factors = equalization_factors(activations, weights, 0.5);
  EXPECT_EQ(factors, (std::vector<double>{1.0, 1.0, 1.0, 0x1p127, 0x1p-126, 2.0}));
  expect_invalid([&] { static_cast<void>(equalization_factors(activations, {}, 0.5)); },
                 {"weights.size() is 0", "6"});
  for (const double alpha : {-0.1, 1.1, std::nan("")}) {
    expect_invalid([&] { static_cast<void>(equalization_factors(activations, weights, alpha)); },
                   {"alpha is", "[0, 1]"});
  }
}

TEST(EqualizedChannels, AreTheDefinitionsQuotientsAndProducts) {
  const std::vector<float> x = normal(3 * 5, 1);
  const std::vector<double> factors = {0.3, 1.0, 7.0, 2.5, 1e-3};
  std::vector<float> y(x.size());
  divide_channels({x.data(), Shape{3, 5}}, -1, factors, {y.data(), Shape{3, 5}});
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(y[i], x[i] / static_cast<float>(factors[i % 5]));
  }
  multiply_channels({x.data(), Shape{5, 3}}, 0, factors, {y.data(), Shape{5, 3}});
  for (std::size_t i = 0; i < x.size(); ++i) {
    EXPECT_EQ(y[i], x[i] * static_cast<float>(factors[i / 3]));
  }
}

TEST(EqualizedChannels, RefuseWhatDoesNotFit) {
  const std::vector<float> x(6, 1.0f);
  std::vector<float> y(6);
  const auto run = [&](const Shape& shape, int axis, std::vector<double> factors) {
    divide_channels({x.data(), Shape{2, 3}}, axis, factors, {y.data(), shape});
  };
  expect_invalid([&] { run({3, 2}, 1, {1, 1, 1}); }, {"y.shape()"});
  expect_invalid([&] { run({2, 3}, 2, {1, 1, 1}); }, {"axis"});
  expect_invalid([&] { run({2, 3}, 1, {1, 1}); }, {"factors.size() is 2", "3"});
  for (const double bad : {0.0, -1.0, std::nan(""), 1e300}) {
    expect_invalid([&] { run({2, 3}, 1, {1, bad, 1}); }, {"factors[1]", "positive and finite"});
  }
  run({2, 3}, 1, {1, 2, 4});
  EXPECT_EQ(y, (std::vector<float>{1, 0.5, 0.25, 1, 0.5, 0.25}));
}

TEST(OutputError, IsTheSameOnEveryBackendAndTheDefinitions) {
  for (const auto& [rows, inputs, outputs] :
       std::vector<std::tuple<std::int64_t, std::int64_t, std::int64_t>>{
           {0, 3, 2}, {3, 0, 2}, {2, 3, 0}, {1, 1, 1}, {7, 5, 255}, {9, 31, 257}, {17, 64, 513}}) {
    const std::vector<float> x = normal(rows * inputs, 1);
    const std::vector<float> w = normal(outputs * inputs, 2);
    std::vector<float> xq = x;
    std::vector<float> wq = w;
    for (float& value : xq) value = std::round(value * 8) / 8;
    for (float& value : wq) value = std::round(value * 16) / 16;
    const Shape x_shape{rows, inputs};
    const Shape w_shape{outputs, inputs};
    const auto of = [&](const HostOptions& options) {
      return output_error({x.data(), x_shape}, {w.data(), w_shape}, {xq.data(), x_shape},
                          {wq.data(), w_shape}, options);
    };
    const double expected = of({Backend::named("reference"), 1});
    for (const int threads : {1, 2, 3}) EXPECT_EQ(of({Backend::named("cpu"), threads}), expected);
    long double error = 0;
    long double signal = 0;
    for (std::int64_t row = 0; row < rows; ++row) {
      for (std::int64_t output = 0; output < outputs; ++output) {
        long double exact = 0;
        long double quantized = 0;
        for (std::int64_t j = 0; j < inputs; ++j) {
          const auto left = static_cast<std::size_t>(row * inputs + j);
          const auto right = static_cast<std::size_t>(output * inputs + j);
          exact += static_cast<long double>(x[left]) * w[right];
          quantized += static_cast<long double>(xq[left]) * wq[right];
        }
        error += (exact - quantized) * (exact - quantized);
        signal += exact * exact;
      }
    }
    const double definition = error == 0 ? 0.0 : static_cast<double>(error / signal);
    EXPECT_NEAR(expected, definition, 1e-12 * definition);
  }
}

TEST(OutputError, IsThePositiveQuietNanWhereSomethingIsNotFinite) {
  for (const double value :
       {std::nan(""), -std::nan(""), std::numeric_limits<double>::infinity()}) {
    std::vector<double> x(12, 1.0);
    x[5] = value;
    const ConstTensorView view(x.data(), Shape{3, 4});
    const std::vector<double> zeros(12);
    const double found = output_error(view, view, {zeros.data(), Shape{3, 4}}, view);
    EXPECT_TRUE(std::isnan(found));
    EXPECT_FALSE(std::signbit(found));
  }
}

TEST(OutputError, RefusesShapesThatDoNotFit) {
  const std::vector<float> data(12, 1.0f);
  const auto view = [&](const Shape& shape) { return ConstTensorView(data.data(), shape); };
  const auto run = [&](const Shape& x, const Shape& w, const Shape& xq, const Shape& wq) {
    static_cast<void>(output_error(view(x), view(w), view(xq), view(wq)));
  };
  expect_invalid([&] { run({12}, {3, 4}, {12}, {3, 4}); }, {"x.shape()", "rank 2"});
  expect_invalid([&] { run({3, 4}, {4, 3}, {3, 4}, {4, 3}); }, {"w.shape()", "as many inputs"});
  expect_invalid([&] { run({3, 4}, {3, 4}, {4, 3}, {3, 4}); }, {"xq.shape()", "as x"});
  expect_invalid([&] { run({3, 4}, {3, 4}, {3, 4}, {2, 4}); }, {"wq.shape()", "as w"});
}

TEST(FindEqualization, GainsWhereChannelsDiffer) {
  const std::int64_t rows = 40;
  const std::int64_t inputs = 24;
  const std::vector<float> x = spread(rows, inputs, 5);
  const std::vector<float> w = normal(16 * inputs, 6);
  const auto of = [&](const HostOptions& host) {
    return find_equalization({x.data(), Shape{rows, inputs}}, {w.data(), Shape{16, inputs}}, {},
                             host);
  };
  const Equalization found = of({Backend::named("reference"), 1});
  EXPECT_LT(found.output_error, 0.5 * found.unequalized_error);
  EXPECT_GT(found.alpha, 0.2);
  ASSERT_EQ(found.factor.size(), 24u);
  const Equalization again = of({Backend::named("cpu"), 2});
  EXPECT_EQ(again.output_error, found.output_error);
  EXPECT_EQ(again.alpha, found.alpha);
  EXPECT_EQ(again.factor, found.factor);
  EXPECT_EQ(again.activation.params.scale, found.activation.params.scale);
  EXPECT_EQ(again.weight.params.scale, found.weight.params.scale);
}

TEST(FindEqualization, TriesTheStrengthsThatAreAsked) {
  const std::vector<float> x = spread(20, 8, 7);
  const std::vector<float> w = normal(4 * 8, 8);
  const ConstTensorView x_view(x.data(), Shape{20, 8});
  const ConstTensorView w_view(w.data(), Shape{4, 8});
  EXPECT_EQ(find_equalization(x_view, w_view, {.alphas = {0.3}}).alpha, 0.3);
  expect_invalid([&] { static_cast<void>(find_equalization(x_view, w_view, {.alphas = {2.0}})); },
                 {"alpha is 2"});
  expect_invalid(
      [&] {
        static_cast<void>(find_equalization(x_view, {w.data(), Shape{8, 4}}));
      },
      {"w has 4 inputs", "x has 8"});
  const std::vector<double> wide(32);
  expect_invalid(
      [&] {
        static_cast<void>(find_equalization(x_view, {wide.data(), Shape{4, 8}}));
      },
      {"w.dtype() is F64"});
}

/// With an infinity in x no strength has an error: none is better than the least.
TEST(FindEqualization, TakesTheLeastStrengthWhereAllErrorsAreNan) {
  std::vector<float> x = spread(20, 8, 7);
  x[9] = std::numeric_limits<float>::infinity();
  const std::vector<float> w = normal(4 * 8, 8);
  const Equalization found = find_equalization({x.data(), Shape{20, 8}}, {w.data(), Shape{4, 8}},
                                               {.alphas = {0.9, 0.3, 0.6}});
  EXPECT_TRUE(std::isnan(found.output_error));
  EXPECT_EQ(found.alpha, 0.3);
}

/// The layer whose activations have the largest outliers: no method without equalization comes
/// near.
TEST(FindEqualization, BeatsEveryMethodOnTheInputsOfARealLayer) {
  GoldenFile activations(CUQAT_TEST_DATA_DIR "/../../data/minilm_activations.safetensors");
  GoldenFile weights(CUQAT_TEST_DATA_DIR "/../../data/minilm_weight.safetensors");
  const std::string layer = "encoder.layer.0.intermediate.dense.";
  const ConstTensorView x_view(activations.array(layer + "input").bytes.data(), DType::kF32,
                               Shape{665, 384});
  const std::int64_t outputs = kSanitized ? 96 : 1536;  // those of the first neurons
  const ConstTensorView w_view(weights.array(layer + "weight").bytes.data(), DType::kF32,
                               Shape{outputs, 384});
  const CalibrationOptions minmax;
  std::vector<float> wq(static_cast<std::size_t>(outputs) * 384);
  const CalibrationResult weight =
      calibrate_layer(std::span(&w_view, 1), minmax, Granularity::channel(0));
  fake_quantize(w_view, weight.params, {wq.data(), Shape{outputs, 384}});
  for (const bool symmetric : {true, false}) {
    double least = 1.0;
    for (const CalibMethod method :
         {CalibMethod::kMinMax, CalibMethod::kPercentile, CalibMethod::kEntropy, CalibMethod::kMse,
          CalibMethod::kSqnr}) {
      std::vector<float> xq(665 * 384);
      const CalibrationResult activation =
          calibrate_layer(std::span(&x_view, 1), {.method = method, .symmetric = symmetric});
      fake_quantize(x_view, activation.params, {xq.data(), Shape{665, 384}});
      least = std::min(least, output_error(x_view, w_view, {xq.data(), Shape{665, 384}},
                                           {wq.data(), Shape{outputs, 384}}));
    }
    EqualizationOptions options;
    options.activation = {.method = CalibMethod::kMse, .symmetric = symmetric};
    options.alphas = {0.4, 0.5, 0.6, 0.7};
    const Equalization found = find_equalization(x_view, w_view, options);
    EXPECT_LT(found.output_error, 0.5 * least) << "alpha " << found.alpha;
    std::cout << "[ measured ] " << (symmetric ? "symmetric" : "affine") << ": "
              << found.output_error << " with alpha " << found.alpha << ", " << least
              << " at best without\n";
  }
}

}  // namespace
}  // namespace cuqat::test
