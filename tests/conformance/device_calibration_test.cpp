// Calibration on the device: every method gives the host's scale and zero point bit for bit.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

struct Sample {
  std::string name;
  std::vector<double> values;
};

std::vector<double> normal(std::size_t n, std::uint64_t seed, double scale) {
  Random random(seed);
  std::vector<double> values(n);
  for (double& value : values) value = scale * random.normal();
  return values;
}

std::vector<Sample> samples() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::vector<Sample> all;
  all.push_back({"normal", normal(5000, 1, 1.0)});
  std::vector<double> relu = normal(3000, 2, 4.0);
  for (double& value : relu) value = std::max(value, 0.0);
  all.push_back({"relu", relu});
  std::vector<double> negative = normal(999, 3, 1e-3);
  for (double& value : negative) value = -std::abs(value) - 1e-4;
  all.push_back({"negative", negative});
  std::vector<double> tails = normal(4000, 4, 1.0);
  for (std::size_t i = 0; i < tails.size(); i += 97) tails[i] *= 50.0 + static_cast<double>(i % 7);
  all.push_back({"tails", tails});
  std::vector<double> mixed = normal(700, 5, 30.0);
  for (std::size_t i = 0; i < mixed.size(); i += 50) {
    mixed[i] = i % 100 == 0 ? std::nan("") : i % 150 == 0 ? kInfinity : -kInfinity;
  }
  mixed[1] = 0.0;
  mixed[2] = -0.0;
  all.push_back({"mixed", mixed});
  all.push_back({"constant", std::vector<double>(300, 0.37)});
  all.push_back({"two_values", {-1.0, 3.0, 3.0, -1.0, 3.0}});
  all.push_back({"zeros", {0.0, -0.0, 0.0}});
  all.push_back({"nothing_finite", {std::nan(""), kInfinity}});
  all.push_back({"one", {-2.5}});
  all.push_back({"smallest", {6e-8, -6e-8, 1.2e-7, 0.0}});  // subnormal in f16
  all.push_back({"none", {}});
  return all;
}

std::vector<CalibrationOptions> methods() {
  std::vector<CalibrationOptions> all;
  for (const Format format : {Format::kInt8, Format::kInt4, Format::kE4M3, Format::kE5M2}) {
    for (const bool symmetric : {true, false}) {
      if (!symmetric && !is_integer(format)) continue;
      for (const CalibMethod method :
           {CalibMethod::kMinMax, CalibMethod::kEntropy, CalibMethod::kMse, CalibMethod::kSqnr}) {
        all.push_back({.method = method, .format = format, .symmetric = symmetric});
      }
      for (const double percentile : {0.0, 50.0, 99.0, 99.99, 100.0}) {
        all.push_back({.method = CalibMethod::kPercentile,
                       .percentile = percentile,
                       .format = format,
                       .symmetric = symmetric});
      }
    }
  }
  all.push_back({.method = CalibMethod::kMse, .rounding = Rounding::kOriginal});
  return all;
}

std::string describe(const CalibrationOptions& options) {
  return std::string(to_string(options.method)) + " " + std::string(to_string(options.format)) +
         (options.symmetric ? " symmetric " : " affine ") + std::to_string(options.percentile);
}

class DeviceCalibration : public testing::TestWithParam<DType> {
 protected:
  static const DeviceContext& context() { return device_under_test().context; }
  static StreamRef stream() { return device_under_test().stream; }
  [[nodiscard]] DeviceScales scales() const {
    return {{scale_.as<void>(), DType::kF32, Shape{1}}, {zero_point_.as<std::int32_t>(), 1}};
  }
  void expect_answer(const CalibrationResult& expected, const std::string& what) const {
    EXPECT_EQ(static_cast<double>(scale_.content<float>()[0]), expected.params.scale[0]) << what;
    EXPECT_EQ(zero_point_.content<std::int32_t>()[0], expected.params.zero_point[0]) << what;
  }

  DeviceMemory scale_{std::vector<float>{-1.0f}};
  DeviceMemory zero_point_{std::vector<std::int32_t>{-77}};
};

TEST_P(DeviceCalibration, GivesTheHostsScalesForEveryMethod) {
  int order = 0;
  for (const Sample& sample : samples()) {
    const Bytes x = to_bytes(GetParam(), sample.values);
    const auto count = static_cast<std::int64_t>(sample.values.size());
    CalibrationCollector host(GetParam());
    host.observe({x.data(), GetParam(), Shape{count}}, {Backend::named("reference"), 1});
    DeviceCalibrationCollector device(GetParam(), context());
    const DeviceMemory device_x(x);
    run_on_device([&] {
      device.observe({device_x.as<void>(), GetParam(), Shape{count}}, context(), stream());
    });
    for (const CalibrationOptions& method : methods()) {
      set_device_order(order++ % num_device_orders());
      run_on_device([&] { device.compute(method, scales(), context(), stream()); });
      ASSERT_EQ(device_fault(), "");
      expect_answer(host.compute(method), sample.name + ", " + describe(method));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(SixteenBits, DeviceCalibration, testing::Values(DType::kF16, DType::kBF16),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

}  // namespace
}  // namespace cuqat::test
