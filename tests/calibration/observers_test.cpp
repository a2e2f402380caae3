// The observers that depend on order by definition, and calibration of layers and models.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "calibration/answers.hpp"

namespace cuqat::test {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

Statistics extremes(double min, double max) {
  Statistics batch;
  batch.count = 2;
  batch.min = min;
  batch.max = max;
  return batch;
}

TEST(MovingAverageMinMax, MovesByMomentumFromTheFirstBatch) {
  MovingAverageMinMax average(0.5);
  EXPECT_EQ(average.range(), (Range{0.0, 0.0}));
  average.observe(extremes(-1.0, 2.0));
  EXPECT_EQ(average.range(), (Range{-1.0, 2.0}));
  average.observe(extremes(-3.0, 10.0));
  EXPECT_EQ(average.range(), (Range{-2.0, 6.0}));
  average.observe(extremes(4.0, 8.0));
  EXPECT_EQ(average.range(), (Range{1.0, 7.0}));
}

TEST(MovingAverageMinMax, SkipsBatchesWithoutAFiniteElement) {
  MovingAverageMinMax average(0.25);
  const Numbers nothing(DType::kF32, std::vector<double>{kNaN, kInfinity, -kInfinity});
  average.observe(nothing.view());
  average.observe(ConstTensorView{});
  EXPECT_EQ(average.range(), (Range{0.0, 0.0}));
  average.observe(Numbers(DType::kBF16, std::vector<double>{kNaN, -4.0, 8.0}).view());
  EXPECT_EQ(average.range(), (Range{-4.0, 8.0}));
  average.observe(nothing.view());
  average.observe(Numbers(DType::kF64, std::vector<double>{0.0, kInfinity}).view());
  EXPECT_EQ(average.range(), (Range{-3.0, 6.0}));
}

TEST(MovingAverageMinMax, OfMomentumOneIsTheLastBatch) {
  MovingAverageMinMax average(1.0);
  average.observe(extremes(-1.0, 2.0));
  average.observe(extremes(5.0, 6.0));
  EXPECT_EQ(average.range(), (Range{5.0, 6.0}));
}

TEST(MovingAverageMinMax, NeitherCrossesNorOverflows) {
  MovingAverageMinMax last(1.0);
  last.observe(extremes(0.1, 1e20));
  last.observe(extremes(1.0, 1.0));
  EXPECT_EQ(last.range(), (Range{1.0, 1.0}));
  MovingAverageMinMax far(0.5);
  far.observe(extremes(-1.7e308, -1.7e308));
  far.observe(extremes(1.7e308, 1.7e308));
  EXPECT_EQ(far.range(), (Range{0.0, 0.0}));
}

TEST(MovingAverageMinMax, RefusesAMomentumOutsideZeroToOne) {
  for (const double momentum : {0.0, -0.1, 1.001, kNaN, kInfinity}) {
    EXPECT_THROW(MovingAverageMinMax{momentum}, InvalidArgument) << momentum;
  }
}

TEST(AmaxHistory, ForgetsWhatIsOlderThanItsLength) {
  AmaxHistory history(2);
  EXPECT_EQ(history.amax(), 0.0);
  for (const auto& [pushed, expected] :
       {std::pair{1.0, 1.0}, {5.0, 5.0}, {2.0, 5.0}, {1.0, 2.0}, {0.0, 1.0}, {0.0, 0.0}}) {
    history.push(pushed);
    EXPECT_EQ(history.amax(), expected) << "after " << pushed;
  }
}

TEST(AmaxHistory, ScaleLeavesTheMargin) {
  const Quantizer quantizer{.format = Format::kE4M3};
  AmaxHistory history;
  EXPECT_EQ(history.scale(quantizer, DType::kBF16), 1.0);
  history.push(3.0);
  EXPECT_EQ(history.scale(quantizer, DType::kF64), 3.0 / 448.0);
  EXPECT_EQ(history.scale(quantizer, DType::kF64, 2), 12.0 / 448.0);
  EXPECT_EQ(history.scale(quantizer, DType::kF64, -1), 1.5 / 448.0);
  EXPECT_EQ(history.scale(quantizer, DType::kBF16, 1), static_cast<double>(6.0F / 448.0F));
}

TEST(AmaxHistory, ObservesTheFiniteMagnitudes) {
  AmaxHistory history(3);
  history.observe(Numbers(DType::kF16, std::vector<double>{1.0, -7.0, kNaN, kInfinity}).view());
  EXPECT_EQ(history.amax(), 7.0);
  history.observe(Numbers(DType::kF32, std::vector<double>{kNaN}).view());
  EXPECT_EQ(history.amax(), 7.0);
}

TEST(AmaxHistory, RefusesWhatIsNoLengthAndNoMagnitude) {
  EXPECT_THROW(AmaxHistory{0}, InvalidArgument);
  EXPECT_THROW(AmaxHistory{-3}, InvalidArgument);
  AmaxHistory history(1);
  history.push(2.0);
  for (const double amax : {-1.0, kNaN, kInfinity}) {
    EXPECT_THROW(history.push(amax), InvalidArgument) << amax;
    EXPECT_EQ(history.amax(), 2.0) << amax;
  }
}

TEST(CalibrateModel, CalibratesEachLayerOnItsOwnBatches) {
  const Numbers a(DType::kF32, heavy_tailed_sample(600, 51));
  const Numbers b(DType::kBF16, normal_sample(600, 52));
  const std::vector<LayerActivations> layers{{"second", {b.view(Shape{20, 30})}},
                                             {"first", {a.part(0, 90), a.part(90, 600)}},
                                             {"none", {}}};
  for (const CalibrationOptions& options : all_methods()) {
    const auto specs = calibrate_model(layers, options);
    ASSERT_EQ(specs.size(), layers.size());
    for (std::size_t i = 0; i < layers.size(); ++i) {
      EXPECT_EQ(specs[i].layer_name, layers[i].name);
      expect_same(specs[i].result, calibrate_layer(layers[i].batches, options), layers[i].name);
    }
    expect_same(specs[0].result, calibrate_one(b.view(), options), "one batch");
    expect_same(specs[1].result, calibrate_one(a.view(), options), "two batches");
    EXPECT_EQ(specs[2].result.params.scale, std::vector<double>{1.0});
  }
}

TEST(CalibrateModel, HandsTheGranularityOn) {
  const Numbers x(DType::kF32, heavy_tailed_sample(600, 53));
  const std::vector<LayerActivations> layers{{"layer", {x.view(Shape{20, 30})}}};
  const CalibrationOptions options{.method = CalibMethod::kMse};
  const auto specs = calibrate_model(layers, options, Granularity::channel(1));
  ASSERT_EQ(specs.size(), 1U);
  expect_same(specs[0].result,
              calibrate_one(x.view(Shape{20, 30}), options, Granularity::channel(1)), "channels");
}

TEST(CalibrateModel, RefusesWhatCalibrateRefuses) {
  const Numbers a(DType::kF32, normal_sample(10, 54));
  const Numbers b(DType::kF16, normal_sample(10, 55));
  const std::vector<LayerActivations> layers{{"mixed", {a.view(), b.view()}}};
  EXPECT_THROW(calibrate_model(layers, {}), InvalidArgument);
  EXPECT_THROW(calibrate_layer(layers[0].batches, {.format = Format::kE4M3, .symmetric = false}),
               InvalidArgument);
}

}  // namespace
}  // namespace cuqat::test
