// Calibration of channels and groups on the device: the host's scales and zero points bit for bit.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iostream>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

struct Sample {
  std::string name;
  Shape shape;
  Granularity granularity;
  std::vector<double> values;
};

/// Channels of different spread and sign, with what is not finite here and there.
std::vector<double> varied(std::int64_t count, std::uint64_t seed, std::int64_t period) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto channel = static_cast<std::int64_t>(i) / 7 % period;
    values[i] = random.normal() * std::exp2(static_cast<double>(channel % 9 - 4));
    if (channel % 4 == 3) values[i] = std::abs(values[i]);
    if (channel % 5 == 4) values[i] = std::max(values[i], 0.0);
    if (random() % 61 == 0) values[i] *= 20.0;
    if (random() % 53 == 0) values[i] = random() % 2 == 0 ? 0.0 : -0.0;
    if (random() % 97 == 0) {
      values[i] = random() % 2 == 0 ? std::nan("") : -std::numeric_limits<double>::infinity();
    }
  }
  return values;
}

std::vector<Sample> samples() {
  const auto make = [](std::string name, Shape shape, Granularity granularity) {
    return Sample{std::move(name), shape, granularity, varied(shape.count(), shape.count(), 11)};
  };
  std::vector<Sample> all = {
      make("rows", Shape{3, 700}, Granularity::channel(0)),
      make("columns", Shape{400, 3}, Granularity::channel(-1)),
      make("middle axis", Shape{5, 2, 60}, Granularity::channel(1)),
      make("groups with a rest", Shape{2, 100}, Granularity::group(64)),
      make("one channel", Shape{1, 300}, Granularity::channel(0)),
      make("tensor", Shape{1100}, Granularity::tensor()),
      make("many channels", Shape{12, 16}, Granularity::channel(0)),
      make("channels of nothing", Shape{3, 0}, Granularity::channel(0)),
      make("no channels", Shape{0, 4}, Granularity::channel(0)),
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  all.push_back({"constants, zeros, nothing finite",
                 Shape{5, 4},
                 Granularity::channel(0),
                 {0.37,         0.37,      0.37,       0.37,          //
                  0.0,          -0.0,      0.0,        -0.0,          //
                  std::nan(""), kInfinity, -kInfinity, std::nan(""),  //
                  -1.0,         3.0,       3.0,        -1.0,          //
                  std::nan(""), 6e-8,      -2.5,       0.0}});
  return all;
}

/// In an order in which neighbours differ: a sample of them has every method.
std::vector<CalibrationOptions> methods() {
  std::vector<CalibrationOptions> all;
  for (const CalibMethod method : {CalibMethod::kMse, CalibMethod::kEntropy, CalibMethod::kSqnr,
                                   CalibMethod::kPercentile, CalibMethod::kMinMax}) {
    for (const bool symmetric : {true, false}) {
      for (const Format format : {Format::kInt8, Format::kInt4, Format::kE4M3, Format::kE5M2}) {
        if (!symmetric && !is_integer(format)) continue;
        all.push_back(
            {.method = method, .percentile = 99.0, .format = format, .symmetric = symmetric});
      }
    }
  }
  all.push_back({.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOnnxRuntime});
  all.push_back({.method = CalibMethod::kMse, .rounding = Rounding::kOriginal});
  return all;
}

std::string describe(const CalibrationOptions& options) {
  return std::string(to_string(options.method)) + " " + std::string(to_string(options.dialect)) +
         " " + std::string(to_string(options.format)) +
         (options.symmetric ? " symmetric" : " affine");
}

const DeviceContext& context() { return device_under_test().context; }
StreamRef stream() { return device_under_test().stream; }

DeviceContext context_of(std::size_t workspace_bytes, int num_multiprocessors = 0) {
  DeviceContext::Options options;
  options.workspace_bytes = workspace_bytes;
  options.num_multiprocessors = num_multiprocessors;
  return DeviceContext(options);
}

CalibrationResult expected_of(DType dtype, const Sample& sample, const CalibrationOptions& method) {
  const Bytes x = to_bytes(dtype, sample.values);
  return calibrate_layer(std::vector{ConstTensorView(x.data(), dtype, sample.shape)}, method,
                         sample.granularity, {Backend::named("reference"), 1});
}

/// What is found, where so many scales are searched at once and x begins so many bytes past an
/// aligned address.
void expect_answer(DType dtype, const Sample& sample, const CalibrationOptions& method,
                   std::int64_t at_once, std::size_t offset) {
  const CalibrationResult expected = expected_of(dtype, sample, method);
  const std::size_t num_scales = expected.params.scale.size();
  // Scales as many as multiprocessors are sorted as segments.
  constexpr int kFew = 3;
  const DeviceContext own_context =
      context_of(calibration_workspace_bytes(dtype, sample.shape, sample.granularity, method,
                                             at_once, context_of(0, kFew)),
                 kFew);
  Bytes elements(offset);
  const Bytes own = to_bytes(dtype, sample.values);
  elements.insert(elements.end(), own.begin(), own.end());
  const DeviceMemory x(elements);
  const DeviceMemory scale(std::vector<float>(num_scales, -1.0f));
  const DeviceMemory zero_point(std::vector<std::int32_t>(num_scales, -77));
  run_on_device([&] {
    calibrate_scales({x.as() + offset, dtype, sample.shape}, sample.granularity, method,
                     {{scale.as<void>(), DType::kF32, Shape{static_cast<std::int64_t>(num_scales)}},
                      zero_point.span<std::int32_t>()},
                     own_context, stream());
  });
  const std::string what =
      sample.name + ", " + describe(method) + ", at once " + std::to_string(at_once);
  ASSERT_EQ(device_fault(), "") << what;
  const std::vector<float> found = scale.content<float>();
  EXPECT_EQ(std::vector<double>(found.begin(), found.end()), expected.params.scale) << what;
  EXPECT_EQ(zero_point.content<std::int32_t>(), expected.params.zero_point) << what;
}

class DeviceCalibrateScales : public testing::TestWithParam<DType> {};
class DeviceCalibrateLongScales : public testing::Test {};

TEST_P(DeviceCalibrateScales, GivesTheHostsScalesForEveryGranularity) {
  constexpr std::size_t kStride = kThreadSanitized ? 150 : kSanitized ? 17 : 5;
  std::cout << "[ sample   ] one of " << kStride << " methods of the samples\n";
  std::size_t number = 40 * static_cast<std::size_t>(GetParam());  // other methods for each type
  for (const Sample& sample : samples()) {
    for (const CalibrationOptions& method : methods()) {
      // ONNX Runtime's windows take ThreadSanitizer more than a minute.
      const bool is_slow = method.dialect == EntropyDialect::kOnnxRuntime && kThreadSanitized;
      if (number++ % kStride != 0 || is_slow) continue;
      set_device_order(static_cast<int>(number) % num_device_orders());
      expect_answer(GetParam(), sample, method,
                    number % 3 == 0   ? 1
                    : number % 3 == 1 ? 2
                                      : 1000,
                    number % 4 == 1 ? 1 : 0);
    }
  }
}

/// Scales of f32 that are searched on bins: where they lie together, where they do not, and where
/// the leading bits of f32 end.
TEST_F(DeviceCalibrateLongScales, GivesTheHostsScales) {
  constexpr std::size_t kStride = kThreadSanitized ? 13 : kSanitized ? 5 : 1;
  std::cout << "[ sample   ] one of " << kStride << " cases\n";
  std::vector<double> tiny = varied(66'000, 3, 5);
  for (double& value : tiny) value *= 0x1p-120;
  std::vector<double> few(70'000, std::nan(""));
  few[5] = 1.5;
  few[69'999] = -0.25;
  std::vector<double> positive = varied(65'537, 4, 3);
  for (double& value : positive) value = std::abs(value) + 0.5;
  const Sample all[] = {
      {"tensor", Shape{70'001}, {}, varied(70'001, 1, 5)},
      {"rows", Shape{2, 66'000}, Granularity::channel(0), varied(132'000, 2, 66'000)},
      {"columns", Shape{65'600, 2}, Granularity::channel(1), varied(131'200, 3, 2)},
      {"tiny", Shape{66'000}, {}, tiny},
      {"few that are finite", Shape{70'000}, {}, few},
      {"positive", Shape{65'537}, {}, positive},
      {"zeros", Shape{65'537}, {}, std::vector<double>(65'537)},
  };
  const CalibrationOptions options[] = {
      {.method = CalibMethod::kMse},
      {.method = CalibMethod::kMse, .symmetric = false},
      {.method = CalibMethod::kSqnr, .format = Format::kInt4},
      {.method = CalibMethod::kSqnr, .format = Format::kInt4, .symmetric = false},
      {.method = CalibMethod::kMse, .format = Format::kE4M3},
      {.method = CalibMethod::kSqnr, .format = Format::kE5M2},
      {.method = CalibMethod::kEntropy},
      {.method = CalibMethod::kEntropy, .format = Format::kInt4, .symmetric = false},
      {.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOnnxRuntime},
      {.method = CalibMethod::kMinMax, .symmetric = false},
      {.method = CalibMethod::kPercentile, .percentile = 99.9, .symmetric = false},
  };
  std::size_t number = 0;
  for (const Sample& sample : all) {
    for (const CalibrationOptions& method : options) {
      // ONNX Runtime's windows take the executor long.
      const bool is_slow = method.dialect == EntropyDialect::kOnnxRuntime && number > 20;
      if (number++ % kStride != 0 || is_slow) continue;
      set_device_order(static_cast<int>(number) % num_device_orders());
      expect_answer(DType::kF32, sample, method, number % 2 == 0 ? 1 : 2, number % 3);
    }
  }
}

/// Answers stay where they are: a graph finds those of what x holds when it runs.
TEST_F(DeviceCalibrateLongScales, AreCapturedInAGraph) {
  for (const std::int64_t length : {500, 66'000}) {
    const Shape shape{2, length};
    const Granularity rows = Granularity::channel(0);
    const CalibrationOptions method{.method = CalibMethod::kEntropy};
    const Sample sample{"", shape, rows, varied(2 * length, 8, 3)};
    const Bytes x = to_bytes(DType::kF32, sample.values);
    const DeviceMemory device_x(std::vector<float>(static_cast<std::size_t>(2 * length)));
    const DeviceMemory scale(std::vector<float>(2, -1.0f));
    const DeviceContext own_context =
        context_of(calibration_workspace_bytes(DType::kF32, shape, rows, method, 2, context()));
    set_device_order(0);
    const CapturedGraph graph(
        [&] {
          calibrate_scales({device_x.as<void>(), DType::kF32, shape}, rows, method,
                           {{scale.as<void>(), DType::kF32, Shape{2}}, {}}, own_context, stream());
        },
        device_under_test().stream);
    ASSERT_EQ(cudaMemcpy(device_x.as<void>(), x.data(), x.size(), cudaMemcpyHostToDevice),
              cudaSuccess);
    ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
    graph.run();
    const std::vector<float> found = scale.content<float>();
    EXPECT_EQ(std::vector<double>(found.begin(), found.end()),
              expected_of(DType::kF32, sample, method).params.scale);
  }
}

TEST_F(DeviceCalibrateLongScales, RefuseWhatDoesNotFitAndStillWork) {
  set_device_order(0);
  static_cast<void>(context());  // what it allocates is not enqueued by a call
  const DeviceMemory x(std::vector<float>(64, 2.0f));
  const DeviceMemory scale(std::vector<float>(4));
  const DeviceScales scales{{scale.as<void>(), DType::kF32, Shape{4}}, {}};
  const Shape shape{4, 16};
  const Granularity rows = Granularity::channel(0);
  const auto calibrate = [&](ConstDeviceTensorView of, const Granularity& granularity,
                             const CalibrationOptions& method, const DeviceScales& to) {
    calibrate_scales(of, granularity, method, to, context(), stream());
  };
  const ConstDeviceTensorView view(x.as<void>(), DType::kF32, shape);
  expect_refused(
      [&] {
        calibrate({x.as<void>(), DType::kF64, Shape{4, 8}}, rows, {}, scales);
      },
      {"x.dtype() is F64"});
  expect_refused([&] { calibrate(view, rows, {.percentile = -1.0}, scales); },
                 {"percentile is -1"});
  expect_refused(
      [&] { calibrate(view, rows, {.format = Format::kE5M2, .symmetric = false}, scales); },
      {"symmetric is false"});
  expect_refused(
      [&] {
        calibrate(view, rows,
                  {.method = CalibMethod::kEntropy, .dialect = EntropyDialect::kOriginal}, scales);
      },
      {"method.dialect is original", "host"});
  expect_refused([&] { calibrate(view, Granularity::channel(2), {}, scales); }, {"axis"});
  expect_refused([&] { calibrate(view, rows, {.symmetric = false}, scales); },
                 {"scales.zero_point.size()"});
  expect_refused([&] { calibrate(view, Granularity::channel(1), {}, scales); }, {"scales.scale"});
  expect_refused(
      [&] {
        calibrate(view, rows, {}, {{x.as<void>(), DType::kF32, Shape{4}}, {}});
      },
      {"scales.scale is ", "x"});
  const Shape long_row{1, 70'000};
  expect_invalid(
      [&] {
        static_cast<void>(
            calibration_workspace_bytes(DType::kF32, long_row, Granularity::group(65'537),
                                        {.method = CalibMethod::kSqnr}, 1, context()));
      },
      {"granularity.group_size is 65537", "65536", "sqnr"});
  EXPECT_GT(calibration_workspace_bytes(DType::kF32, long_row, Granularity::group(65'537), {}, 1,
                                        context()),
            0u);
  expect_invalid(
      [&] {
        static_cast<void>(calibration_workspace_bytes(DType::kF64, shape, rows, {}, 1, context()));
      },
      {"dtype is F64"});
  expect_invalid(
      [&] {
        static_cast<void>(calibration_workspace_bytes(DType::kF32, shape, rows, {}, 0, context()));
      },
      {"scales_at_once is 0"});
  const CalibrationOptions mse{.method = CalibMethod::kMse};
  const std::size_t needed =
      calibration_workspace_bytes(DType::kF32, shape, rows, mse, 1, context());
  EXPECT_LT(needed, calibration_workspace_bytes(DType::kF32, shape, rows, mse, 2, context()));
  EXPECT_EQ(calibration_workspace_bytes(DType::kF32, shape, rows, mse, 4, context()),
            calibration_workspace_bytes(DType::kF32, shape, rows, mse, 1 << 20, context()));
  const DeviceContext small = context_of(needed - 1);
  expect_refused([&] { calibrate_scales(view, rows, mse, scales, small, stream()); },
                 {"context.workspace_bytes()", std::to_string(needed)});

  run_on_device([&] { calibrate(view, rows, {}, scales); });
  EXPECT_EQ(scale.content<float>(), std::vector<float>(4, 2.0f / 127.0f));
}

INSTANTIATE_TEST_SUITE_P(Types, DeviceCalibrateScales,
                         testing::Values(DType::kF32, DType::kF16, DType::kBF16),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
