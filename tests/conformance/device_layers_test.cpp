// Layers of f32 in device memory: the host's answers and costs, whatever batches they come in.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <deque>
#include <iostream>
#include <string>
#include <vector>

#include "conformance/calibration_samples.hpp"
#include "conformance/device_arguments.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

struct Layer {
  std::string name;
  std::vector<std::vector<float>> batches;
};

std::vector<float> cut(const std::vector<float>& x, std::size_t begin, std::size_t end) {
  return {x.begin() + static_cast<std::ptrdiff_t>(begin),
          x.begin() + static_cast<std::ptrdiff_t>(end)};
}

std::vector<Layer> layers() {
  const auto floats = [](const std::vector<double>& values) {
    return std::vector<float>(values.begin(), values.end());
  };
  std::vector<float> x = floats(normal(70'001, 41, 2.0));
  for (std::size_t i = 0; i < x.size(); i += 3) x[i] = std::max(x[i], 0.0f);
  for (std::size_t i = 11; i < x.size(); i += 997) x[i] *= 30.0f;
  x[17] = std::nanf("");
  x[69'000] = -HUGE_VALF;
  x[5] = -0.0f;
  std::vector<float> tiny = floats(normal(65'537, 42, 0x1p-130));
  std::vector<float> negative = x;
  for (float& value : negative) value = -std::abs(value) - 1e-3f;
  return {{"in three", {cut(x, 0, 40'000), {}, cut(x, 40'000, 40'001), cut(x, 40'001, 70'001)}},
          {"tiny", {tiny}},
          {"negative", {negative}},
          {"few", {cut(x, 0, 100), cut(x, 100, 137)}},
          {"many zeros", {std::vector<float>(40'000), std::vector<float>(30'000, -0.0f)}},
          {"nothing finite", {std::vector<float>(65'537, std::nanf(""))}},
          {"nothing", {{}}}};
}

TEST(DeviceLayers, OfF32HaveTheHostsAnswersAndCosts) {
  constexpr int kStride = kThreadSanitized ? 43 : kSanitized ? 17 : 3;
  std::cout << "[ sample   ] one of " << kStride << " methods of the layers\n";
  const DeviceContext& context = device_under_test().context;
  const StreamRef stream = device_under_test().stream;
  std::vector<CalibrationOptions> methods = calibration_methods();
  methods.push_back({.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOriginal});
  int number = 0;
  for (const Layer& layer : layers()) {
    std::vector<ConstTensorView> on_host;
    std::deque<DeviceMemory> memory;
    std::vector<ConstDeviceTensorView> on_device;
    for (const std::vector<float>& batch : layer.batches) {
      const Shape shape{static_cast<std::int64_t>(batch.size())};
      on_host.emplace_back(batch.data(), shape);
      on_device.emplace_back(memory.emplace_back(batch).as<float>(), shape);
    }
    for (const CalibrationOptions& method : methods) {
      if (number++ % kStride != 0) continue;
      set_device_order(number % num_device_orders());
      const std::string what = layer.name + ", " + describe(method);
      const CalibrationResult expected =
          calibrate_layer(on_host, method, {}, {Backend::named("reference"), 1});
      const CalibrationResult found = calibrate_layer(on_device, method, context, stream);
      ASSERT_EQ(device_fault(), "") << what;
      EXPECT_EQ(found.params.scale, expected.params.scale) << what;
      EXPECT_EQ(found.params.zero_point, expected.params.zero_point) << what;
      EXPECT_EQ(found.low, expected.low) << what;
      EXPECT_EQ(found.high, expected.high) << what;
      EXPECT_EQ(found.exact, expected.exact) << what;
      EXPECT_EQ(found.clipped, expected.clipped) << what;
      EXPECT_EQ(found.mse, expected.mse) << what;
      EXPECT_EQ(found.sqnr_db, expected.sqnr_db) << what;
    }
  }
}

TEST(DeviceLayers, OfF32RefuseWhatDoesNotFit) {
  const DeviceContext& context = device_under_test().context;
  const StreamRef stream = device_under_test().stream;
  const DeviceMemory x(std::vector<float>(16, 2.0f));
  const std::vector<float> on_host(16);
  const ConstDeviceTensorView view(x.as<float>(), Shape{16});
  const auto calibrate = [&](const std::vector<ConstDeviceTensorView>& batches,
                             const CalibrationOptions& method) {
    static_cast<void>(calibrate_layer(batches, method, context, stream));
  };
  expect_invalid(
      [&] {
        calibrate({view, {x.as<void>(), DType::kBF16, Shape{16}}}, {});
      },
      {"batch.dtype()", "BF16", "F32"});
  expect_invalid([&] { calibrate({{x.as<void>(), DType::kF64, Shape{8}}}, {}); }, {"F64"});
  expect_invalid(
      [&] {
        calibrate({view, {on_host.data(), Shape{16}}}, {});
      },
      {"batch is ", "device memory"});
  expect_invalid([&] { calibrate({view}, {.percentile = 101.0}); }, {"percentile is 101"});
  EXPECT_EQ(calibrate_layer(std::vector{view}, {}, context, stream).params.scale,
            std::vector<double>{2.0f / 127.0f});
}

}  // namespace
}  // namespace cuqat::test
