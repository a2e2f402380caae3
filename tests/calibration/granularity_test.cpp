// Each channel or group is calibrated as if its elements were a tensor of their own, and the costs
// are those of the whole tensor.
#include <gtest/gtest.h>

#include <cmath>

#include "calibration/answers.hpp"
#include "calibration/oracle.hpp"

namespace cuqat::test {
namespace {

/// Which scale each element has.
std::vector<std::size_t> scale_indices(const Shape& shape, const Granularity& granularity) {
  std::vector<std::size_t> result;
  const int axis = granularity.axis < 0 ? granularity.axis + shape.rank() : granularity.axis;
  std::int64_t after_axis = 1;
  for (int i = axis + 1; i < shape.rank(); ++i) after_axis *= shape[i];
  const std::int64_t row = shape[shape.rank() - 1];
  for (std::int64_t i = 0; i < shape.count(); ++i) {
    std::int64_t index = 0;
    if (granularity.kind == Granularity::Kind::kChannel) index = i / after_axis % shape[axis];
    if (granularity.kind == Granularity::Kind::kGroup) {
      const std::int64_t groups = (row - 1) / granularity.group_size + 1;
      index = i / row * groups + i % row / granularity.group_size;
    }
    result.push_back(static_cast<std::size_t>(index));
  }
  return result;
}

std::vector<std::vector<double>> slices_of(const Numbers& x, const Shape& shape,
                                           const Granularity& granularity) {
  std::vector<std::vector<double>> slices(static_cast<std::size_t>(num_scales(granularity, shape)));
  const std::vector<std::size_t> index = scale_indices(shape, granularity);
  for (std::size_t i = 0; i < x.size(); ++i) slices[index[i]].push_back(x.values()[i]);
  return slices;
}

/// One of each kind, where all would take long.
std::vector<CalibrationOptions> some_methods(Format format) {
  std::vector<CalibrationOptions> methods{
      {.format = format},
      {.method = CalibMethod::kPercentile, .percentile = 95.0, .format = format},
      {.method = CalibMethod::kEntropy, .format = format},
      {.method = CalibMethod::kMse, .format = format}};
  if (!is_integer(format)) return methods;
  methods.push_back({.format = format, .symmetric = false});
  methods.push_back({.method = CalibMethod::kPercentile, .format = format, .symmetric = false});
  return methods;
}

int zero_point_of(const CalibrationResult& result, std::size_t scale) {
  return result.params.zero_point.empty() ? 0 : result.params.zero_point[scale];
}

void expect_costs_of_slices(const CalibrationResult& result,
                            const std::vector<std::vector<double>>& slices, DType dtype) {
  double error = 0.0;
  double signal = 0.0;
  double clipped = 0.0;
  double count = 0.0;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const std::vector<double> x = finite(slices[i]);
    const OracleCost cost = oracle_cost(
        x, result.params.quantizer, {result.params.scale[i], zero_point_of(result, i)}, dtype, 1.0);
    error += cost.total(1.0);
    clipped += static_cast<double>(cost.clipped);
    count += static_cast<double>(x.size());
    for (const double value : x) signal += value * value;
  }
  EXPECT_EQ(result.clipped, clipped / count);
  EXPECT_NEAR(result.mse, error / count, 1e-9 * error / count);
  EXPECT_NEAR(result.sqnr_db, 10.0 * std::log10(signal / error), 1e-8);
}

void expect_slices_alone(const Numbers& x, const Shape& shape, const Granularity& granularity,
                         const std::vector<CalibrationOptions>& methods) {
  const auto slices = slices_of(x, shape, granularity);
  const auto results = calibrate_all(x.view(shape), methods, granularity);
  ASSERT_EQ(results.size(), methods.size());
  for (const CalibrationResult& result : results) {
    EXPECT_EQ(result.params.granularity, granularity);
    ASSERT_EQ(result.params.scale.size(), slices.size());
    ASSERT_EQ(result.low.size(), slices.size());
    ASSERT_EQ(result.high.size(), slices.size());
    expect_costs_of_slices(result, slices, x.dtype());
  }
  for (std::size_t i = 0; i < slices.size(); ++i) {
    const Numbers alone(x.dtype(), slices[i]);
    const auto expected = calibrate_all(alone.view(), methods);
    for (std::size_t k = 0; k < methods.size(); ++k) {
      SCOPED_TRACE(testing::Message() << name_of(methods[k]) << ", scale " << i << ", axis "
                                      << granularity.axis << ", group " << granularity.group_size);
      EXPECT_EQ(results[k].params.scale[i], expected[k].params.scale.front());
      EXPECT_EQ(zero_point_of(results[k], i), zero_point_of(expected[k], 0));
      EXPECT_EQ(results[k].low[i], expected[k].low.front());
      EXPECT_EQ(results[k].high[i], expected[k].high.front());
    }
  }
}

class GranularityOf : public testing::TestWithParam<DType> {};

TEST_P(GranularityOf, ChannelsOnEveryAxisAreTensorsOfTheirOwn) {
  const Shape shape{3, 5, 14};
  std::vector<double> values = heavy_tailed_sample(210, 41);
  values[17] = std::nan("");
  values[100] = INFINITY;
  const Numbers x(GetParam(), values);
  for (int axis = -3; axis < 3; ++axis) {
    expect_slices_alone(x, shape, Granularity::channel(axis),
                        some_methods(kAllFormats[(axis + 3) % 4]));
  }
  expect_slices_alone(x, shape, Granularity::channel(0), all_methods());
  expect_slices_alone(x, Shape{210}, Granularity::tensor(), all_methods(Format::kInt4));
}

TEST_P(GranularityOf, GroupsAreTensorsOfTheirOwn) {
  const Numbers x(GetParam(), heavy_tailed_sample(600, 42));
  for (const std::int64_t size : {32, 64, 77, 128, 300}) {
    expect_slices_alone(x, Shape{2, 1, 300}, Granularity::group(size), some_methods(Format::kInt4));
  }
  expect_slices_alone(x, Shape{600}, Granularity::group(128), all_methods());
  const Numbers few(GetParam(), heavy_tailed_sample(12, 43));
  expect_slices_alone(few, Shape{12}, Granularity::group(5), some_methods(Format::kE4M3));
}

TEST_P(GranularityOf, ChannelsSpanBatches) {
  const Numbers x(GetParam(), heavy_tailed_sample(240, 44));
  const Numbers first(GetParam(), std::span(x.values()).first(96));
  const Numbers second(GetParam(), std::span(x.values()).subspan(96));
  const ConstTensorView batches[] = {first.view(Shape{8, 12}), second.view(Shape{12, 12})};
  const auto methods = all_methods();
  expect_same(calibrate(batches, Granularity::channel(1), methods),
              calibrate_all(x.view(Shape{20, 12}), methods, Granularity::channel(1)),
              "two batches");
}

TEST(LargeChannels, AreTensorsOfTheirOwn) {
  // More elements a channel than are ever sorted, on the first axis (one run in memory), the last
  // (single elements) and between (short runs); one channel mostly NaN.
  constexpr std::int64_t kEach = 70'007;
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    std::vector<double> values = heavy_tailed_sample(3 * kEach, 46);
    for (std::size_t i = 2; i < values.size(); i += 3) {
      if (i % 5 != 0) values[i] = std::nan("");
    }
    const Numbers x(dtype, values);
    const std::vector<CalibrationOptions> methods{
        {.method = CalibMethod::kPercentile, .percentile = 99.0},
        {.method = CalibMethod::kEntropy},
        {.method = CalibMethod::kMse, .symmetric = false}};
    expect_slices_alone(x, Shape{3, kEach}, Granularity::channel(0), methods);
    expect_slices_alone(x, Shape{kEach, 3}, Granularity::channel(-1), methods);
    expect_slices_alone(x, Shape{7, 3, kEach / 7}, Granularity::channel(1), methods);
    expect_slices_alone(x, Shape{3 * kEach}, Granularity::group(kEach + 1), methods);
  }
}

TEST_P(GranularityOf, AChannelWithoutElementsOrOfZerosHasScaleOne) {
  std::vector<double> values = normal_sample(30, 45);
  for (std::size_t i = 10; i < 20; ++i) values[i] = 0.0;
  for (std::size_t i = 20; i < 30; ++i) values[i] = std::nan("");
  const Numbers x(GetParam(), values);
  for (const CalibrationResult& result :
       calibrate_all(x.view(Shape{3, 10}), all_methods(), Granularity::channel(0))) {
    EXPECT_EQ(result.params.scale[1], 1.0);
    EXPECT_EQ(result.params.scale[2], 1.0);
    EXPECT_EQ(zero_point_of(result, 1), 0);
    EXPECT_TRUE(has_usable_scales(result, GetParam()));
  }
}

INSTANTIATE_TEST_SUITE_P(DTypes, GranularityOf, testing::ValuesIn(kAllDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
