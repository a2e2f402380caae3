// Collectors of several ranks summed through NCCL's interface, of which the executor has a
// stand-in.
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "cuqat/nccl.hpp"
#include "host/expect_invalid.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

TEST(NcclAllReduce, GivesEveryRankTheWhole) {
  const DeviceContext& context = device_under_test().context;
  const StreamRef stream = device_under_test().stream;
  for (const std::size_t num_ranks : {1u, 2u, 3u, 4u}) {
    simt::NcclGroup group;
    group.num_ranks = num_ranks;
    CalibrationCollector whole(DType::kBF16);
    std::vector<DeviceCalibrationCollector> collectors;
    for (std::size_t rank = 0; rank < num_ranks; ++rank) {
      Random random(rank + 1);
      std::vector<double> values(200 * rank);  // the first rank has seen nothing
      for (double& value : values) value = random.normal();
      const Bytes x = to_bytes(DType::kBF16, values);
      const Shape shape{static_cast<std::int64_t>(values.size())};
      whole.observe({x.data(), DType::kBF16, shape});
      const DeviceMemory device_x(x);
      collectors.emplace_back(DType::kBF16, context);
      run_on_device([&] {
        collectors.back().observe({device_x.as<void>(), DType::kBF16, shape}, context, stream);
      });
    }
    for (DeviceCalibrationCollector& collector : collectors) all_reduce(collector, &group, stream);
    for (const DeviceCalibrationCollector& collector : collectors) {
      EXPECT_EQ(collector.to_host(context, stream).save(), whole.save()) << num_ranks << " ranks";
    }
  }
}

TEST(NcclAllReduce, RefusesF32) {
  simt::NcclGroup group;
  group.num_ranks = 1;
  DeviceCalibrationCollector collector(DType::kF32, device_under_test().context);
  expect_invalid([&] { all_reduce(collector, &group, device_under_test().stream); },
                 {"collector has dtype F32", "F16 or BF16"});
}

TEST(NcclAllReduce, SaysWhatNcclSays) {
  DeviceCalibrationCollector collector(DType::kF16, device_under_test().context);
  try {
    all_reduce(collector, nullptr, device_under_test().stream);
    FAIL() << "no error";
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "ncclAllReduce: invalid argument");
  }
}

}  // namespace
}  // namespace cuqat::test
