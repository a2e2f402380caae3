// What must hold for any data at all.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cmath>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"

namespace cuqat::test {
namespace {

/// Numbers with ties, zeros, outliers and now and then a NaN or an infinity.
std::vector<double> any_values(std::size_t least_count) {
  const auto number = rc::gen::weightedOneOf<double>(
      {{8, rc::gen::map(rc::gen::inRange(-2000, 2000), [](int i) { return i / 64.0; })},
       {4, rc::gen::map(rc::gen::inRange(-1000000, 1000000), [](int i) { return i * 1.3e-6; })},
       {1, rc::gen::map(rc::gen::inRange(-100, 100), [](int i) { return i * 7.7; })},
       {1, rc::gen::elementOf(std::vector<double>{0.0, -0.0, std::nan(""), INFINITY, -INFINITY})}});
  auto values = *rc::gen::container<std::vector<double>>(number);
  while (values.size() < least_count) values.push_back(*number);
  return values;
}

DType any_dtype() { return *rc::gen::elementOf(std::vector<DType>(kAllDTypes, kAllDTypes + 4)); }
Format any_format() {
  return *rc::gen::elementOf(std::vector<Format>(kAllFormats, kAllFormats + 4));
}

CalibrationCollector collected(const Numbers& x) {
  CalibrationCollector collector(x.dtype());
  collector.observe(x.view());
  return collector;
}

double cost_of(const CalibrationResult& result, const Numbers& x, double weight) {
  const int zero = result.params.zero_point.empty() ? 0 : result.params.zero_point.front();
  const double amax = amax_of(x.values());
  return oracle_cost(finite(x.values()), result.params.quantizer,
                     {result.params.scale.front(), zero}, x.dtype(), amax > 0.0 ? amax : 1.0)
      .total(weight);
}

// rapidcheck's macro names its own parameters.
RC_GTEST_PROP(CalibrationProperty, PermutationsChangeNothing, ()) {
  const DType dtype = any_dtype();
  std::vector<double> values = any_values(1);
  const Numbers x(dtype, values);
  Random(*rc::gen::arbitrary<std::uint64_t>()).shuffle(values);
  const Numbers shuffled(dtype, values);
  RC_ASSERT(collected(x).save() == collected(shuffled).save());
  expect_same(calibrate_all(x.view(), all_methods()), calibrate_all(shuffled.view(), all_methods()),
              "shuffled");
}

RC_GTEST_PROP(CalibrationProperty, MergingIsCommutativeAndAssociative, ()) {
  const DType dtype = any_dtype();
  const auto a = collected(Numbers(dtype, any_values(0)));
  const auto b = collected(Numbers(dtype, any_values(0)));
  const auto c = collected(Numbers(dtype, any_values(0)));
  const auto sum = [](CalibrationCollector left, const CalibrationCollector& right) {
    left.merge(right);
    return left;
  };
  RC_ASSERT(sum(a, b).save() == sum(b, a).save());
  RC_ASSERT(sum(sum(a, b), c).save() == sum(a, sum(b, c)).save());
  RC_ASSERT(sum(a, CalibrationCollector(dtype)).save() == a.save());
}

RC_GTEST_PROP(CalibrationProperty, APowerOfTwoScalesEveryAnswer, ()) {
  const DType dtype = *rc::gen::elementOf(std::vector<DType>{DType::kF32, DType::kF64});
  const double factor = std::ldexp(1.0, *rc::gen::inRange(-20, 21));
  std::vector<double> values = any_values(1);
  const Numbers x(dtype, values);
  for (double& value : values) value *= factor;
  const Numbers scaled(dtype, values);
  RC_PRE(amax_of(x.values()) > 0.0);
  const Format format = any_format();
  const auto results = calibrate_all(x.view(), all_methods(format));
  const auto scaled_results = calibrate_all(scaled.view(), all_methods(format));
  for (std::size_t i = 0; i < results.size(); ++i) {
    const CalibrationResult& a = results[i];
    const CalibrationResult& b = scaled_results[i];
    RC_LOG() << name_of(a.options) << '\n';
    RC_ASSERT(a.low.front() * factor == b.low.front());
    RC_ASSERT(a.high.front() * factor == b.high.front());
    if (a.low.front() < 0.0 || a.high.front() > 0.0) {
      RC_ASSERT(a.params.scale.front() * factor == b.params.scale.front());
    }
    RC_ASSERT(a.params.zero_point == b.params.zero_point);
    RC_ASSERT(a.clipped == b.clipped);
    RC_ASSERT(a.mse * factor * factor == b.mse);
  }
}

RC_GTEST_PROP(CalibrationProperty, ALargerPercentileNeverNarrowsTheRange, ()) {
  const Numbers x(any_dtype(), any_values(1));
  const CalibrationCollector collector = collected(x);
  double p = *rc::gen::inRange(0, 100001) / 1000.0;
  double wider = *rc::gen::inRange(0, 100001) / 1000.0;
  if (p > wider) std::swap(p, wider);
  for (const bool symmetric : {true, false}) {
    CalibrationOptions options{.method = CalibMethod::kPercentile, .symmetric = symmetric};
    options.percentile = p;
    const CalibrationResult narrow = collector.compute(options);
    options.percentile = wider;
    const CalibrationResult wide = collector.compute(options);
    RC_ASSERT(wide.low.front() <= narrow.low.front());
    RC_ASSERT(wide.high.front() >= narrow.high.front());
    RC_ASSERT(wide.params.scale.front() >= narrow.params.scale.front() ||
              narrow.high.front() - narrow.low.front() == 0.0);
  }
  const CalibrationResult extremes = collector.compute(CalibrationOptions{});
  CalibrationOptions everything{.method = CalibMethod::kPercentile};
  everything.percentile = 100.0;
  RC_ASSERT(collector.compute(everything).high == extremes.high);
}

RC_GTEST_PROP(CalibrationProperty, LeastErrorIsNoMoreThanAnyOtherMethods, ()) {
  const Numbers x(any_dtype(), any_values(1));
  const auto results = calibrate_all(x.view(), all_methods(any_format()));
  for (const CalibrationResult& best : results) {
    const bool mse = best.options.method == CalibMethod::kMse;
    if (!mse && best.options.method != CalibMethod::kSqnr) continue;
    const double weight = mse ? 1.0 : 3.0;
    for (const CalibrationResult& other : results) {
      if (other.options.symmetric != best.options.symmetric) continue;
      // Min-max is a candidate of the search itself; the others may lie between candidates.
      const bool candidate = other.options.method == CalibMethod::kMinMax;
      RC_LOG() << name_of(best.options) << " and " << name_of(other.options) << '\n';
      if (candidate) {
        RC_ASSERT(cost_of(best, x, weight) <= cost_of(other, x, weight) * (1.0 + 1e-9) + 1e-12);
      }
      if (candidate && mse) RC_ASSERT(best.mse <= other.mse);
    }
  }
}

RC_GTEST_PROP(CalibrationProperty, RangesContainZeroOrAreSymmetricAndInsideTheData, ()) {
  const Numbers x(any_dtype(), any_values(1));
  const Statistics all = statistics(x.view());
  for (const CalibrationResult& result : calibrate_all(x.view(), all_methods(any_format()))) {
    RC_LOG() << name_of(result.options) << '\n';
    const double low = result.low.front();
    const double high = result.high.front();
    RC_ASSERT(low <= 0.0 && high >= 0.0);
    if (result.options.symmetric) RC_ASSERT(low == -high);
    RC_ASSERT(std::max(-low, high) <= all.amax());
    if (!result.options.symmetric && all.finite() > 0) {
      RC_ASSERT(low >= std::min(all.min, 0.0) && high <= std::max(all.max, 0.0));
    }
    const auto expected =
        range_to_scale({low, high}, result.params.quantizer, result.options.symmetric, x.dtype());
    RC_ASSERT(result.params.scale.front() == expected.scale);
    if (!result.params.zero_point.empty()) {
      RC_ASSERT(result.params.zero_point.front() == expected.zero_point);
    }
  }
}

RC_GTEST_PROP(CalibrationProperty, AZeroStaysZeroWhateverTheRange, ()) {
  const Numbers x(any_dtype(), any_values(1));
  for (const CalibrationResult& result : calibrate_all(x.view(), all_methods(any_format()))) {
    const int zero = result.params.zero_point.empty() ? 0 : result.params.zero_point.front();
    const OracleElement element = oracle_fake_quantize(
        0.0, result.params.quantizer, {result.params.scale.front(), zero}, x.dtype());
    RC_ASSERT(element.y == 0.0);
    RC_ASSERT(!element.clipped);
  }
}

}  // namespace
}  // namespace cuqat::test
