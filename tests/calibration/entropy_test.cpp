// The divergences of both published rules, against small answers of the peers themselves and
// against the definition computed the slow way.
#include "calibration/entropy.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"

namespace cuqat::test {
namespace {

using calibration::BinWindow;
using calibration::modelopt_divergences;
using calibration::modelopt_entropy_bins;
using calibration::onnxruntime_divergences;
using calibration::onnxruntime_entropy_window;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
using Counts = std::vector<std::uint64_t>;

struct NamedCounts {
  std::string name;
  Counts counts;
};

NamedCounts drawn(const char* name, std::size_t num_bins, std::uint64_t seed,
                  const std::function<double(std::size_t, Random&)>& draw) {
  NamedCounts result{name, Counts(num_bins)};
  Random random(seed);
  for (std::size_t i = 0; i < num_bins; ++i) {
    result.counts[i] = static_cast<std::uint64_t>(std::max(draw(i, random), 0.0));
  }
  // A histogram over the data's own range has its extreme in a last bin.
  result.counts.back() += 1;
  return result;
}

std::vector<NamedCounts> histograms(std::size_t num_bins) {
  const auto bins = static_cast<double>(num_bins);
  const auto bell = [bins](std::size_t i, double width) {
    const double z = (static_cast<double>(i) - bins / 2.0) / (bins * width);
    return std::exp(-0.5 * z * z);
  };
  return {
      drawn("dense", num_bins, 1, [](std::size_t, Random& r) { return 1000.0 * r.uniform(); }),
      drawn("sparse", num_bins, 2,
            [](std::size_t, Random& r) { return r.below(10) == 0 ? 50.0 * r.uniform() : 0.0; }),
      drawn("almost_empty", num_bins, 3,
            [](std::size_t i, Random&) { return i == 3 || i == 700 % 64 ? 1.0 : 0.0; }),
      drawn("bell", num_bins, 4,
            [&](std::size_t i, Random& r) { return 1e4 * bell(i, 0.08) * r.uniform(); }),
      drawn("narrow_bell", num_bins, 5,
            [&](std::size_t i, Random& r) { return 1e6 * bell(i, 0.01) * (0.5 + r.uniform()); }),
      drawn("decaying", num_bins, 6,
            [bins](std::size_t i, Random& r) {
              return 1e5 * std::exp(-20.0 * static_cast<double>(i) / bins) * r.uniform();
            }),
      drawn("heavy_tailed", num_bins, 7,
            [](std::size_t i, Random& r) {
              return 1e6 * r.uniform() / std::pow(1.0 + static_cast<double>(i), 1.5);
            }),
      drawn("one_sided", num_bins, 8,
            [bins](std::size_t i, Random& r) {
              return static_cast<double>(i) < bins / 2.0 ? 0.0 : 300.0 * r.uniform();
            }),
      drawn("past_2_to_32", num_bins, 9,
            [&](std::size_t i, Random& r) { return 0x1p41 * bell(i, 0.1) * r.uniform(); }),
      drawn("one_huge_count", num_bins, 10,
            [bins](std::size_t i, Random& r) {
              return i == static_cast<std::size_t>(bins / 2.0) ? 0x1p45 : 3.0 * r.uniform();
            }),
      drawn("equal", num_bins, 11, [](std::size_t, Random&) { return 9.0; }),
  };
}

/// A divergence is of the order of 1. The closed form of modelopt's is computed in f64; ONNX
/// Runtime's in f32, as the peer does.
constexpr double kModeloptTolerance = 1e-9;
constexpr double kOnnxRuntimeTolerance = 2e-6;

void expect_divergences(const std::vector<double>& actual, const std::vector<double>& expected,
                        double tolerance, const std::string& what) {
  ASSERT_EQ(actual.size(), expected.size()) << what;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    if (std::isinf(expected[i]) || std::isinf(actual[i])) {
      EXPECT_EQ(actual[i], expected[i]) << what << ", candidate " << i;
    } else {
      EXPECT_NEAR(actual[i], expected[i], tolerance * std::max(1.0, expected[i]))
          << what << ", candidate " << i;
    }
  }
}

TEST(ModeloptEntropy, GivesThePeersSmallAnswer) {
  const Counts counts{100, 90, 70, 40, 20, 10, 5, 2, 1, 0, 0, 0, 0, 0, 0, 3};
  const std::vector<double> divergences = modelopt_divergences(counts, 4, 4);
  const std::vector<double> expected{.040425,   .023371,   .023540,   .025559,   .020650,
                                     .022298,   kInfinity, kInfinity, kInfinity, kInfinity,
                                     kInfinity, kInfinity, .068696};
  ASSERT_EQ(divergences.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (std::isinf(expected[i])) {
      EXPECT_EQ(divergences[i], kInfinity) << i + 4;
    } else {
      EXPECT_NEAR(divergences[i], expected[i], 0.5e-6) << i + 4;
    }
  }
  EXPECT_EQ(modelopt_entropy_bins(counts, 4, 4), 8U);
}

TEST(OnnxRuntimeEntropy, GivesThePeersSmallAnswer) {
  const Counts counts{1, 0, 2, 5, 9, 20, 40, 60, 58, 41, 19, 10, 4, 2, 0, 1};
  const std::vector<double> divergences = onnxruntime_divergences(counts, 4);
  const std::vector<double> expected{1.600, 3.372, .2838, .6658, .12500, .17079, .20187};
  const std::vector<double> last_digit{1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5, 1e-5};
  ASSERT_EQ(divergences.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_NEAR(divergences[i], expected[i], 0.5 * last_digit[i]) << i + 2;
  }
  // Edges -6 and 7 of bins from -8 to 8.
  EXPECT_EQ(onnxruntime_entropy_window(counts, 4), (BinWindow{2, 15}));
}

TEST(ModeloptEntropy, AgreesWithTheSlowDefinition) {
  for (const std::size_t num_bins : {16U, 128U, 130U, 777U, 2048U}) {
    for (const std::size_t num_levels : {8U, 128U}) {
      const std::size_t first = std::min<std::size_t>(num_bins, 128);
      for (const NamedCounts& histogram : histograms(num_bins)) {
        expect_divergences(modelopt_divergences(histogram.counts, num_levels, first),
                           naive_modelopt_divergences(histogram.counts, num_levels, first),
                           kModeloptTolerance,
                           histogram.name + " of " + std::to_string(num_bins) + " bins, " +
                               std::to_string(num_levels) + " levels");
      }
    }
  }
}

TEST(OnnxRuntimeEntropy, AgreesWithTheSlowDefinition) {
  for (const std::size_t num_bins : {16U, 128U, 776U, 2048U}) {
    for (const std::size_t num_levels : {4U, 8U, 128U}) {
      if (num_levels > num_bins) continue;
      for (const NamedCounts& histogram : histograms(num_bins)) {
        expect_divergences(onnxruntime_divergences(histogram.counts, num_levels),
                           naive_onnxruntime_divergences(histogram.counts, num_levels),
                           kOnnxRuntimeTolerance,
                           histogram.name + " of " + std::to_string(num_bins) + " bins, " +
                               std::to_string(num_levels) + " levels");
      }
    }
  }
}

TEST(ModeloptEntropy, ChoosesTheLastOfTheLeast) {
  for (const NamedCounts& histogram : histograms(2048)) {
    for (const std::size_t num_levels : {8U, 128U}) {
      const std::vector<double> all = modelopt_divergences(histogram.counts, num_levels, 128);
      const auto last = std::min_element(all.rbegin(), all.rend());
      EXPECT_EQ(modelopt_entropy_bins(histogram.counts, num_levels, 128),
                2048U - static_cast<std::size_t>(last - all.rbegin()))
          << histogram.name;
    }
  }
}

TEST(OnnxRuntimeEntropy, ChoosesTheFirstOfTheLeast) {
  for (const NamedCounts& histogram : histograms(2048)) {
    for (const std::size_t num_levels : {8U, 128U}) {
      const std::vector<double> all = onnxruntime_divergences(histogram.counts, num_levels);
      const auto first = std::min_element(all.begin(), all.end()) - all.begin();
      const std::size_t half = num_levels / 2 + static_cast<std::size_t>(first);
      EXPECT_EQ(onnxruntime_entropy_window(histogram.counts, num_levels),
                (BinWindow{1024 - half, std::min<std::size_t>(1024 + half + 1, 2048)}))
          << histogram.name;
    }
  }
}

TEST(ModeloptEntropy, AWholeHistogramOfOneCountInEachBinLosesNothing) {
  // Sixteen bins for four levels: all candidates that are whole fold outliers but the last.
  const Counts counts(16, 5);
  EXPECT_EQ(modelopt_entropy_bins(counts, 4, 4), 16U);
  EXPECT_NEAR(modelopt_divergences(counts, 4, 4).back(), 0.0, 1e-15);
}

TEST(ModeloptEntropy, EqualDivergencesGiveTheLast) {
  // Ten equal bins, then empty ones: no candidate loses anything.
  Counts counts(10, 7);
  counts.resize(16, 0);
  EXPECT_EQ(modelopt_entropy_bins(counts, 2, 10), 16U);
}

TEST(OnnxRuntimeEntropy, EqualDivergencesGiveTheFirst) {
  // Each candidate's outliers make the same p out of one count.
  Counts counts(64, 0);
  counts[32] = 1;
  const std::vector<double> all = onnxruntime_divergences(counts, 4);
  const auto first = std::min_element(all.begin(), all.end()) - all.begin();
  EXPECT_EQ(onnxruntime_entropy_window(counts, 4).begin, 30U - static_cast<std::size_t>(first));
}

/// The range of a threshold window, cut to the observed extremes.
Range cut(Range range, const std::vector<double>& x, bool symmetric) {
  const auto [least, largest] = std::minmax_element(x.begin(), x.end());
  range = {std::max(range.low, *least), std::min(range.high, *largest)};
  if (!symmetric) return {std::min(range.low, 0.0), std::max(range.high, 0.0)};
  const double threshold = std::max(std::abs(range.low), std::abs(range.high));
  return {-threshold, threshold};
}

/// The ranges of all candidates whose divergence is the least but for rounding.
std::vector<Range> best_ranges(const std::vector<double>& x, const CalibrationOptions& options,
                               DType dtype) {
  const double amax = amax_of(x);
  const std::size_t levels = options.format == Format::kInt4 ? 8 : 128;
  const bool modelopt = options.dialect == EntropyDialect::kModelopt;
  const Counts counts =
      oracle_histogram(x, modelopt ? BinRange::kMagnitude : BinRange::kSigned, 2048, dtype);
  const std::vector<double> all = modelopt ? naive_modelopt_divergences(counts, levels, 128)
                                           : naive_onnxruntime_divergences(counts, levels);
  const double least = *std::min_element(all.begin(), all.end());
  const double tolerance =
      2.0 * (modelopt ? kModeloptTolerance : kOnnxRuntimeTolerance) * std::max(1.0, least);
  std::vector<Range> result;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i] > least + tolerance) continue;
    const double bins = static_cast<double>(i + (modelopt ? 128 : levels / 2));
    const double high = modelopt ? bins / 2048.0 : std::min(bins + 1.0, 1024.0) / 1024.0;
    const double low = modelopt ? high : bins / 1024.0;
    result.push_back(cut({-low * amax, high * amax}, x, options.symmetric));
  }
  return result;
}

void expect_slow_definition(const Numbers& x, const CalibrationOptions& options,
                            const std::string& name) {
  const CalibrationResult result = calibrate_one(x.view(), options);
  const double tolerance = amax_of(x.values()) * 1e-6;
  const std::vector<Range> expected = best_ranges(x.values(), options, x.dtype());
  EXPECT_TRUE(std::any_of(expected.begin(), expected.end(),
                          [&](Range range) {
                            return std::abs(range.low - result.low.front()) <= tolerance &&
                                   std::abs(range.high - result.high.front()) <= tolerance;
                          }))
      << name << ' ' << to_string(x.dtype()) << ' ' << name_of(options) << ": ["
      << result.low.front() << ", " << result.high.front() << "] and not [" << expected.front().low
      << ", " << expected.front().high << ']';
  EXPECT_TRUE(result.exact);
}

TEST(EntropyCalibration, IsTheSlowDefinitionOnTheExactHistogram) {
  for (const DType dtype : kAllDTypes) {
    bool symmetric = dtype == DType::kF32;
    for (const Sample& sample : all_samples(dtype, 1500)) {
      const Numbers x(dtype, sample.values);
      symmetric = !symmetric;
      CalibrationOptions options{.method = CalibMethod::kEntropy, .symmetric = symmetric};
      options.format = sample.name.size() % 3 == 0 ? Format::kInt4 : Format::kInt8;
      expect_slow_definition(x, options, sample.name);
      options.dialect = EntropyDialect::kOnnxRuntime;
      expect_slow_definition(x, options, sample.name);
    }
  }
}

TEST(EntropyCalibration, OriginalDialectIsTheLowerHalfOfTheRange) {
  const Numbers x(DType::kF64, std::vector<double>{-3.0, 1.0, 0.5, 9.0, 0.0});
  CalibrationOptions options{.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOriginal};
  options.symmetric = false;
  const CalibrationResult affine = calibrate_one(x.view(), options);
  EXPECT_EQ(affine.low.front(), -3.0);
  EXPECT_EQ(affine.high.front(), 3.0);
  EXPECT_EQ(affine.params.scale.front(), 6.0 / 255.0);
  options.symmetric = true;
  EXPECT_EQ(calibrate_one(x.view(), options).params.scale.front(), 3.0 / 127.0);
}

}  // namespace
}  // namespace cuqat::test
