// Collectors of several ranks summed through NCCL's interface, of which the executor has a
// stand-in.
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iostream>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "conformance/calibration_samples.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/nccl.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

/// What a rank has observed, of the first nothing.
std::vector<double> values_of(std::size_t rank) {
  Random random(rank + 1);
  std::vector<double> values(200 * rank);
  for (double& value : values) value = random.normal();
  return values;
}

std::vector<double> joined(const std::vector<std::vector<double>>& ranks) {
  std::vector<double> all;
  for (const std::vector<double>& values : ranks) {
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

/// One thread: ThreadSanitizer does not see what orders OpenMP's.
const HostOptions kHost{Backend::named("reference"), 1};

/// A collector of the host that has observed them, f32 coarsened.
CalibrationCollector host_collector(DType dtype, const std::vector<double>& values) {
  CalibrationCollector observed(dtype);
  const std::vector<std::byte> x = to_bytes(dtype, values);
  observed.observe({x.data(), dtype, Shape{static_cast<std::int64_t>(values.size())}}, kHost);
  const std::vector<std::uint64_t> none(kNumKeys);
  const std::span<const std::uint64_t, kNumKeys> keys(none);
  CalibrationCollector collector = dtype == DType::kF32
                                       ? CalibrationCollector::of_f32_key_histogram(keys, {})
                                       : CalibrationCollector::of_key_histogram(dtype, keys);
  collector.merge(observed);
  return collector;
}

class NcclAllReduce : public testing::Test {
 protected:
  static const DeviceContext& context() { return device_under_test().context; }
  static StreamRef stream() { return device_under_test().stream; }

  static void observe(DeviceCalibrationCollector& collector, const std::vector<double>& values) {
    const DeviceMemory x(to_bytes(collector.dtype(), values));
    const Shape shape{static_cast<std::int64_t>(values.size())};
    run_on_device([&] {
      collector.observe({x.as<void>(), collector.dtype(), shape}, context(), stream());
    });
  }
  static std::vector<DeviceCalibrationCollector> observed(
      DType dtype, const std::vector<std::vector<double>>& ranks) {
    std::vector<DeviceCalibrationCollector> collectors;
    for (const std::vector<double>& values : ranks) {
      collectors.emplace_back(dtype, context());
      observe(collectors.back(), values);
    }
    return collectors;
  }
  static std::vector<std::byte> saved(const DeviceCalibrationCollector& collector) {
    return collector.to_host(context(), stream()).save();
  }

  static void reduce_all(std::vector<DeviceCalibrationCollector>& collectors) {
    simt::NcclGroup group;
    group.num_ranks = collectors.size();
    reduce_all(collectors, group);
  }
  static void reduce_all(std::vector<DeviceCalibrationCollector>& collectors,
                         simt::NcclGroup& group) {
    for (DeviceCalibrationCollector& collector : collectors) {
      all_reduce(collector, &group, stream());
    }
  }
  static void expect_all_are(const CalibrationCollector& whole,
                             const std::vector<DeviceCalibrationCollector>& collectors) {
    const std::vector<std::byte> expected = whole.save();
    for (const DeviceCalibrationCollector& collector : collectors) {
      EXPECT_TRUE(saved(collector) == expected);
    }
  }

  /// Each rank observes its own values, then all are reduced: each must be what a collector of the
  /// host has observed of all together, and go on from there.
  static void expect_whole(DType dtype, const std::vector<std::vector<double>>& ranks) {
    std::vector<DeviceCalibrationCollector> collectors = observed(dtype, ranks);
    reduce_all(collectors);
    std::vector<double> all = joined(ranks);
    expect_all_are(host_collector(dtype, all), collectors);
    observe(collectors[0], {-7.5, 0.25});
    all.insert(all.end(), {-7.5, 0.25});
    EXPECT_EQ(saved(collectors[0]), host_collector(dtype, all).save());
  }
};

TEST_F(NcclAllReduce, GivesEveryRankTheWhole) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    std::vector<std::vector<double>> ranks;
    for (std::size_t rank = 0; rank < 4; ++rank) {
      ranks.push_back(values_of(rank));
      SCOPED_TRACE(std::string(to_string(dtype)) + ", ranks: " + std::to_string(ranks.size()));
      expect_whole(dtype, ranks);
    }
  }
}

TEST_F(NcclAllReduce, TakesTheExtremesOfWhoeverHasThem) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const double nan = std::nan("");
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    SCOPED_TRACE(std::string(to_string(dtype)));
    expect_whole(dtype, {{}, {}, {}});
    expect_whole(dtype, {{}, {3.0, 5.0}, {}});
    expect_whole(dtype, {{-3.0, -5.0}, {}});
    expect_whole(dtype, {{nan, kInfinity}, {-kInfinity}, {nan}});
    expect_whole(dtype, {{nan, kInfinity}, {2.0}, {-0.0, 0.0}});
    expect_whole(dtype, {{-0.0}, {0.0}, {-0.0, nan}});
    expect_whole(dtype, {{1.5, 1.5}, {1.5}, {1.5, 1.5, 1.5}});
    expect_whole(dtype, {{1e-3, -2e4}, {3e4, -1e-3}});
  }
}

TEST_F(NcclAllReduce, HasTheStatisticsOfAllTheValues) {
  std::vector<DeviceCalibrationCollector> collectors =
      observed(DType::kF32, {{1.25, -0.0, std::nan("")}, {-3.5, 2.0}});
  reduce_all(collectors);
  Statistics expected;
  expected.count = 5;
  expected.nan = 1;
  expected.zeros = 1;
  expected.min = -3.5;
  expected.max = 2.0;
  for (const DeviceCalibrationCollector& collector : collectors) {
    EXPECT_EQ(collector.to_host(context(), stream()).statistics(), expected);
  }
}

/// Each method on one of the ranks, each rank in turn, of which the last has observed nothing.
TEST_F(NcclAllReduce, GivesEveryRankTheHostsScales) {
  const DeviceMemory scale(std::vector<float>{-1.0f});
  const DeviceMemory zero_point(std::vector<std::int32_t>{-77});
  const DeviceScales scales{{scale.as<void>(), DType::kF32, Shape{1}},
                            {zero_point.as<std::int32_t>(), 1}};
  constexpr int kStride = kThreadSanitized ? 307 : kSanitized ? 41 : 7;
  constexpr int kLongStride = kSanitized ? kStride : 29;  // of samples without windows
  std::cout << "[ sample   ] one of " << kStride << " or " << kLongStride << " methods\n";
  int number = 0;
  std::size_t turn = 0;
  for (const CalibrationSample& sample : calibration_samples()) {
    const auto middle =
        sample.values.begin() + static_cast<std::ptrdiff_t>(sample.values.size()) / 3;
    std::vector<DeviceCalibrationCollector> collectors =
        observed(DType::kF32, {{sample.values.begin(), middle}, {middle, sample.values.end()}, {}});
    reduce_all(collectors);
    const CalibrationCollector host = host_collector(DType::kF32, sample.values);
    for (const CalibrationOptions& method : calibration_methods()) {
      const bool by_windows = method.dialect == EntropyDialect::kOnnxRuntime;
      const int stride = sample.with_windows ? kStride : kLongStride;
      if (number++ % stride != 0 || (by_windows && !sample.with_windows)) continue;
      DeviceCalibrationCollector& rank = collectors[turn++ % collectors.size()];
      run_on_device([&] { rank.compute(method, scales, context(), stream()); });
      const std::string what = sample.name + ", " + describe(method);
      ASSERT_EQ(device_fault(), "") << what;
      const CalibrationResult expected = host.compute(method);
      EXPECT_EQ(static_cast<double>(scale.content<float>()[0]), expected.params.scale[0]) << what;
      EXPECT_EQ(zero_point.content<std::int32_t>()[0], expected.params.zero_point[0]) << what;
    }
  }
}

/// Of more values than a collector of the host keeps: it coarsens them by itself.
TEST_F(NcclAllReduce, IsACollectorOfTheHostThatHasObservedTooManyValues) {
  constexpr std::size_t kNumValues = kMaxExactValues + 1000;
  std::vector<std::vector<double>> ranks(2);
  for (std::size_t i = 0; i < kNumValues; ++i) {
    const auto pattern = static_cast<std::uint32_t>(0x30000000 + 701 * i);
    const double value = static_cast<double>(std::bit_cast<float>(pattern));
    ranks[i % 5 / 4].push_back(i % 3 == 0 ? -value : value);
  }
  std::vector<DeviceCalibrationCollector> collectors = observed(DType::kF32, ranks);
  reduce_all(collectors);
  const std::vector<std::byte> x = to_bytes(DType::kF32, joined(ranks));
  CalibrationCollector host(DType::kF32);
  host.observe({x.data(), DType::kF32, Shape{static_cast<std::int64_t>(kNumValues)}}, kHost);
  ASSERT_FALSE(host.exact());
  expect_all_are(host, collectors);
}

TEST_F(NcclAllReduce, IsDoneAtTheEndOfTheCallersGroup) {
  const std::vector<std::vector<double>> ranks = {{1.5, -2.0}, {}, {0.0, 7.0}};
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    simt::NcclGroup group;
    group.num_ranks = ranks.size();
    std::vector<DeviceCalibrationCollector> collectors = observed(dtype, ranks);
    ASSERT_EQ(ncclGroupStart(), ncclSuccess);
    reduce_all(collectors, group);
    EXPECT_EQ(saved(collectors[0]), host_collector(dtype, ranks[0]).save());
    ASSERT_EQ(ncclGroupEnd(), ncclSuccess);
    expect_all_are(host_collector(dtype, joined(ranks)), collectors);
  }
}

/// Which leaves no group open, and after a reset() the collector as any other.
TEST_F(NcclAllReduce, SaysWhichCallHasFailed) {
  const std::vector<std::vector<double>> ranks = {{1.5, -2.0}, {3.0, 0.5}};
  for (const DType dtype : {DType::kBF16, DType::kF32}) {
    const int num_calls = dtype == DType::kF32 ? 6 : 3;
    for (int call = 1; call <= num_calls; ++call) {
      SCOPED_TRACE(std::string(to_string(dtype)) + ", call " + std::to_string(call));
      simt::NcclGroup group;
      group.num_ranks = ranks.size();
      std::vector<DeviceCalibrationCollector> collectors = observed(dtype, ranks);
      simt::nccl_calls_to_failure = call;
      try {
        all_reduce(collectors[0], &group, stream());
        ADD_FAILURE() << "no error";
      } catch (const Error& error) {
        const std::string expected = call == 1           ? "ncclGroupStart"
                                     : call == num_calls ? "ncclGroupEnd"
                                                         : "ncclAllReduce";
        EXPECT_EQ(error.what(), expected + ": internal error");
      }
      EXPECT_EQ(simt::nccl_calls_to_failure, 0);
      EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage) << "a group is open";
      run_on_device([&] { collectors[0].reset(context(), stream()); });
      observe(collectors[0], ranks[0]);
      reduce_all(collectors, group);
      expect_all_are(host_collector(dtype, joined(ranks)), collectors);
    }
  }
}

TEST_F(NcclAllReduce, SaysWhatNcclSaysAndLeavesNoGroupOpen) {
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    DeviceCalibrationCollector collector(dtype, context());
    try {
      all_reduce(collector, nullptr, stream());
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "ncclAllReduce: invalid argument");
    }
    EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage) << "a group is open";
  }
  expect_whole(DType::kF32, {{1.0}, {2.0}});
}

/// NCCL itself would not notice.
TEST_F(NcclAllReduce, SaysWhatNcclSaysOfTheWholeGroup) {
  simt::NcclGroup group;
  group.num_ranks = 2;
  DeviceCalibrationCollector f16(DType::kF16, context());
  DeviceCalibrationCollector f32(DType::kF32, context());
  all_reduce(f16, &group, stream());
  try {
    all_reduce(f32, &group, stream());
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "ncclGroupEnd: invalid usage");
  }
}

}  // namespace
}  // namespace cuqat::test
