// Properties of statistics, histograms, order statistics and errors, for any data and on every
// backend.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <numeric>
#include <vector>

#include "conformance/properties.hpp"
#include "cuqat/percentile.hpp"

namespace cuqat::test {
namespace {

class ReadingProperty : public Property {};

INSTANTIATE_TEST_SUITE_P(EveryBackend, ReadingProperty, testing::ValuesIn(all_tables()),
                         [](const auto& param) { return test_name(param.param); });

Values shuffled(Values values, std::uint64_t seed) {
  for (std::size_t i = values.size(); i > 1; --i) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    std::swap(values[i - 1], values[(seed >> 33) % i]);
  }
  return values;
}

TEST_P(ReadingProperty, StatisticsDoNotDependOnTheOrder) {
  check([] {
    const DType dtype = any_dtype();
    const Values x = any_values();
    const Bytes other = to_bytes(dtype, shuffled(x, *rc::gen::arbitrary<std::uint64_t>()));
    RC_ASSERT(statistics(table(), dtype, to_bytes(dtype, x)) ==
              statistics(table(), dtype, other, 3));
  });
}

TEST_P(ReadingProperty, StatisticsOfPartsMergeToThoseOfTheWhole) {
  check([] {
    const DType dtype = any_dtype();
    const Values x = any_values();
    const auto cut = static_cast<std::ptrdiff_t>(*rc::gen::inRange<std::size_t>(0, x.size() + 1));
    const Statistics low =
        statistics(table(), dtype, to_bytes(dtype, Values(x.begin(), x.begin() + cut)));
    const Statistics high =
        statistics(table(), dtype, to_bytes(dtype, Values(x.begin() + cut, x.end())));
    Statistics one = low, other = high;
    one.merge(high);
    other.merge(low);
    RC_ASSERT(one == statistics(table(), dtype, to_bytes(dtype, x)));
    RC_ASSERT(one == other);
  });
}

TEST_P(ReadingProperty, StatisticsMergeAssociatively) {
  check([] {
    std::vector<Statistics> parts;
    for (int i = 0; i < 3; ++i)
      parts.push_back(statistics(table(), DType::kF32, to_bytes(DType::kF32, any_values())));
    Statistics left = parts[0], right = parts[1];
    left.merge(parts[1]);
    left.merge(parts[2]);
    right.merge(parts[2]);
    Statistics whole = parts[0];
    whole.merge(right);
    RC_ASSERT(left == whole);
  });
}

std::vector<std::uint64_t> keys(Table table, DType dtype, const Values& x, int threads = 1) {
  std::vector<std::uint64_t> counts(kNumKeys, 0);
  table->accumulate_key_histogram(dtype, static_cast<std::int64_t>(x.size()),
                                  to_bytes(dtype, x).data(), counts.data(), threads);
  return counts;
}

DType any_keyed_dtype() { return *rc::gen::element(DType::kF32, DType::kF16, DType::kBF16); }

TEST_P(ReadingProperty, KeyHistogramCountsEveryElementInAnyOrder) {
  check([] {
    const DType dtype = any_keyed_dtype();
    const Values x = any_values();
    const auto counts = keys(table(), dtype, x);
    RC_ASSERT(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}) == x.size());
    RC_ASSERT(counts == keys(table(), dtype, shuffled(x, 9), 2));
  });
}

std::vector<std::uint64_t> bins(Table table, DType dtype, const Values& x, double amax,
                                BinRange range, std::size_t count) {
  std::vector<std::uint64_t> counts(count, 0);
  table->accumulate_linear_histogram(dtype, static_cast<std::int64_t>(x.size()),
                                     to_bytes(dtype, x).data(), amax, range, counts, 1);
  return counts;
}

TEST_P(ReadingProperty, LinearHistogramCountsTheElementsUpToAmax) {
  check([] {
    const Values x = any_values();
    const double amax = any_scale() * *rc::gen::element(1.0, 100.0);
    const BinRange range = *rc::gen::element(BinRange::kMagnitude, BinRange::kSigned);
    const auto counts =
        bins(table(), DType::kF32, x, amax, range, 2 * *rc::gen::inRange<std::size_t>(1, 600));
    const auto counted =
        std::count_if(x.begin(), x.end(), [&](double v) { return std::fabs(v) <= amax; });
    RC_ASSERT(std::accumulate(counts.begin(), counts.end(), std::uint64_t{0}) ==
              static_cast<std::uint64_t>(counted));
  });
}

TEST_P(ReadingProperty, LinearHistogramOfPartsAddsUpInAnyOrder) {
  check([] {
    const DType dtype = any_dtype();
    const Values x = shuffled(any_values(), 4);
    const auto cut = static_cast<std::ptrdiff_t>(*rc::gen::inRange<std::size_t>(0, x.size() + 1));
    auto sum = bins(table(), dtype, Values(x.begin() + cut, x.end()), 30, BinRange::kSigned, 64);
    const auto low =
        bins(table(), dtype, Values(x.begin(), x.begin() + cut), 30, BinRange::kSigned, 64);
    std::transform(sum.begin(), sum.end(), low.begin(), sum.begin(), std::plus{});
    RC_ASSERT(sum == bins(table(), dtype, x, 30, BinRange::kSigned, 64));
  });
}

TEST_P(ReadingProperty, LinearHistogramWithHalfTheBinsAddsNeighbours) {
  check([] {
    const Values x = any_values();
    const double amax = any_scale() * 50;
    const std::size_t half = *rc::gen::inRange<std::size_t>(1, 300);
    const auto fine = bins(table(), DType::kF32, x, amax, BinRange::kMagnitude, 2 * half);
    const auto coarse = bins(table(), DType::kF32, x, amax, BinRange::kMagnitude, half);
    for (std::size_t i = 0; i < half; ++i) RC_ASSERT(coarse[i] == fine[2 * i] + fine[2 * i + 1]);
  });
}

Values sorted_finite(DType dtype, const Values& x, OrderBy order) {
  Values finite;
  for (const double value : x) {
    const double element = stored(dtype, value);
    if (std::isfinite(element))
      finite.push_back(order == OrderBy::kValue ? element + 0.0 : std::fabs(element));
  }
  std::sort(finite.begin(), finite.end());
  return finite;
}

TEST_P(ReadingProperty, OrderStatisticsAreThoseOfASort) {
  check([] {
    const DType dtype = any_dtype();
    const OrderBy order = *rc::gen::element(OrderBy::kValue, OrderBy::kMagnitude);
    const Values x = any_values();
    const Values expected = sorted_finite(dtype, x, order);
    std::vector<std::int64_t> ranks(expected.size());
    std::iota(ranks.begin(), ranks.end(), 0);
    RC_ASSERT(
        same(order_statistics(table(), dtype, to_bytes(dtype, x), order, ranks, 2), expected));
  });
}

TEST_P(ReadingProperty, PercentileIsTheSmallestMagnitudeThatCoversItsShare) {
  check([] {
    const Values x = finite_values();
    // Their hundredths are exact in f64, in which the rank is computed.
    const double percent = *rc::gen::element(6.25, 12.5, 25.0, 50.0, 75.0, 87.5, 100.0);
    const Values magnitudes = sorted_finite(DType::kF32, x, OrderBy::kMagnitude);
    const auto n = static_cast<std::int64_t>(magnitudes.size());
    const double threshold =
        order_statistics(table(), DType::kF32, to_bytes(DType::kF32, x), OrderBy::kMagnitude,
                         {percentile_rank(n, percent)})[0];
    const auto up_to =
        std::upper_bound(magnitudes.begin(), magnitudes.end(), threshold) - magnitudes.begin();
    const auto below =
        std::lower_bound(magnitudes.begin(), magnitudes.end(), threshold) - magnitudes.begin();
    RC_ASSERT(static_cast<double>(up_to) * 100 >= percent * static_cast<double>(n));
    RC_ASSERT(static_cast<double>(below) * 100 < percent * static_cast<double>(n));
  });
}

QuantizationError error_of(Table table, const Quantization& q, const Values& x, double amax,
                           int threads) {
  const Flat tensor(DType::kF32, static_cast<std::int64_t>(x.size()), q.quantizer, q.scale,
                    q.zero_point, threads);
  QuantizationError result;
  table->quantization_error(*tensor, to_bytes(DType::kF32, x).data(), &amax, &result);
  return result;
}

constexpr double kLargest = std::numeric_limits<float>::max();

TEST_P(ReadingProperty, QuantizationErrorDoesNotDependOnTheOrder) {
  check([] {
    const auto q = any_quantization();
    const Values x = any_values();
    RC_ASSERT(error_of(table(), q, x, kLargest, 1) ==
              error_of(table(), q, shuffled(x, 3), kLargest, 3));
  });
}

TEST_P(ReadingProperty, QuantizationErrorsMergeFromAnyCutInEitherOrder) {
  check([] {
    const auto q = any_quantization();
    const Values x = any_values();
    const auto cut = static_cast<std::ptrdiff_t>(*rc::gen::inRange<std::size_t>(0, x.size() + 1));
    const auto low = error_of(table(), q, Values(x.begin(), x.begin() + cut), kLargest, 1);
    const auto high = error_of(table(), q, Values(x.begin() + cut, x.end()), kLargest, 1);
    const auto whole = error_of(table(), q, x, kLargest, 1);
    RC_ASSERT(low.count + high.count == whole.count);
    RC_ASSERT(low.clipped + high.clipped == whole.clipped);
    SquaredSum one = low.rounding, other = high.rounding;
    one.merge(high.rounding);
    other.merge(low.rounding);
    RC_ASSERT(one == whole.rounding);
    RC_ASSERT(other == whole.rounding);
  });
}

TEST_P(ReadingProperty, QuantizationErrorCountsWhatTheMaskCounts) {
  check([] {
    const auto q = any_quantization();
    const Values x = any_values();
    const FakeQuantized forward = fake(table(), DType::kF32, q, x);
    std::int64_t finite = 0, clipped = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!std::isfinite(x[i])) continue;
      ++finite;
      clipped += forward.clipped[i] ? 1 : 0;
    }
    const QuantizationError e = error_of(table(), q, x, kLargest, 1);
    RC_ASSERT(e.count == finite);
    RC_ASSERT(e.clipped == clipped);
  });
}

TEST_P(ReadingProperty, QuantizationErrorIsNearThePlainSum) {
  check([] {
    const auto q = any_integer_quantization(Rounding::kNearestEven);
    const Values x = *rc::gen::container<Values>(ordinary_number());
    const FakeQuantized forward = fake(table(), DType::kF32, q, x);
    double rounding = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double e = x[i] - forward.y[i];
      rounding += forward.clipped[i] ? 0 : e * e;
    }
    const double unit = rounding_unit(q.quantizer.format, q.scale, 300);
    const double actual = error_of(table(), q, x, 300, 1).rounding.value(unit);
    // Each square is rounded to 2^-51 units.
    const double steps = static_cast<double>(x.size() + 1) * unit * unit * 0x1p-50;
    RC_ASSERT(std::fabs(actual - rounding) <= rounding * 1e-12 + steps);
  });
}

}  // namespace
}  // namespace cuqat::test
