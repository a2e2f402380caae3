// Collectors of several ranks summed through NCCL's interface, of which the executor has a
// stand-in.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "cuqat/nccl.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

/// What a rank has observed, of the first nothing.
std::vector<double> values_of(std::size_t rank) {
  Random random(rank + 1);
  std::vector<double> values(200 * rank);
  for (double& value : values) value = random.normal();
  return values;
}

/// Each rank observes its own values, then all are reduced: each must be what a collector of the
/// host has observed of all together, and go on from there.
void expect_whole(DType dtype, const std::vector<std::vector<double>>& ranks) {
  const DeviceContext& context = device_under_test().context;
  const StreamRef stream = device_under_test().stream;
  simt::NcclGroup group;
  group.num_ranks = ranks.size();
  std::vector<DeviceCalibrationCollector> collectors;
  std::vector<CalibrationCollector> on_host;
  const auto observe = [&](std::size_t rank, const std::vector<double>& values) {
    const DeviceMemory x(to_bytes(dtype, values));
    const Shape shape{static_cast<std::int64_t>(values.size())};
    run_on_device([&] { collectors[rank].observe({x.as<void>(), dtype, shape}, context, stream); });
  };
  for (std::size_t rank = 0; rank < ranks.size(); ++rank) {
    collectors.emplace_back(dtype, context);
    observe(rank, ranks[rank]);
    on_host.push_back(collectors[rank].to_host(context, stream));
  }
  CalibrationCollector whole = on_host[0];
  for (std::size_t rank = 1; rank < ranks.size(); ++rank) whole.merge(on_host[rank]);
  for (DeviceCalibrationCollector& collector : collectors) all_reduce(collector, &group, stream);
  for (const DeviceCalibrationCollector& collector : collectors) {
    EXPECT_EQ(collector.to_host(context, stream).save(), whole.save());
  }

  collectors.emplace_back(dtype, context);
  observe(ranks.size(), {-7.5, 0.25});
  whole.merge(collectors.back().to_host(context, stream));
  observe(0, {-7.5, 0.25});
  EXPECT_EQ(collectors[0].to_host(context, stream).save(), whole.save());
}

TEST(NcclAllReduce, GivesEveryRankTheWhole) {
  for (const DType dtype : {DType::kBF16, DType::kF16, DType::kF32}) {
    std::vector<std::vector<double>> ranks;
    for (std::size_t rank = 0; rank < 4; ++rank) {
      ranks.push_back(values_of(rank));
      SCOPED_TRACE(std::string(to_string(dtype)) + ", ranks: " + std::to_string(ranks.size()));
      expect_whole(dtype, ranks);
    }
  }
}

TEST(NcclAllReduce, TakesTheExtremesOfWhoeverHasThem) {
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

/// What a collector of the host has observed by itself, as the statistics are exact.
TEST(NcclAllReduce, HasTheStatisticsOfAllTheValues) {
  const DeviceContext& context = device_under_test().context;
  const StreamRef stream = device_under_test().stream;
  simt::NcclGroup group;
  group.num_ranks = 2;
  const std::vector<std::vector<double>> ranks = {{1.25, -0.0, std::nan("")}, {-3.5, 2.0}};
  std::vector<DeviceCalibrationCollector> collectors;
  for (const std::vector<double>& values : ranks) {
    const DeviceMemory x(to_bytes(DType::kF32, values));
    const Shape shape{static_cast<std::int64_t>(values.size())};
    collectors.emplace_back(DType::kF32, context);
    run_on_device([&] {
      collectors.back().observe({x.as<void>(), DType::kF32, shape}, context, stream);
    });
  }
  for (DeviceCalibrationCollector& collector : collectors) all_reduce(collector, &group, stream);
  Statistics expected;
  expected.count = 5;
  expected.nan = 1;
  expected.zeros = 1;
  expected.min = -3.5;
  expected.max = 2.0;
  for (const DeviceCalibrationCollector& collector : collectors) {
    EXPECT_EQ(collector.to_host(context, stream).statistics(), expected);
  }
}

TEST(NcclAllReduce, SaysWhatNcclSaysAndLeavesNoGroupOpen) {
  const DeviceContext& context = device_under_test().context;
  const StreamRef stream = device_under_test().stream;
  for (const DType dtype : {DType::kF16, DType::kF32}) {
    DeviceCalibrationCollector collector(dtype, context);
    try {
      all_reduce(collector, nullptr, stream);
      FAIL() << "no error";
    } catch (const Error& error) {
      EXPECT_STREQ(error.what(), "ncclAllReduce: invalid argument");
    }
    EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage) << "a group is open";
  }
  expect_whole(DType::kF32, {{1.0}, {2.0}});
}

/// NCCL itself would not notice.
TEST(NcclAllReduce, SaysWhatNcclSaysOfTheWholeGroup) {
  const DeviceContext& context = device_under_test().context;
  const StreamRef stream = device_under_test().stream;
  simt::NcclGroup group;
  group.num_ranks = 2;
  DeviceCalibrationCollector f16(DType::kF16, context);
  DeviceCalibrationCollector f32(DType::kF32, context);
  all_reduce(f16, &group, stream);
  try {
    all_reduce(f32, &group, stream);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "ncclGroupEnd: invalid usage");
  }
}

}  // namespace
}  // namespace cuqat::test
