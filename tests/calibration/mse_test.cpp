// The searches for the range of least error, against a search by brute force over ranges that are
// evaluated element by element.
#include <gtest/gtest.h>

#include <cmath>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"

namespace cuqat::test {
namespace {

constexpr std::size_t kCount = 1500;
constexpr double kTolerance = 1.001;

struct Case {
  Format format;
  Rounding rounding;
  bool symmetric;
};

constexpr Case kCases[] = {
    {Format::kInt8, Rounding::kNearestEven, true},  {Format::kInt4, Rounding::kNearestEven, true},
    {Format::kE4M3, Rounding::kNearestEven, true},  {Format::kE5M2, Rounding::kNearestEven, true},
    {Format::kInt8, Rounding::kNearestEven, false}, {Format::kInt4, Rounding::kNearestEven, false},
    {Format::kInt8, Rounding::kOriginal, true},     {Format::kInt4, Rounding::kOriginal, false},
};

CalibrationOptions options_of(const Case& test_case, CalibMethod method) {
  return {.method = method,
          .format = test_case.format,
          .rounding = test_case.rounding,
          .symmetric = test_case.symmetric};
}

double cost_of(const CalibrationResult& result, const Numbers& x, double weight) {
  const ScaleZeroPoint params{result.params.scale.front(), result.params.zero_point.empty()
                                                               ? 0
                                                               : result.params.zero_point.front()};
  return oracle_cost(x.values(), result.params.quantizer, params, x.dtype(), amax_of(x.values()))
      .total(weight);
}

void expect_no_worse_than_brute_force(const Numbers& x, const Case& test_case,
                                      const std::string& name) {
  const CalibrationOptions mse = options_of(test_case, CalibMethod::kMse);
  const Quantizer quantizer = oracle_quantizer(mse);
  LeastCost least = test_case.symmetric
                        ? least_symmetric_cost(x.values(), quantizer, x.dtype(), 400)
                        : least_affine_cost(x.values(), quantizer, x.dtype());
  // Squares far below what the exact sums resolve are no difference.
  const double resolution = 0x1p-51 * static_cast<double>(x.size());
  const auto results = calibrate_all(x.view(), {mse, options_of(test_case, CalibMethod::kSqnr)});
  const std::string what = name + " " + std::string(to_string(x.dtype())) + " ";
  EXPECT_LE(cost_of(results[0], x, 1.0), kTolerance * least.mse + resolution)
      << what << name_of(results[0].options);
  EXPECT_LE(cost_of(results[1], x, 3.0), kTolerance * least.sqnr + resolution)
      << what << name_of(results[1].options);
  for (const CalibrationResult& result : results) {
    EXPECT_TRUE(result.exact) << what;
    EXPECT_TRUE(has_usable_scales(result, x.dtype())) << what << result.params.scale.front();
  }
}

class ClippingSearch : public testing::TestWithParam<DType> {};

TEST_P(ClippingSearch, IsNeverWorseThanBruteForce) {
  for (const Sample& sample : all_samples(GetParam(), kCount)) {
    const Numbers x(GetParam(), sample.values);
    for (const Case& test_case : kCases) {
      expect_no_worse_than_brute_force(x, test_case, sample.name);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, ClippingSearch, testing::ValuesIn(kAllDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

TEST(ClippingSearchOfSmallData, IsNeverWorseThanBruteForce) {
  for (std::size_t count = 1; count <= 12; ++count) {
    for (std::uint64_t seed = 1; seed <= 3; ++seed) {
      const Numbers x(DType::kF32, normal_sample(count, 100 * count + seed));
      for (const Case& test_case : kCases) {
        expect_no_worse_than_brute_force(x, test_case, std::to_string(count) + " normal numbers");
      }
    }
  }
}

TEST(ClippingSearchWithNonFinite, IgnoresThem) {
  std::vector<double> values = heavy_tailed_sample(500, 21);
  const Numbers clean(DType::kF32, values);
  for (std::size_t i = 0; i < 50; ++i) {
    values.insert(values.begin() + static_cast<std::ptrdiff_t>(9 * i), i % 3 == 0   ? std::nan("")
                                                                       : i % 3 == 1 ? INFINITY
                                                                                    : -INFINITY);
  }
  const Numbers ridden(DType::kF32, values);
  for (const Case& test_case : kCases) {
    for (const CalibMethod method : {CalibMethod::kMse, CalibMethod::kSqnr}) {
      const CalibrationOptions options = options_of(test_case, method);
      expect_same(calibrate_one(clean.view(), options), calibrate_one(ridden.view(), options),
                  "with NaN and infinities");
    }
  }
}

TEST(QuantizationCost, OfNearlyAllZerosIsNotNone) {
  // The percentile of so many zeros is 0, so every other value is lost.
  std::vector<float> x(100'000);
  for (std::size_t i = 0; i < 5; ++i) x[i * 20'000] = 1e-9F;
  const ConstTensorView view(x);
  const CalibrationResult result =
      calibrate_layer(std::span(&view, 1), {.method = CalibMethod::kPercentile});
  EXPECT_EQ(result.params.scale[0], 1.0);
  EXPECT_NEAR(result.sqnr_db, 0.0, 1e-6);
  EXPECT_NEAR(result.mse, 5e-5 * 1e-18, 1e-29);
}

TEST(QuantizationCost, OfAnErrorFarBelowTheScaleIsNotNone) {
  const std::vector<double> x = {1.0, 1e-11, 1e-11, 1e-11};
  const ConstTensorView view(x);
  const CalibrationResult result = calibrate_layer(std::span(&view, 1), {});
  EXPECT_GT(result.mse, 0.0);
  EXPECT_TRUE(std::isfinite(result.sqnr_db));
}

TEST(ClippingSearchOfManyValues, IsNoWorseThanAnyOf400CandidatesBesideAnOutlier) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const Format format : kAllFormats) {
      // f64 takes turns: a search by brute force is long.
      if (dtype == DType::kF64 && format != Format::kE5M2) continue;
      std::vector<double> values = normal_sample(66'000, 11);
      values[3] = format == Format::kInt4 ? 30.0 : 1150.0;
      const Numbers x(dtype, values);
      const CalibrationOptions options{.method = CalibMethod::kMse, .format = format};
      const CalibrationResult result = calibrate_one(x.view(), options);
      EXPECT_FALSE(result.exact);
      const LeastCost least =
          least_symmetric_cost(x.values(), oracle_quantizer(options), dtype, 400);
      EXPECT_LE(cost_of(result, x, 1.0), kTolerance * least.mse)
          << to_string(dtype) << " " << to_string(format);
    }
  }
}

TEST(ClippingSearchForSqnr, ClipsLessThanForMse) {
  const Numbers x(DType::kF32, heavy_tailed_sample(20000, 22));
  const auto results =
      calibrate_all(x.view(), {{.method = CalibMethod::kMse}, {.method = CalibMethod::kSqnr}});
  EXPECT_LE(results[0].mse, results[1].mse);
  EXPECT_LE(results[0].high.front(), results[1].high.front());
  EXPECT_GE(results[0].clipped, results[1].clipped);
}

}  // namespace
}  // namespace cuqat::test
