// Saving and loading a collector, and bytes that are no saved collector.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "calibration/answers.hpp"

namespace cuqat::test {
namespace {

using Bytes = std::vector<std::byte>;

CalibrationCollector sample_collector(DType dtype, const Granularity& granularity) {
  std::vector<double> values = normal_sample(24, 81);
  values[3] = std::nan("");
  values[4] = INFINITY;
  values[5] = 0.0;
  CalibrationCollector collector(dtype, granularity);
  collector.observe(Numbers(dtype, values).view(Shape{6, 4}));
  return collector;
}

std::vector<CalibrationCollector> sample_collectors() {
  std::vector<CalibrationCollector> result;
  for (const DType dtype : kAllDTypes) {
    result.emplace_back(dtype);
    result.emplace_back(dtype, Granularity::channel(-1));
    result.push_back(sample_collector(dtype, Granularity::tensor()));
    result.push_back(sample_collector(dtype, Granularity::channel(1)));
    result.push_back(sample_collector(dtype, Granularity::channel(-2)));
  }
  return result;
}

TEST(CollectorState, ComesBackWhole) {
  for (const CalibrationCollector& collector : sample_collectors()) {
    const Bytes state = collector.save();
    const CalibrationCollector loaded = CalibrationCollector::load(state);
    EXPECT_EQ(loaded.save(), state);
    EXPECT_EQ(loaded.dtype(), collector.dtype());
    EXPECT_EQ(loaded.granularity(), collector.granularity());
    EXPECT_EQ(loaded.num_scales(), collector.num_scales());
    EXPECT_EQ(loaded.statistics(), collector.statistics());
    EXPECT_EQ(loaded.exact(), collector.exact());
    EXPECT_TRUE(std::ranges::equal(loaded.shape(), collector.shape()));
    const auto methods = all_methods(Format::kE4M3);
    expect_same(loaded.compute(methods), collector.compute(methods), "loaded");
  }
}

TEST(CollectorState, TellsAScalarFromNothing) {
  const float number = 2.5F;
  CalibrationCollector scalar(DType::kF32);
  scalar.observe(ConstTensorView(&number, Shape{}));
  const std::vector<float> row = {1, 2, 3};
  for (const CalibrationCollector& other : {CalibrationCollector(DType::kF32), scalar}) {
    CalibrationCollector loaded = CalibrationCollector::load(other.save());
    EXPECT_EQ(loaded.save(), other.save());
    EXPECT_TRUE(loaded.shape().empty());
    loaded.observe(ConstTensorView(row.data(), Shape{1, 3}));
    const std::vector<std::int64_t> expected = other.statistics().count == 0
                                                   ? std::vector<std::int64_t>{1, 3}
                                                   : std::vector<std::int64_t>{4};
    EXPECT_TRUE(std::ranges::equal(loaded.shape(), expected));
  }
}

TEST(CollectorState, GoesOnAfterLoading) {
  for (const DType dtype : kAllDTypes) {
    const Numbers x(dtype, heavy_tailed_sample(200, 82));
    CalibrationCollector whole(dtype);
    whole.observe(x.view());
    CalibrationCollector first(dtype);
    first.observe(x.part(0, 120));
    CalibrationCollector loaded = CalibrationCollector::load(first.save());
    loaded.observe(x.part(120, 200));
    EXPECT_EQ(loaded.save(), whole.save());
    CalibrationCollector second(dtype);
    second.observe(x.part(120, 200));
    CalibrationCollector merged = CalibrationCollector::load(second.save());
    merged.merge(CalibrationCollector::load(first.save()));
    EXPECT_EQ(merged.save(), whole.save());
  }
}

TEST(CollectorState, RefusesEveryTruncation) {
  for (const CalibrationCollector& collector : sample_collectors()) {
    const Bytes state = collector.save();
    for (std::size_t size = 0; size < state.size(); ++size) {
      EXPECT_THROW(CalibrationCollector::load(std::span(state).first(size)), DataError) << size;
    }
  }
}

TEST(CollectorState, RefusesEveryDamagedByte) {
  for (const CalibrationCollector& collector : sample_collectors()) {
    const Bytes state = collector.save();
    const std::size_t step = std::max<std::size_t>(state.size() / 2000, 1);
    for (std::size_t i = 0; i < state.size(); i += i < 512 ? 1 : step) {
      for (int flip = 1; flip < 256; flip = flip < 128 ? flip * 2 : flip + 127) {
        Bytes damaged = state;
        damaged[i] ^= static_cast<std::byte>(flip);
        EXPECT_THROW(CalibrationCollector::load(damaged), DataError) << i << " by " << flip;
      }
    }
  }
}

TEST(CollectorState, RefusesBytesBehindTheEndAndBytesFromElsewhere) {
  for (const CalibrationCollector& collector : sample_collectors()) {
    Bytes state = collector.save();
    for (const int extra : {0, 1, 255}) {
      Bytes longer = state;
      longer.push_back(static_cast<std::byte>(extra));
      EXPECT_THROW(CalibrationCollector::load(longer), DataError);
    }
    Bytes twice = state;
    twice.insert(twice.end(), state.begin(), state.end());
    EXPECT_THROW(CalibrationCollector::load(twice), DataError);
    std::reverse(state.begin(), state.end());
    EXPECT_THROW(CalibrationCollector::load(state), DataError);
  }
  Random random(83);
  for (std::size_t size = 0; size < 300; ++size) {
    Bytes noise(size);
    for (std::byte& byte : noise) byte = static_cast<std::byte>(random.below(256));
    EXPECT_THROW(CalibrationCollector::load(noise), DataError) << size;
  }
}

}  // namespace
}  // namespace cuqat::test
