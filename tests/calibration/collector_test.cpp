// A collector's answers: the same for every way that the same elements can come.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "calibration/answers.hpp"

namespace cuqat::test {
namespace {

struct Way {
  std::vector<std::size_t> cuts;  ///< Ends of the batches.
  HostOptions options;
  bool backwards = false;
};

std::vector<ConstTensorView> batches_of(const Numbers& x, const Way& way) {
  std::vector<ConstTensorView> batches;
  std::size_t begin = 0;
  for (const std::size_t end : way.cuts) {
    batches.push_back(x.part(begin, end));
    begin = end;
  }
  batches.push_back(x.part(begin, x.size()));
  if (way.backwards) std::reverse(batches.begin(), batches.end());
  return batches;
}

CalibrationCollector collected(DType dtype, const std::vector<ConstTensorView>& batches,
                               const HostOptions& options = {}) {
  CalibrationCollector collector(dtype);
  for (const ConstTensorView& batch : batches) collector.observe(batch, options);
  return collector;
}

std::vector<double> special_sample(std::size_t count, std::uint64_t seed) {
  std::vector<double> values = heavy_tailed_sample(count, seed);
  for (std::size_t i = 0; i < count; i += 37) values[i] = i % 2 == 0 ? std::nan("") : INFINITY;
  for (std::size_t i = 1; i < count; i += 41) values[i] = i % 2 == 0 ? -0.0 : 0.0;
  for (std::size_t i = 2; i < count; i += 101) values[i] = -INFINITY;
  return values;
}

class CollectorOf : public testing::TestWithParam<DType> {};

TEST_P(CollectorOf, AnswersAsCalibrateForEveryCutOrderAndBackend) {
  const Numbers x(GetParam(), special_sample(5000, 71));
  const auto methods = all_methods();
  const auto expected = calibrate_all(x.view(), methods, {}, {Backend::named("reference"), 1});
  const std::vector<std::byte> state = collected(GetParam(), {x.view()}).save();
  const std::vector<Way> ways{{{}, {Backend::named("reference"), 1}},
                              {{}, {Backend::named("cpu"), 1}},
                              {{2500}, {Backend::named("cpu"), 2}},
                              {{1, 17, 17, 4096}, {Backend::named("cpu"), 5}, true},
                              {{999, 1000, 1001, 4999}, {Backend::named("reference"), 2}}};
  for (const Way& way : ways) {
    const auto batches = batches_of(x, way);
    CalibrationCollector collector = collected(GetParam(), batches, way.options);
    EXPECT_EQ(collector.save(), state);
    expect_same(collector.compute(methods), expected, "collector");
    expect_same(calibrate(batches, {}, methods, way.options), expected, "calibrate");
  }
}

TEST_P(CollectorOf, AnswersAsCalibrateForChannelsOfEveryAxis) {
  const Numbers x(GetParam(), special_sample(4 * 6 * 10, 72));
  const Shape shape{4, 6, 10};
  for (int axis = -3; axis < 3; ++axis) {
    const auto granularity = Granularity::channel(axis);
    const auto methods = all_methods(axis == -1 ? Format::kInt4 : Format::kE4M3);
    CalibrationCollector collector(GetParam(), granularity);
    EXPECT_EQ(collector.num_scales(), 0);
    collector.observe(x.view(shape), {Backend::named("cpu"), 2});
    EXPECT_EQ(collector.num_scales(), num_scales(granularity, shape));
    EXPECT_EQ(collector.granularity(), granularity);
    expect_same(collector.compute(methods), calibrate_all(x.view(shape), methods, granularity),
                "channels");
    CalibrationCollector reference(GetParam(), granularity);
    reference.observe(x.view(shape), {Backend::named("reference"), 1});
    EXPECT_EQ(reference.save(), collector.save());
  }
}

TEST_P(CollectorOf, MergesInAnyTree) {
  const Numbers x(GetParam(), special_sample(3000, 73));
  std::vector<CalibrationCollector> parts;
  for (std::size_t i = 0; i < 8; ++i) {
    parts.push_back(collected(GetParam(), {x.part(375 * i, 375 * (i + 1))}));
  }
  const CalibrationCollector whole = collected(GetParam(), {x.view()});
  CalibrationCollector left = parts[0];
  for (std::size_t i = 1; i < 8; ++i) left.merge(parts[i]);
  CalibrationCollector right(GetParam());
  for (std::size_t i = 8; i > 0; --i) right.merge(parts[i - 1]);
  for (std::size_t step = 1; step < 8; step *= 2) {
    for (std::size_t i = 0; i + step < 8; i += 2 * step) parts[i].merge(parts[i + step]);
  }
  EXPECT_EQ(left.save(), whole.save());
  EXPECT_EQ(right.save(), whole.save());
  EXPECT_EQ(parts[0].save(), whole.save());
  expect_same(parts[0].compute(all_methods()), whole.compute(all_methods()), "merged in a tree");
  EXPECT_EQ(parts[0].statistics(), statistics(x.view()));
}

TEST_P(CollectorOf, StatisticsAreThoseOfEverything) {
  const Numbers x(GetParam(), special_sample(2000, 74));
  CalibrationCollector tensor = collected(GetParam(), {x.part(0, 700), x.part(700, 2000)});
  EXPECT_EQ(tensor.statistics(), statistics(x.view()));
  EXPECT_EQ(tensor.num_scales(), 1);
  EXPECT_TRUE(tensor.exact());
  CalibrationCollector channels(GetParam(), Granularity::channel(0));
  channels.observe(x.view(Shape{20, 100}));
  EXPECT_EQ(channels.statistics(), statistics(x.view()));
  EXPECT_EQ(CalibrationCollector(GetParam()).statistics(), Statistics{});
}

TEST_P(CollectorOf, OfNothingOrNothingFiniteHasScaleOne) {
  const std::vector<std::vector<double>> samples{
      {}, {0.0, -0.0}, {std::nan(""), INFINITY}, {-INFINITY, 0.0}};
  for (const auto& sample : samples) {
    const Numbers x(GetParam(), sample);
    const CalibrationCollector collector = collected(GetParam(), {x.view()});
    for (const CalibrationResult& result : collector.compute(all_methods())) {
      EXPECT_EQ(result.params.scale, std::vector<double>{1.0}) << name_of(result.options);
      EXPECT_EQ(result.mse, 0.0);
      EXPECT_EQ(result.clipped, 0.0);
    }
  }
}

/// Observers of others take a first batch of zeros for the range (Model-Optimizer #2369, AIMET).
TEST_P(CollectorOf, AFirstBatchOfZerosFixesNothing) {
  const Numbers zeros(GetParam(), std::vector<double>(10, 0.0));
  const Numbers x(GetParam(), normal_sample(50, 75));
  const CalibrationCollector zeros_first = collected(GetParam(), {zeros.view(), x.view()});
  const CalibrationCollector zeros_last = collected(GetParam(), {x.view(), zeros.view()});
  EXPECT_EQ(zeros_first.compute(CalibrationOptions{}).high.front(), amax_of(x.values()));
  expect_same(zeros_first.compute(all_methods()), zeros_last.compute(all_methods()), "zeros");
}

INSTANTIATE_TEST_SUITE_P(DTypes, CollectorOf, testing::ValuesIn(kAllDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

std::vector<std::int64_t> shape_after(const std::vector<Shape>& shapes) {
  CalibrationCollector collector(DType::kF32);
  const std::vector<float> data(1000, 1.0F);
  for (const Shape& shape : shapes) collector.observe(ConstTensorView(data.data(), shape));
  return {collector.shape().begin(), collector.shape().end()};
}

TEST(Collector, ShapeConcatenatesAlongTheFirstAxis) {
  using Extents = std::vector<std::int64_t>;
  EXPECT_EQ(shape_after({}), Extents{});
  EXPECT_EQ(shape_after({{4, 3}}), (Extents{4, 3}));
  EXPECT_EQ(shape_after({{4, 3}, {2, 3}}), (Extents{6, 3}));
  EXPECT_EQ(shape_after({{4, 3, 2}, {1, 3, 2}, {5, 3, 2}}), (Extents{10, 3, 2}));
  EXPECT_EQ(shape_after({{7}, {5}}), (Extents{12}));
  EXPECT_EQ(shape_after({{4, 3}, {3, 4}}), (Extents{24}));
  EXPECT_EQ(shape_after({{4, 3}, {12}}), (Extents{24}));
  EXPECT_EQ(shape_after({{4, 3}, {5}, {4, 3}}), (Extents{29}));
  EXPECT_EQ(shape_after({Shape{}}), Extents{});
  EXPECT_EQ(shape_after({Shape{}, Shape{}}), (Extents{2}));
  EXPECT_EQ(shape_after({Shape{}, {4, 3}}), (Extents{13}));
  EXPECT_EQ(shape_after({{4}, Shape{}}), (Extents{5}));
}

/// As many channels as a layer has: merging their distributions one by one would take a minute.
TEST(Collector, LinearHistogramIsThatOfAllChannels) {
  constexpr std::int64_t kRows = 250;
  constexpr std::int64_t kChannels = 4096;
  const Numbers x(DType::kF32, normal_sample(kRows * kChannels, 11));
  const ConstTensorView view = x.view(Shape{kRows, kChannels});
  CalibrationCollector collector(DType::kF32, Granularity::channel(1));
  collector.observe(view);
  ASSERT_TRUE(collector.exact());
  for (const BinRange range : {BinRange::kMagnitude, BinRange::kSigned}) {
    std::vector<std::uint64_t> expected(160);
    accumulate_linear_histogram(view, collector.statistics().amax(), range, expected);
    EXPECT_EQ(collector.linear_histogram(range, expected.size()), expected);
  }
}

TEST(Collector, ShapeOfMergedCollectorsIsThatOfTheirBatches) {
  const std::vector<float> data(100, 1.0F);
  const auto with = [&](const Shape& shape) {
    CalibrationCollector collector(DType::kF32);
    collector.observe(ConstTensorView(data.data(), shape));
    return collector;
  };
  CalibrationCollector alike = with({2, 5});
  alike.merge(with({3, 5}));
  EXPECT_EQ(alike.shape()[0], 5);
  EXPECT_EQ(alike.shape()[1], 5);
  alike.merge(with({4}));
  ASSERT_EQ(alike.shape().size(), 1U);
  EXPECT_EQ(alike.shape()[0], 29);
  CalibrationCollector empty(DType::kF32);
  empty.merge(with({2, 5}));
  EXPECT_EQ(empty.shape().size(), 2U);
  CalibrationCollector unchanged = with({2, 5});
  unchanged.merge(CalibrationCollector(DType::kF32));
  EXPECT_EQ(unchanged.save(), with({2, 5}).save());
}

TEST(Collector, RefusesWhatDoesNotFitAndStaysAsItWas) {
  EXPECT_THROW(CalibrationCollector(DType::kF32, Granularity::group(32)), InvalidArgument);
  const Numbers x(DType::kF32, normal_sample(60, 76));
  const Numbers other(DType::kF64, normal_sample(60, 76));
  CalibrationCollector collector(DType::kF32, Granularity::channel(1));
  collector.observe(x.view(Shape{10, 6}));
  const auto before = collector.save();
  EXPECT_THROW(collector.observe(other.view(Shape{10, 6})), InvalidArgument);
  EXPECT_THROW(collector.observe(x.view(Shape{6, 10})), InvalidArgument);
  EXPECT_THROW(collector.observe(x.view(Shape{60})), InvalidArgument);
  EXPECT_THROW(collector.observe(x.view(Shape{10, 6}), {.num_threads = -1}), InvalidArgument);
  EXPECT_THROW(collector.merge(CalibrationCollector(DType::kF64, Granularity::channel(1))),
               InvalidArgument);
  EXPECT_THROW(collector.merge(CalibrationCollector(DType::kF32)), InvalidArgument);
  EXPECT_THROW(collector.merge(CalibrationCollector(DType::kF32, Granularity::channel(0))),
               InvalidArgument);
  CalibrationCollector five(DType::kF32, Granularity::channel(1));
  five.observe(x.view(Shape{12, 5}));
  EXPECT_THROW(collector.merge(five), InvalidArgument);
  EXPECT_THROW((void)collector.compute({.format = Format::kE4M3, .symmetric = false}),
               InvalidArgument);
  CalibrationOptions percentile{.method = CalibMethod::kPercentile};
  percentile.percentile = 101.0;
  EXPECT_THROW((void)collector.compute(percentile), InvalidArgument);
  EXPECT_EQ(collector.save(), before);
}

TEST(Collector, MergesAnAxisCountedFromTheLast) {
  const Numbers x(DType::kF32, normal_sample(60, 78));
  CalibrationCollector both(DType::kF32, Granularity::channel(1));
  both.observe(x.view(Shape{10, 6}));
  both.observe(x.view(Shape{10, 6}));
  CalibrationCollector from_first(DType::kF32, Granularity::channel(1));
  from_first.observe(x.view(Shape{10, 6}));
  CalibrationCollector from_last(DType::kF32, Granularity::channel(-1));
  CalibrationCollector observed_from_last(DType::kF32, Granularity::channel(-1));
  observed_from_last.observe(x.view(Shape{10, 6}));
  CalibrationCollector sum = observed_from_last;
  sum.merge(from_first);
  CalibrationCollector other_way = from_first;
  other_way.merge(observed_from_last);
  EXPECT_EQ(sum.save(), other_way.save());
  from_last.merge(from_first);
  from_last.merge(from_first);
  const CalibrationOptions minmax;
  EXPECT_EQ(from_last.compute(minmax).params.scale, both.compute(minmax).params.scale);
  from_first.merge(CalibrationCollector(DType::kF32, Granularity::channel(-1)));
  EXPECT_THROW(from_first.merge(CalibrationCollector(DType::kF32, Granularity::channel(-2))),
               InvalidArgument);
  EXPECT_THROW(from_last.merge(CalibrationCollector(DType::kF32, Granularity::channel(0))),
               InvalidArgument);
}

TEST(Collector, CopiesAreIndependentAndMovesTakeEverything) {
  const Numbers x(DType::kF32, normal_sample(60, 77));
  CalibrationCollector original(DType::kF32);
  original.observe(x.view());
  const auto state = original.save();
  CalibrationCollector copy = original;
  copy.observe(x.part(0, 5));
  EXPECT_EQ(original.save(), state);
  EXPECT_NE(copy.save(), state);
  copy = original;
  EXPECT_EQ(copy.save(), state);
  const CalibrationCollector& alias = copy;
  copy = alias;
  EXPECT_EQ(copy.save(), state);
  CalibrationCollector moved = std::move(copy);
  EXPECT_EQ(moved.save(), state);
  CalibrationCollector target(DType::kF64, Granularity::channel(0));
  target = std::move(moved);
  EXPECT_EQ(target.save(), state);
  EXPECT_EQ(target.dtype(), DType::kF32);
  // A collector that was moved from can be given a new value.
  moved = original;
  EXPECT_EQ(moved.save(), state);
}

}  // namespace
}  // namespace cuqat::test
