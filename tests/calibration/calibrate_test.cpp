// calibrate(): percentiles, unusual tensors, and what a result says about cost and exactness.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"
#include "cuqat/fake_quant.hpp"

namespace cuqat::test {
namespace {

/// -n/3 .. 2n/3 in tenths, each once, shuffled.
std::vector<double> distinct_numbers(std::size_t count, std::uint64_t seed) {
  std::vector<double> values(count);
  const auto first = -static_cast<double>(count / 3);
  for (std::size_t i = 0; i < count; ++i) values[i] = (first + static_cast<double>(i)) / 8.0;
  Random(seed).shuffle(values);
  return values;
}

TEST(Percentile, IsTheDocumentedOrderStatistic) {
  for (const std::size_t n :
       {1U, 2U, 3U, 5U, 99U, 100U, 101U, 199U, 200U, 201U, 9999U, 10000U, 10001U, 20000U}) {
    const Numbers x(DType::kF32, distinct_numbers(n, n));
    std::vector<double> sorted = x.values();
    std::sort(sorted.begin(), sorted.end());
    std::vector<double> magnitudes = sorted;
    for (double& value : magnitudes) value = std::abs(value);
    std::sort(magnitudes.begin(), magnitudes.end());
    const auto count = static_cast<double>(n);
    for (const double p : {0.0, 1e-9, 1.0, 25.0, 50.0, 97.5, 99.0, 99.9, 99.99, 99.999, 100.0}) {
      SCOPED_TRACE(testing::Message() << "n " << n << " p " << p);
      CalibrationOptions options{.method = CalibMethod::kPercentile};
      options.percentile = p;
      const double rank = std::max(std::ceil(p / 100.0 * count), 1.0);
      const CalibrationResult symmetric = calibrate_one(x.view(), options);
      EXPECT_EQ(symmetric.high.front(), magnitudes[static_cast<std::size_t>(rank) - 1]);
      EXPECT_EQ(symmetric.low.front(), -symmetric.high.front());
      options.symmetric = false;
      const double f = (100.0 - p) / 200.0;
      const auto low = static_cast<std::size_t>(std::floor(count * f));
      const auto high =
          static_cast<std::size_t>(std::min(count - 1.0, std::ceil(count * (1.0 - f))));
      const CalibrationResult affine = calibrate_one(x.view(), options);
      EXPECT_EQ(affine.low.front(), std::min(sorted[low], 0.0));
      EXPECT_EQ(affine.high.front(), std::max(sorted[high], 0.0));
    }
  }
}

TEST(Percentile, RanksPast32BitsAreExact) {
  EXPECT_EQ(percentile_rank((1 << 24) + 1, 100.0), 1 << 24);
  EXPECT_EQ(percentile_rank((1 << 24) + 1, 50.0), 1 << 23);
  EXPECT_EQ(percentile_rank((std::int64_t{1} << 33) + 1, 50.0), std::int64_t{1} << 32);
  EXPECT_EQ(two_sided_percentile_ranks((std::int64_t{1} << 33) + 1, 100.0).high,
            std::int64_t{1} << 33);
}

TEST(CalibrateTensor, CostsAreThoseOfFakeQuantize) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Numbers x(dtype, heavy_tailed_sample(5000, 31));
    for (const Format format : kAllFormats) {
      for (const CalibrationResult& result : calibrate_all(x.view(), all_methods(format))) {
        SCOPED_TRACE(name_of(result.options));
        std::vector<float> f32(dtype == DType::kF32 ? x.size() : 0);
        std::vector<double> f64(dtype == DType::kF64 ? x.size() : 0);
        std::vector<std::uint8_t> mask(clip_mask_bytes(static_cast<std::int64_t>(x.size())));
        fake_quantize(x.view(), result.params,
                      dtype == DType::kF32 ? TensorView(f32) : TensorView(f64), mask);
        double error = 0.0;
        double signal = 0.0;
        double clipped = 0.0;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double y = dtype == DType::kF32 ? static_cast<double>(f32[i]) : f64[i];
          error += (x.values()[i] - y) * (x.values()[i] - y);
          signal += x.values()[i] * x.values()[i];
          clipped += (mask[i / 8] >> (i % 8)) & 1;
        }
        const auto n = static_cast<double>(x.size());
        EXPECT_EQ(result.clipped, clipped / n);
        EXPECT_NEAR(result.mse, error / n, 1e-9 * error / n);
        EXPECT_NEAR(result.sqnr_db, 10.0 * std::log10(signal / error), 1e-8);
      }
    }
  }
}

TEST(CalibrateTensor, CostsAreThoseOfTheElementRuleInEveryDType) {
  for (const DType dtype : kAllDTypes) {
    for (const Sample& sample : all_samples(dtype, 400)) {
      const Numbers x(dtype, sample.values);
      const double amax = amax_of(x.values());
      for (const CalibrationResult& result : calibrate_all(
               x.view(),
               all_methods(sample.name.size() % 2 == 0 ? Format::kInt8 : Format::kE4M3))) {
        SCOPED_TRACE(sample.name + " " + std::string(to_string(dtype)) + " " +
                     name_of(result.options));
        const int zero = result.params.zero_point.empty() ? 0 : result.params.zero_point.front();
        const OracleCost cost = oracle_cost(x.values(), result.params.quantizer,
                                            {result.params.scale.front(), zero}, dtype, amax);
        double signal = 0.0;
        for (const double value : x.values()) signal += value / amax * (value / amax);
        const auto n = static_cast<double>(x.size());
        EXPECT_EQ(result.clipped, static_cast<double>(cost.clipped) / n);
        // Each square is rounded at 2^-51; of 1e300 or 1e-300 it is past the numbers of f64.
        const double mse = cost.total(1.0) / n;
        if (std::isinf(amax * amax)) {
          EXPECT_EQ(result.mse, INFINITY);
        } else {
          EXPECT_NEAR(result.mse, mse * amax * amax, (1e-9 * mse + 0x1p-51 * n) * amax * amax);
        }
        EXPECT_FALSE(std::isnan(result.sqnr_db));
        if (cost.total(1.0) > 1e-6) {
          EXPECT_NEAR(result.sqnr_db, 10.0 * std::log10(signal / cost.total(1.0)), 1e-6);
        }
      }
    }
  }
}

TEST(CalibrateTensor, HasAUsableScaleForEveryTensor) {
  const double nan = std::nan("");
  const std::vector<Sample> samples{{"empty", {}},
                                    {"zeros", {0.0, -0.0, 0.0}},
                                    {"NaN and infinities only", {nan, INFINITY, -INFINITY}},
                                    {"zeros and NaN", {nan, 0.0, INFINITY}},
                                    {"one", {1.0}},
                                    {"constant 300", {300.0, 300.0, 300.0}},
                                    {"constant -300", {-300.0, -300.0}},
                                    {"least f32", {1.4e-45}},
                                    {"1e-40", {1e-40, 1e-40}},
                                    {"largest", {-3.4e38, 3.4e38, 1.0}},
                                    {"FLT_MAX", {3.402823466385288598e38, -1.0}}};
  for (const DType dtype : kAllDTypes) {
    for (const Sample& sample : samples) {
      const Numbers x(dtype, sample.values);
      for (const Format format : kAllFormats) {
        for (const CalibrationResult& result : calibrate_all(x.view(), all_methods(format))) {
          SCOPED_TRACE(sample.name + " " + std::string(to_string(dtype)) + " " +
                       name_of(result.options));
          EXPECT_TRUE(has_usable_scales(result, dtype)) << result.params.scale.front();
          EXPECT_TRUE(std::isfinite(result.low.front()) && std::isfinite(result.high.front()));
          EXPECT_FALSE(std::isnan(result.mse) || std::isnan(result.sqnr_db));
          EXPECT_TRUE(result.clipped >= 0.0 && result.clipped <= 1.0);
          if (amax_of(x.values()) == 0.0) {
            EXPECT_EQ(result.params.scale.front(), 1.0);
            if (!result.params.zero_point.empty()) {
              EXPECT_EQ(result.params.zero_point.front(), 0);
            }
            EXPECT_EQ(result.mse, 0.0);
            EXPECT_EQ(result.clipped, 0.0);
            EXPECT_EQ(result.sqnr_db, INFINITY);
          }
        }
      }
    }
  }
}

TEST(CalibrateTensor, AConstantIsRepresentable) {
  const Numbers x(DType::kF64, std::vector<double>(10, 300.0));
  for (const CalibMethod method :
       {CalibMethod::kMinMax, CalibMethod::kPercentile, CalibMethod::kMse, CalibMethod::kSqnr}) {
    for (const bool symmetric : {true, false}) {
      const CalibrationResult result =
          calibrate_one(x.view(), {.method = method, .symmetric = symmetric});
      const int zero = result.params.zero_point.empty() ? 0 : result.params.zero_point.front();
      const OracleElement element = oracle_fake_quantize(
          300.0, result.params.quantizer, {result.params.scale.front(), zero}, DType::kF64);
      EXPECT_NEAR(element.y, 300.0, 1e-12) << name_of(result.options);
      EXPECT_FALSE(element.clipped) << name_of(result.options);
    }
  }
}

TEST(CalibrateTensor, NaNAndInfinitiesArePartOfNothing) {
  std::vector<double> values = normal_sample(1000, 33);
  const Numbers clean(DType::kBF16, values);
  for (std::size_t i = 0; i < 100; ++i) {
    const double special[] = {std::nan(""), INFINITY, -INFINITY};
    values.insert(values.begin() + static_cast<std::ptrdiff_t>(7 * i), special[i % 3]);
  }
  const Numbers ridden(DType::kBF16, values);
  for (const Format format : kAllFormats) {
    expect_same(calibrate_all(clean.view(), all_methods(format)),
                calibrate_all(ridden.view(), all_methods(format)), "NaN-ridden");
  }
}

TEST(CalibrateTensor, RefusesOptionsThatDoNotFit) {
  const Numbers x(DType::kF32, std::vector<double>{1.0, 2.0});
  const Numbers half(DType::kF16, std::vector<double>{1.0, 2.0});
  const CalibrationOptions bad[] = {
      {.format = Format::kE4M3, .symmetric = false},
      {.format = Format::kE5M2, .symmetric = false},
      {.format = Format::kE4M3, .rounding = Rounding::kOriginal},
      {.method = CalibMethod::kPercentile, .percentile = -1.0},
      {.method = CalibMethod::kPercentile, .percentile = 100.5},
      {.method = CalibMethod::kPercentile, .percentile = std::nan("")},
  };
  for (const CalibrationOptions& options : bad) {
    EXPECT_THROW(calibrate_one(x.view(), options), InvalidArgument) << name_of(options);
  }
  const CalibrationOptions good;
  const ConstTensorView mixed[] = {x.view(), half.view()};
  EXPECT_THROW(calibrate(mixed, {}, {&good, 1}), InvalidArgument);
  const ConstTensorView channels[] = {x.view(Shape{1, 2}), x.view(Shape{2, 1})};
  EXPECT_THROW(calibrate(channels, Granularity::channel(0), {&good, 1}), InvalidArgument);
  EXPECT_THROW(calibrate_one(x.view(), good, Granularity::channel(1)), InvalidArgument);
  EXPECT_THROW(calibrate_one(x.view(), good, Granularity::channel(-2)), InvalidArgument);
  EXPECT_THROW(calibrate_one(x.view(), good, Granularity::group(0)), InvalidArgument);
  EXPECT_THROW(calibrate_one(x.view(), good, {}, {.num_threads = -1}), InvalidArgument);
}

TEST(CalibrateTensor, AnswersInTheOrderAsked) {
  const Numbers x(DType::kF32, normal_sample(100, 34));
  const auto methods = all_methods(Format::kInt4);
  const auto results = calibrate_all(x.view(), methods);
  ASSERT_EQ(results.size(), methods.size());
  for (std::size_t i = 0; i < methods.size(); ++i) {
    EXPECT_EQ(name_of(results[i].options), name_of(methods[i]));
    EXPECT_EQ(results[i].params.quantizer, oracle_quantizer(methods[i]));
    expect_same(results[i], calibrate_one(x.view(), methods[i]), "asked alone");
  }
  EXPECT_TRUE(calibrate_all(x.view(), {}).empty());
}

}  // namespace
}  // namespace cuqat::test
