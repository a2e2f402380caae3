// Counts past 32 bits, and tensors of more distinct values than a collector keeps.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>
#include <vector>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"
#include "cuqat/histogram.hpp"
#include "host/expect_invalid.hpp"

namespace cuqat::test {
namespace {

CalibrationCollector collected(const Numbers& x) {
  CalibrationCollector collector(x.dtype());
  collector.observe(x.view());
  return collector;
}

CalibrationCollector doubled(CalibrationCollector collector, int times) {
  for (int i = 0; i < times; ++i) {
    if (i % 2 == 0) {
      collector.merge(collector);
    } else {
      collector.merge(CalibrationCollector(collector));
    }
  }
  return collector;
}

/// Of 400 symmetric int8 ranges over `weight` copies of one tensor and one of the other.
double least_mse(const Numbers& many, const Numbers& few, double weight) {
  const Quantizer quantizer{.format = Format::kInt8, .narrow_range = true};
  const std::vector<double> rest = finite(few.values());
  const double count = weight * static_cast<double>(many.size()) + static_cast<double>(rest.size());
  const double amax = std::max(amax_of(many.values()), amax_of(rest));
  double least = INFINITY;
  for (int i = 1; i <= 400; ++i) {
    const double edge = amax * i / 400.0;
    const ScaleZeroPoint params = oracle_scale({-edge, edge}, quantizer, true, many.dtype());
    const auto cost = [&](const std::vector<double>& x) {
      return oracle_cost(x, quantizer, params, many.dtype(), 1.0).total(1.0);
    };
    least = std::min(least, (weight * cost(many.values()) + cost(rest)) / count);
  }
  return least;
}

class CountsOf : public testing::TestWithParam<DType> {};

TEST_P(CountsOf, PastTwoTo24And32AreExact) {
  const Numbers one(GetParam(), std::vector<double>{0.75, -0.5});
  const Numbers rare(GetParam(), std::vector<double>{100.0, std::nan("")});
  for (const int times : {23, 24, 31, 32, 33, 40}) {
    SCOPED_TRACE(times);
    CalibrationCollector collector = doubled(collected(one), times);
    collector.merge(collected(rare));
    const std::int64_t half = std::int64_t{1} << times;
    EXPECT_EQ(collector.statistics().count, 2 * half + 2);
    EXPECT_EQ(collector.statistics().nan, 1);
    EXPECT_EQ(collector.shape().front(), 2 * half + 2);
    const auto threshold = [&](double p) {
      CalibrationOptions options{.method = CalibMethod::kPercentile};
      options.percentile = p;
      return collector.compute(options).high.front();
    };
    EXPECT_EQ(threshold(40.0), 0.5);
    EXPECT_EQ(threshold(99.99), 0.75);
    EXPECT_EQ(threshold(100.0), 100.0);
    const CalibrationResult result = collector.compute({.method = CalibMethod::kMse});
    EXPECT_LE(result.mse, 1.001 * least_mse(one, rare, static_cast<double>(half)));
    CalibrationOptions percentile{.method = CalibMethod::kPercentile};
    EXPECT_EQ(collector.compute(percentile).clipped, 1.0 / static_cast<double>(2 * half + 1));
    EXPECT_EQ(CalibrationCollector::load(collector.save()).save(), collector.save());
  }
}

TEST_P(CountsOf, PastTheLargestAreAnErrorAndNeverANegativeCount) {
  CalibrationCollector collector =
      doubled(collected(Numbers(GetParam(), std::vector<double>{1.0})), 62);
  EXPECT_EQ(collector.statistics().count, std::int64_t{1} << 62);
  const auto before = collector.save();
  EXPECT_THROW(collector.merge(CalibrationCollector(collector)), Error);
  EXPECT_EQ(collector.save(), before);
}

TEST_P(CountsOf, WeighEveryMethodAsTheDataWould) {
  // Thirty-two copies of a tensor, by observing and by merging.
  const Numbers x(GetParam(), heavy_tailed_sample(300, 91));
  CalibrationCollector observed(GetParam());
  for (int i = 0; i < 32; ++i) observed.observe(x.view());
  const CalibrationCollector merged = doubled(collected(x), 5);
  EXPECT_EQ(merged.save(), observed.save());
  expect_same(merged.compute(all_methods()), observed.compute(all_methods()), "32 copies");
}

INSTANTIATE_TEST_SUITE_P(DTypes, CountsOf, testing::ValuesIn(kAllDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

/// Distinct floats or doubles, of both signs, over many octaves.
Numbers distinct_numbers(DType dtype, std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) {
    const double magnitude =
        dtype == DType::kF64
            ? std::ldexp(1.0 + static_cast<double>(i / 2 % 65536) * 0x1p-40,
                         static_cast<int>(i / 131072) - 8)
            : std::bit_cast<float>(static_cast<std::uint32_t>(0x3c000000 + 97 * (i / 2)));
    values[i] = i % 2 == 0 ? magnitude : -magnitude;
  }
  Random(92).shuffle(values);
  return {dtype, values};
}

TEST(DistinctValues, AreKeptUpToTheLimitAndNoFurther) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Numbers x = distinct_numbers(dtype, kMaxExactValues - 1);
    const Numbers more(dtype,
                       std::vector<double>{0.0, -0.0, x.values()[5], std::nan(""), INFINITY});
    CalibrationCollector collector = collected(x);
    collector.observe(more.view());
    collector.observe(x.part(0, 1000));
    EXPECT_TRUE(collector.exact()) << to_string(dtype);
    collector.observe(Numbers(dtype, std::vector<double>{1e-20}).view());
    EXPECT_FALSE(collector.exact()) << to_string(dtype);
    EXPECT_EQ(collector.statistics().max, statistics(x.view()).max);
  }
}

TEST(DistinctValues, OfAllChannelsCountTogether) {
  const Numbers x = distinct_numbers(DType::kF32, kMaxExactValues / 2);
  std::vector<double> both = x.values();
  both.insert(both.end(), x.values().begin(), x.values().end());
  const Numbers twice(DType::kF32, both);
  const std::int64_t half = kMaxExactValues / 2;
  CalibrationCollector collector(DType::kF32, Granularity::channel(0));
  collector.observe(twice.view(Shape{2, half}));
  EXPECT_TRUE(collector.exact());
  const Numbers other(DType::kF32, std::vector<double>{1.0, 1e-20});
  collector.observe(other.view(Shape{2, 1}));
  EXPECT_FALSE(collector.exact());
}

TEST(CoarsenedCollector, IsTheSameForEveryWayTheValuesCome) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Numbers x(dtype, normal_sample(1'300'000, 93));
    const CalibrationCollector whole = collected(x);
    ASSERT_FALSE(whole.exact());
    const auto state = whole.save();
    CalibrationCollector backwards(dtype);
    for (std::size_t part = 13; part > 0; --part) {
      backwards.observe(x.part((part - 1) * 100'000, part * 100'000),
                        {Backend::named(part % 2 == 0 ? "reference" : "cpu"), 2});
    }
    EXPECT_TRUE(backwards.save() == state) << to_string(dtype);
    // Exact and exact, coarse and exact, exact and coarse, coarse and coarse.
    CalibrationCollector a(dtype);
    CalibrationCollector b(dtype);
    CalibrationCollector c(dtype);
    a.observe(x.part(0, 600'000));
    b.observe(x.part(600'000, 1'200'000));
    c.observe(x.part(1'200'000, 1'300'000));
    CalibrationCollector left = a;
    left.merge(b);
    EXPECT_FALSE(left.exact());
    left.merge(c);
    EXPECT_TRUE(left.save() == state) << to_string(dtype);
    CalibrationCollector right = b;
    right.merge(c);
    right.merge(a);
    EXPECT_TRUE(right.save() == state) << to_string(dtype);
    CalibrationCollector last = c;
    last.merge(CalibrationCollector::load([&] {
      CalibrationCollector coarse = b;
      coarse.merge(a);
      return coarse.save();
    }()));
    EXPECT_TRUE(last.save() == state) << to_string(dtype);
    expect_same(last.compute(all_methods()), whole.compute(all_methods()), "in another tree");
  }
}

/// A device counts f32 so.
TEST(CoarsenedCollector, IsThatOfAKeyHistogram) {
  std::vector<double> values = normal_sample(1'300'000, 95);
  values[3] = std::nan("");
  values[5] = INFINITY;
  values[7] = 0.0;
  const Numbers x(DType::kF32, values);
  std::vector<std::uint64_t> counts(kNumKeys);
  const std::span<std::uint64_t, kNumKeys> keys(counts);
  accumulate_key_histogram(x.view(), keys);
  const Statistics all = statistics(x.view());
  EXPECT_TRUE(CalibrationCollector::of_f32_key_histogram(keys, all).save() == collected(x).save());

  const std::vector<std::uint64_t> none(kNumKeys);
  const CalibrationCollector empty = CalibrationCollector::of_f32_key_histogram(
      std::span<const std::uint64_t, kNumKeys>(none), {});
  EXPECT_EQ(empty.statistics(), Statistics{});
  EXPECT_EQ(empty.compute({.method = CalibMethod::kMse}).params.scale, std::vector<double>{1.0});

  const auto refuses = [&](auto change) {
    Statistics wrong = all;
    change(wrong);
    expect_invalid(
        [&] { static_cast<void>(CalibrationCollector::of_f32_key_histogram(keys, wrong)); },
        {"statistics has", "1300000 elements, 1299998 of them finite"});
  };
  refuses([](Statistics& wrong) { wrong.count += 1; });
  refuses([](Statistics& wrong) { wrong.nan += 1; });
  refuses([](Statistics& wrong) {
    wrong.nan -= 4;
    wrong.pos_inf += 4;
  });
  refuses([](Statistics& wrong) { wrong.zeros = 1'000'000; });
  refuses([](Statistics& wrong) { wrong.zeros = -1; });
  refuses([](Statistics& wrong) { std::swap(wrong.min, wrong.max); });
  for (const double end : {1e30, 1e300, 0.5, std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    refuses([end](Statistics& wrong) { wrong.max = end; });
    refuses([end](Statistics& wrong) { wrong.min = -end; });
  }
  refuses([](Statistics& wrong) { wrong.max += 1e-12; });  // no f32
  counts[0] = ~std::uint64_t{0};
  expect_invalid([&] { static_cast<void>(CalibrationCollector::of_f32_key_histogram(keys, all)); },
                 {"counts has"});
}

TEST(CoarsenedCollector, HasExactExtremesAndPercentilesWithinItsStep) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Numbers x(dtype, normal_sample(1'300'000, 94));
    const CalibrationCollector collector = collected(x);
    EXPECT_EQ(collector.statistics(), statistics(x.view()));
    for (const bool symmetric : {true, false}) {
      const CalibrationResult coarse = collector.compute({.symmetric = symmetric});
      const CalibrationResult exact = calibrate_one(x.view(), {.symmetric = symmetric});
      EXPECT_FALSE(coarse.exact);  // the range is, what it costs is not
      EXPECT_EQ(coarse.low, exact.low);
      EXPECT_EQ(coarse.high, exact.high);
      EXPECT_EQ(coarse.params.scale, exact.params.scale);
      EXPECT_EQ(coarse.params.zero_point, exact.params.zero_point);
    }
    std::vector<double> magnitudes = x.values();
    for (double& value : magnitudes) value = std::abs(value);
    std::sort(magnitudes.begin(), magnitudes.end());
    for (const double p : {0.01, 1.0, 50.0, 99.0, 99.9, 99.99, 99.9999}) {
      CalibrationOptions options{.method = CalibMethod::kPercentile};
      options.percentile = p;
      const CalibrationResult result = collector.compute(options);
      const double expected = magnitudes[static_cast<std::size_t>(percentile_rank(1'300'000, p))];
      EXPECT_NEAR(result.high.front(), expected, expected * 0x1p-8) << p;
      EXPECT_LE(result.high.front(), magnitudes.back());
      EXPECT_FALSE(result.exact);
    }
  }
}

TEST(CoarsenedCollector, CopesWithValuesThatAllCoarsenToOne) {
  // More numbers than a collector keeps, so near to one another that their middle is past them all.
  std::vector<double> values(kMaxExactValues + 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = -1.0 - static_cast<double>(i) * 0x1p-50;
  }
  const Numbers x(DType::kF64, values);
  const CalibrationCollector collector = collected(x);
  ASSERT_FALSE(collector.exact());
  const double amax = amax_of(x.values());
  for (const CalibrationResult& result : collector.compute(all_methods())) {
    SCOPED_TRACE(name_of(result.options));
    EXPECT_TRUE(has_usable_scales(result, DType::kF64));
    EXPECT_NEAR(std::max(-result.low.front(), result.high.front()), amax, amax * 0x1p-7);
    EXPECT_LE(-result.low.front(), amax);
    EXPECT_TRUE(result.mse >= 0.0 && result.mse < 1e-4) << result.mse;
    EXPECT_EQ(result.clipped, 0.0);
  }
}

TEST(ManyDistinctValues, AreExactFromTheData) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Numbers x(dtype, heavy_tailed_sample(1'200'000, 95));
    const ConstTensorView batches[] = {x.part(0, 500'000), x.part(500'000, 1'200'000)};
    const auto methods = all_methods();
    const auto results = calibrate(batches, {}, methods);
    const auto whole = calibrate_all(x.view(), methods, {}, {Backend::named("cpu"), 5});
    expect_same(results, whole, "two batches");
    std::vector<double> sorted = x.values();
    std::sort(sorted.begin(), sorted.end());
    for (const CalibrationResult& result : results) {
      SCOPED_TRACE(name_of(result.options));
      const bool searched =
          result.options.method == CalibMethod::kMse || result.options.method == CalibMethod::kSqnr;
      EXPECT_EQ(result.exact, !searched);
      if (result.options.method != CalibMethod::kPercentile || result.options.symmetric) continue;
      const RankPair ranks = two_sided_percentile_ranks(1'200'000, result.options.percentile);
      EXPECT_EQ(result.low.front(), sorted[static_cast<std::size_t>(ranks.low)]);
      EXPECT_EQ(result.high.front(), sorted[static_cast<std::size_t>(ranks.high)]);
    }
    for (double& value : sorted) value = std::abs(value);
    std::sort(sorted.begin(), sorted.end());
    CalibrationOptions options{.method = CalibMethod::kPercentile};
    EXPECT_EQ(calibrate_one(x.view(), options).high.front(),
              sorted[static_cast<std::size_t>(percentile_rank(1'200'000, 99.99))]);
    options.method = CalibMethod::kEntropy;
    const auto counts = oracle_histogram(x.values(), BinRange::kMagnitude, 2048, dtype);
    const auto divergences = naive_modelopt_divergences(counts, 128, 128);
    const auto best = std::min_element(divergences.rbegin(), divergences.rend());
    const auto bins = static_cast<double>(2048 - (best - divergences.rbegin()));
    EXPECT_NEAR(calibrate_one(x.view(), options).high.front(), bins * sorted.back() / 2048.0,
                1e-6 * sorted.back());
  }
}

TEST(ManyDistinctValues, HaveAnMseNoWorseThanBruteForce) {
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    const Numbers x(dtype, heavy_tailed_sample(1'100'000, 96));
    const double amax = amax_of(x.values());
    for (const Format format : {Format::kInt8, Format::kInt4}) {
      const CalibrationResult result =
          calibrate_one(x.view(), {.method = CalibMethod::kMse, .format = format});
      const Quantizer quantizer = oracle_quantizer(result.options);
      const auto cost = [&](double edge) {
        const ScaleZeroPoint params = oracle_scale({-edge, edge}, quantizer, true, dtype);
        return oracle_cost(x.values(), quantizer, params, dtype, 1.0).total(1.0) / 1.1e6;
      };
      // The whole range coarsely, then every candidate of 400 about the answer.
      double least = INFINITY;
      for (int i = 10; i <= 400; i += 15) least = std::min(least, cost(amax * i / 400.0));
      const int near = static_cast<int>(std::lround(result.high.front() / amax * 400.0));
      for (int i = std::max(near - 8, 1); i <= std::min(near + 8, 400); ++i) {
        least = std::min(least, cost(amax * i / 400.0));
      }
      EXPECT_LE(result.mse, 1.001 * least) << to_string(dtype) << ' ' << to_string(format);
      const double own = cost(result.high.front());
      EXPECT_NEAR(result.mse, own, 1e-9 * own) << to_string(dtype) << ' ' << to_string(format);
    }
  }
}

TEST(Exactness, IsWhatTheTableSays) {
  for (const DType dtype : kAllDTypes) {
    const bool narrow = dtype == DType::kF16 || dtype == DType::kBF16;
    for (const std::size_t count : {std::size_t{1000}, kMaxExactValues + 200'000}) {
      const Numbers x(dtype, normal_sample(count, 97));
      const bool few = narrow || count < kMaxExactValues;
      const CalibrationCollector collector = collected(x);
      EXPECT_EQ(collector.exact(), few);
      const auto methods = all_methods(Format::kInt4);
      for (const CalibrationResult& result : calibrate_all(x.view(), methods)) {
        const bool searched = result.options.method == CalibMethod::kMse ||
                              result.options.method == CalibMethod::kSqnr;
        EXPECT_EQ(result.exact, few || !searched) << to_string(dtype) << name_of(result.options);
      }
      for (const CalibrationResult& result : collector.compute(methods)) {
        EXPECT_EQ(result.exact, few) << to_string(dtype) << name_of(result.options);
      }
    }
  }
}

}  // namespace
}  // namespace cuqat::test
