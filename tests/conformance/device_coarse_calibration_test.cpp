// The device's collector of f32, which keeps the upper halves of the patterns: the answers of a
// host's collector that has coarsened its values.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <iostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "conformance/calibration_samples.hpp"
#include "conformance/device_arguments.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/statistics.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

std::vector<float> as_floats(const std::vector<double>& values) {
  return {values.begin(), values.end()};
}

/// By the reference backend.
CalibrationCollector coarse_collector(const std::vector<float>& x) {
  const HostOptions reference{Backend::named("reference"), 1};
  std::vector<std::uint64_t> counts(kNumKeys);
  const std::span<std::uint64_t, kNumKeys> keys(counts);
  accumulate_key_histogram(x, keys, reference);
  return CalibrationCollector::of_f32_key_histogram(keys, statistics(x, reference));
}

class DeviceCoarseCalibration : public testing::Test {
 protected:
  static const DeviceContext& context() { return device_under_test().context; }
  static StreamRef stream() { return device_under_test().stream; }
  [[nodiscard]] DeviceScales scales() const {
    return {{scale_.as<void>(), DType::kF32, Shape{1}}, {zero_point_.as<std::int32_t>(), 1}};
  }
  static ConstDeviceTensorView view(const DeviceMemory& memory) {
    return {memory.as<void>(), DType::kF32,
            Shape{static_cast<std::int64_t>(memory.size_bytes() / sizeof(float))}};
  }

  DeviceMemory scale_{std::vector<float>{-1.0f}};
  DeviceMemory zero_point_{std::vector<std::int32_t>{-77}};
};

/// Samples that are searched as they are, and some whose elements are too many for that.
std::vector<CalibrationSample> coarse_samples() {
  std::vector<CalibrationSample> all = calibration_samples();
  all.push_back({"many", normal(66'000, 11, 3.0)});
  std::vector<double> skewed = normal(65'537, 12, 1.0);
  for (double& value : skewed) value = std::exp(2.0 * value) - 0.5;
  all.push_back({"many, skewed", skewed});
  std::vector<double> tiny = normal(66'000, 13, 0x1p-135);
  for (std::size_t i = 0; i < tiny.size(); i += 5) tiny[i] = 0.0;
  all.push_back({"many, tiny", tiny});
  std::vector<double> least = normal(400, 14, 0x1p-136);  // its keys are those of zeros
  for (double& value : least) value = -std::abs(value) - 0x1p-140;
  all.push_back({"near zero", least});
  return all;
}

TEST_F(DeviceCoarseCalibration, GivesTheHostsScalesForEveryMethod) {
  constexpr int kStride = kSanitized ? 41 : 3;
  std::cout << "[ sample   ] one of " << kStride << " methods of the samples\n";
  int order = 0;
  int number = 0;
  for (const CalibrationSample& sample : coarse_samples()) {
    const std::vector<float> x = as_floats(sample.values);
    const CalibrationCollector host = coarse_collector(x);
    DeviceCalibrationCollector device(DType::kF32, context());
    const DeviceMemory device_x(x);
    run_on_device([&] { device.observe(view(device_x), context(), stream()); });
    const CalibrationCollector found = device.to_host(context(), stream());
    if (!x.empty()) {
      EXPECT_EQ(found.save(), host.save()) << sample.name;
    }
    EXPECT_FALSE(found.exact());
    for (const CalibrationOptions& method : calibration_methods()) {
      const bool by_windows = method.dialect == EntropyDialect::kOnnxRuntime;
      if (number++ % kStride != 0 || (by_windows && !sample.with_windows)) continue;
      set_device_order(order++ % num_device_orders());
      run_on_device([&] { device.compute(method, scales(), context(), stream()); });
      const std::string what = sample.name + ", " + describe(method);
      ASSERT_EQ(device_fault(), "") << what;
      const CalibrationResult expected = host.compute(method);
      EXPECT_EQ(static_cast<double>(scale_.content<float>()[0]), expected.params.scale[0]) << what;
      EXPECT_EQ(zero_point_.content<std::int32_t>()[0], expected.params.zero_point[0]) << what;
    }
  }
}

TEST_F(DeviceCoarseCalibration, MergesBatchesInAnyCutAndForgetsByReset) {
  std::vector<float> x = as_floats(normal(3000, 9, 2.0));
  x[7] = std::nanf("");
  x[2999] = -HUGE_VALF;
  const DeviceMemory device_x(x);
  const auto part = [&](std::int64_t first, std::int64_t count) {
    return ConstDeviceTensorView(device_x.as<float>() + first, DType::kF32, Shape{count});
  };
  const std::vector<std::byte> whole = coarse_collector(x).save();
  DeviceCalibrationCollector collector(DType::kF32, context());
  DeviceCalibrationCollector other(DType::kF32, context());
  run_on_device([&] {
    collector.observe(part(1700, 1300), context(), stream());
    collector.observe(part(0, 0), context(), stream());
    other.observe(part(0, 1), context(), stream());
    other.observe(part(1, 1699), context(), stream());
    other.merge(collector, context(), stream());
  });
  EXPECT_EQ(other.to_host(context(), stream()).save(), whole);
  run_on_device([&] {
    collector.reset(context(), stream());
    collector.merge(other, context(), stream());
  });
  EXPECT_EQ(collector.to_host(context(), stream()).save(), whole);
  run_on_device([&] { collector.merge(collector, context(), stream()); });
  CalibrationCollector twice = coarse_collector(x);
  twice.merge(coarse_collector(x));
  EXPECT_EQ(collector.to_host(context(), stream()).save(), twice.save());
  run_on_device([&] { collector.reset(context(), stream()); });
  EXPECT_EQ(collector.to_host(context(), stream()).statistics(), Statistics{});
}

TEST_F(DeviceCoarseCalibration, ShowsWhatWhoeverMergesMustReduce) {
  const auto shown = [](const DeviceCalibrationCollector& collector) {
    EXPECT_EQ(collector.statistics().size(), 1);
    Statistics found;
    EXPECT_EQ(
        cudaMemcpy(&found, collector.statistics().data(), sizeof(found), cudaMemcpyDeviceToHost),
        cudaSuccess);
    return found;
  };
  DeviceCalibrationCollector collector(DType::kF32, context());
  EXPECT_EQ(shown(collector), Statistics{});
  const std::vector<float> x = {1.5f, -0.0f, -2.25f, std::nanf(""), 0.0f};
  const DeviceMemory device_x(x);
  run_on_device([&] {
    collector.observe({device_x.as<void>(), DType::kF32, Shape{5}}, context(), stream());
  });
  EXPECT_EQ(shown(collector), (Statistics{5, 1, 0, 0, 2, -2.25, 1.5}));
  run_on_device([&] { collector.reset(context(), stream()); });
  EXPECT_EQ(shown(collector), Statistics{});
  EXPECT_TRUE(DeviceCalibrationCollector(DType::kF16, context()).statistics().empty());
}

TEST_F(DeviceCoarseCalibration, ObservesAndFakeQuantizesAsEachAlone) {
  const std::vector<float> x = as_floats(normal(1001, 21, 2.0));
  const DeviceMemory device_x(x);
  const DeviceMemory y(x.size() * sizeof(float));
  const DeviceMemory mask(clip_mask_bytes(1001));
  const DeviceMemory scale(std::vector<float>{0.01f});
  DeviceQuantParams params;
  params.scale = {scale.as<void>(), DType::kF32, Shape{1}};
  DeviceCalibrationCollector collector(DType::kF32, context());
  run_on_device([&] {
    collector.observe_and_fake_quantize(view(device_x), params,
                                        {y.as<void>(), DType::kF32, Shape{1001}},
                                        mask.span<std::uint8_t>(), context(), stream());
  });
  std::vector<float> expected_y(x.size());
  std::vector<std::uint8_t> expected_mask(clip_mask_bytes(1001));
  QuantParams host_params;
  host_params.scale = {double{0.01f}};
  fake_quantize(std::span<const float>(x), host_params, std::span<float>(expected_y), expected_mask,
                {Backend::named("reference"), 1});
  EXPECT_EQ(y.content<float>(), expected_y);
  EXPECT_EQ(mask.content<std::uint8_t>(), expected_mask);
  EXPECT_EQ(collector.to_host(context(), stream()).save(), coarse_collector(x).save());
}

}  // namespace
}  // namespace cuqat::test
