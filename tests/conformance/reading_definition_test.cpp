// Named cases of the operations that only read a tensor, and of the learned scale's gradients, with
// the answers written down from docs/numerics.md, on every backend.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "conformance/flat.hpp"

namespace cuqat::test {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
const double kNaN = std::nan("");

class Reading : public testing::TestWithParam<Table> {};

INSTANTIATE_TEST_SUITE_P(EveryBackend, Reading, testing::ValuesIn(all_tables()),
                         [](const auto& param) { return test_name(param.param); });

TEST_P(Reading, StatisticsCountWhatIsNotFiniteApart) {
  const std::vector<double> x = {1, -3, 0, -0.0, kNaN, kInf, -kInf, -kInf, 2.5};
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    const Statistics s = statistics(GetParam(), dtype, to_bytes(dtype, x));
    EXPECT_EQ(s, (Statistics{9, 1, 1, 2, 2, -3, 2.5}));
    EXPECT_EQ(s.finite(), 5);
    EXPECT_EQ(s.amax(), 3);
  }
}

TEST_P(Reading, StatisticsOfNothingFiniteHaveAnEmptyRange) {
  for (const std::vector<double>& x : {std::vector<double>{}, {kNaN, kInf}}) {
    const Statistics s = statistics(GetParam(), DType::kF32, to_bytes(DType::kF32, x));
    EXPECT_EQ(s.min, kInf);
    EXPECT_EQ(s.max, -kInf);
    EXPECT_EQ(s.amax(), 0);
  }
}

TEST_P(Reading, StatisticsGiveZeroExtremesAsPlusZero) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    const Statistics s = statistics(GetParam(), dtype, to_bytes(dtype, std::vector(40, -0.0)));
    EXPECT_FALSE(std::signbit(s.min));
    EXPECT_FALSE(std::signbit(s.max));
  }
}

TEST_P(Reading, KeyHistogramCountsEveryPatternPastTwoTo32) {
  constexpr std::uint64_t kPast = (std::uint64_t{1} << 32) - 1;
  std::vector<std::uint64_t> counts(kNumKeys, 0);
  counts[0x3f80] = kPast;
  counts[0xbf80] = std::uint64_t{1} << 24;
  const std::vector<double> x = {1, 1, -1, kNaN, kInf, -0.0, 0};
  const Bytes bytes = to_bytes(DType::kBF16, x);
  GetParam()->accumulate_key_histogram(DType::kBF16, 7, bytes.data(), counts.data(), 2);
  EXPECT_EQ(counts[0x3f80], kPast + 2);
  EXPECT_EQ(counts[0xbf80], (std::uint64_t{1} << 24) + 1);
  for (const std::size_t key : {0x7fc0u, 0x7f80u, 0x8000u, 0x0000u}) EXPECT_EQ(counts[key], 1u);
  const std::vector<double> wide = {1.00001, 1};
  GetParam()->accumulate_key_histogram(DType::kF32, 2, to_bytes(DType::kF32, wide).data(),
                                       counts.data(), 1);
  EXPECT_EQ(counts[0x3f80], kPast + 4);
}

std::vector<std::uint64_t> bins_of(Table table, DType dtype, const std::vector<double>& x,
                                   double amax, BinRange range, std::size_t bins) {
  std::vector<std::uint64_t> counts(bins, 0);
  table->accumulate_linear_histogram(dtype, static_cast<std::int64_t>(x.size()),
                                     to_bytes(dtype, x).data(), amax, range, counts, 1);
  return counts;
}

TEST_P(Reading, LinearHistogramPutsAnEdgeIntoTheUpperBin) {
  using Counts = std::vector<std::uint64_t>;
  const std::vector<double> x = {0, -0.0, 0.99999994, 1, 2, -2, 3.9999998, 4, -4, 4.5, kNaN, kInf};
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    EXPECT_EQ(bins_of(GetParam(), dtype, x, 4, BinRange::kMagnitude, 4), (Counts{3, 1, 2, 3}));
    // [-4, -2) [-2, 0) [0, 2) [2, 4]
    EXPECT_EQ(bins_of(GetParam(), dtype, x, 4, BinRange::kSigned, 4), (Counts{1, 1, 4, 3}));
    EXPECT_EQ(bins_of(GetParam(), dtype, x, 4, BinRange::kMagnitude, 1), (Counts{9}));
  }
}

TEST_P(Reading, LinearHistogramHasExactEdges) {
  // Edges k * 7 / 10 are no binary numbers: whether x >= edge is decided in whole numbers.
  constexpr std::int64_t kBins = 10;
  for (std::int64_t k = 1; k < kBins; ++k) {
    const auto edge = static_cast<float>(static_cast<double>(7 * k) / kBins);
    for (const float x : {std::nextafter(edge, 0.0f), edge, std::nextafter(edge, 8.0f)}) {
      const auto scaled = static_cast<std::int64_t>(std::ldexp(x, 24)) * kBins;
      const std::int64_t bin = scaled / (std::int64_t{7} << 24);
      const auto counts = bins_of(GetParam(), DType::kF32, {static_cast<double>(x)}, 7,
                                  BinRange::kMagnitude, kBins);
      EXPECT_EQ(counts[static_cast<std::size_t>(bin)], 1u) << std::hexfloat << x;
    }
  }
}

TEST_P(Reading, LinearHistogramCountsPastTwoTo32InOneBin) {
  std::vector<std::uint64_t> counts = {(std::uint64_t{1} << 32) - 1, std::uint64_t{1} << 24};
  const std::vector<double> x = {0.1, 0.2, 0.9};
  GetParam()->accumulate_linear_histogram(DType::kF64, 3, x.data(), 1.0, BinRange::kMagnitude,
                                          counts, 1);
  EXPECT_EQ(counts[0], (std::uint64_t{1} << 32) + 1);
  EXPECT_EQ(counts[1], (std::uint64_t{1} << 24) + 1);
}

TEST_P(Reading, OrderStatisticsSkipWhatIsNotFinite) {
  const std::vector<double> x = {3, kNaN, -1, kInf, -0.0, -7, -kInf, 0.5};
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    const Bytes bytes = to_bytes(dtype, x);
    EXPECT_EQ(order_statistics(GetParam(), dtype, bytes, OrderBy::kValue, {4, 0, 1, 2, 3, 0}),
              (std::vector<double>{3, -7, -1, 0, 0.5, -7}));
    const auto magnitudes =
        order_statistics(GetParam(), dtype, bytes, OrderBy::kMagnitude, {0, 1, 2, 3, 4});
    EXPECT_EQ(magnitudes, (std::vector<double>{0, 0.5, 1, 3, 7}));
    EXPECT_FALSE(std::signbit(magnitudes[0]));
  }
}

/// The integer that docs/numerics.md ("Squared errors") gives an error.
std::uint64_t square(double error, double unit) {
  if (error == 0) return 0;
  const double t = error * (1 / unit);
  const double f = t * t < 1 ? t * t : 1;
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::nearbyint(f * 0x1p51)));
}

QuantizationError error_of(Table table, DType dtype, const Quantizer& quantizer, double scale,
                           double amax, const std::vector<double>& x) {
  const Flat tensor(dtype, static_cast<std::int64_t>(x.size()), quantizer, scale, 0);
  QuantizationError result;
  table->quantization_error(*tensor, to_bytes(dtype, x).data(), &amax, &result);
  return result;
}

TEST_P(Reading, QuantizationErrorSplitsRoundingAndClipping) {
  const QuantizationError e =
      error_of(GetParam(), DType::kF64, {}, 1, 200, {0.25, 2, 200, kNaN, kInf, -0.5});
  EXPECT_EQ(e.count, 4);
  EXPECT_EQ(e.clipped, 1);
  EXPECT_EQ(e.rounding, (SquaredSum{0, (std::uint64_t{1} << 47) + (std::uint64_t{1} << 49)}));
  EXPECT_EQ(e.clipping, (SquaredSum{0, square(73, 200)}));
  EXPECT_EQ(e.signal, (SquaredSum{0, square(0.25, 200) + square(2, 200) + square(200, 200) +
                                         square(0.5, 200)}));
}

TEST_P(Reading, QuantizationErrorOfAnInfiniteErrorIsOneUnit) {
  const Quantizer open{.format = Format::kE5M2, .saturate = false};
  const QuantizationError e = error_of(GetParam(), DType::kF32, open, 1, 70000, {70000, 1.125});
  EXPECT_EQ(e.clipped, 1);
  EXPECT_EQ(e.clipping, (SquaredSum{0, std::uint64_t{1} << 51}));
  EXPECT_EQ(e.rounding, (SquaredSum{0, square(0.125, 8192)}));
  const Quantizer e4m3{.format = Format::kE4M3, .saturate = false};
  EXPECT_EQ(error_of(GetParam(), DType::kF32, e4m3, 1, 500, {500}).clipping,
            (SquaredSum{0, std::uint64_t{1} << 51}));
}

TEST_P(Reading, QuantizationErrorOfLittleIsNeverNone) {
  // 1e-11 is lost, and its square is far below 2^-51 of the unit's.
  const QuantizationError e = error_of(GetParam(), DType::kF64, {}, 1, 100, {1e-11, 100, 1e-11});
  EXPECT_EQ(e.rounding, (SquaredSum{0, 2}));
}

TEST_P(Reading, QuantizationErrorOfALargeScaleIsInUnitsOfAmax) {
  const QuantizationError e = error_of(GetParam(), DType::kF64, {}, 1, 0x1p-30, {0x1p-30, 0x1p-31});
  EXPECT_EQ(e.rounding, (SquaredSum{0, (std::uint64_t{1} << 51) + (std::uint64_t{1} << 49)}));
  EXPECT_EQ(e.rounding.value(0x1p-30), 0x1p-60 + 0x1p-62);
}

TEST_P(Reading, QuantizationErrorOfZerosIsZero) {
  const QuantizationError e = error_of(GetParam(), DType::kF32, {}, 1, 0, {0, -0.0, 0});
  EXPECT_EQ(e, (QuantizationError{3, 0, {}, {}, {}}));
}

TEST_P(Reading, SumsOfSquaresCarryPast64Bits) {
  // 2^14 errors of one unit are 2^65.
  const std::vector<double> x(1 << 14, 500.0);
  const Quantizer open{.format = Format::kE4M3, .saturate = false};
  const QuantizationError e = error_of(GetParam(), DType::kF32, open, 1, 500, x);
  EXPECT_EQ(e.clipping, (SquaredSum{2, 0}));
  EXPECT_EQ(e.clipping.value(500), 16384.0 * 250000.0);
}

TEST_P(Reading, LearnedScaleFollowsTheFormula) {
  const Flat tensor(DType::kF64, 5, Quantizer{}, 0.5, 10);
  // x / s + z: 12 inside (exact), 12.5 -> 12 inside, 138 above, -190 below, NaN.
  const Gradients g =
      learned_scale(GetParam(), tensor, {1, 1.25, 64, -100, kNaN}, {1, 2, 3, 5, 7}, 0.25);
  EXPECT_EQ(g.dx, (std::vector<double>{1, 2, 0, 0, 0}));
  // Inside: 0, then (1 - 1.25) / 0.5 = -0.5; above 127 - 10; below -128 - 10; NaN gives none.
  EXPECT_EQ(g.dscale, 0.25 * (2 * -0.5 + 3 * 117.0 + 5 * -138.0));
  EXPECT_EQ(g.dzero_point, -0.25 * 0.5 * (3 + 5));
}

TEST_P(Reading, LearnedScaleOfFp8UsesTheLargestFiniteNumber) {
  const Flat tensor(DType::kF32, 3, {.format = Format::kE4M3}, 2, 0);
  const Gradients g = learned_scale(GetParam(), tensor, {2000, -3000, 2.125}, {1, 2, 4}, 1);
  // 2.125 / 2 = 1.0625, a tie that goes to 1: (2 - 2.125) / 2.
  EXPECT_EQ(g.dscale, 448.0 + 2 * -448.0 + 4 * -0.0625);
  EXPECT_EQ(g.dx, (std::vector<double>{0, 0, 4}));
}

/// docs/numerics.md, "Fixed-order sum".
double fixed_order_sum(std::vector<double> terms) {
  if (terms.empty()) return 0.0;
  do {
    std::vector<double> sums;
    for (std::size_t begin = 0; begin < terms.size(); begin += 4096) {
      std::array<double, 32> lanes{};
      const std::size_t end = std::min(begin + 4096, terms.size());
      for (std::size_t i = begin; i < end; ++i) lanes[(i - begin) % 32] += terms[i];
      for (std::size_t half = 16; half > 0; half /= 2) {
        for (std::size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
      }
      sums.push_back(lanes[0]);
    }
    terms = sums;
  } while (terms.size() > 1);
  return terms[0];
}

TEST_P(Reading, LearnedScaleSumsInTheFixedOrder) {
  std::mt19937_64 random(5);
  for (const std::size_t count : {1u, 31u, 32u, 33u, 4095u, 4096u, 4097u, 40'000u}) {
    std::vector<double> dy(count);
    for (double& value : dy) value = std::exp2(std::normal_distribution<double>(0, 20)(random));
    // All above the range, so that the terms are 127 * dy and dy.
    const std::vector<double> x(count, 1000.0);
    std::vector<double> terms(count);
    std::transform(dy.begin(), dy.end(), terms.begin(), [](double d) { return d * 127; });
    for (const int threads : {1, 2, 3, 8}) {
      const Flat tensor(DType::kF64, static_cast<std::int64_t>(count), Quantizer{}, 1, 0, threads);
      const Gradients g = learned_scale(GetParam(), tensor, x, dy, 1);
      EXPECT_EQ(g.dscale, fixed_order_sum(terms)) << count;
      EXPECT_EQ(g.dzero_point, -fixed_order_sum(dy)) << count;
    }
  }
}

TEST_P(Reading, LearnedScaleOfNothingIsZero) {
  const Flat tensor(DType::kF32, 0, Quantizer{}, 1, 0);
  const Gradients g = learned_scale(GetParam(), tensor, {}, {}, 0);
  EXPECT_EQ(g.dscale, 0);
  EXPECT_FALSE(std::signbit(g.dscale));
}

}  // namespace
}  // namespace cuqat::test
