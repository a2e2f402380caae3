// The ends of processes: contexts and what owns device memory may live in statics, and the child of
// a fork, which has nothing of the device, may end as it likes.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_fake_quant_batch.hpp"
#include "cuqat/device_streamer.hpp"

namespace cuqat::test {
namespace {

class DeviceProcess : public DeviceArguments {};

/// Everything that owns something of the device, with work behind it.
struct Owners {
  explicit Owners(const FakeQuantizeItem& item)
      : batch(std::span(&item, 1), context),
        collector(DType::kBF16, context),
        streamer(context, {.buffer_bytes = 512}) {}

  DeviceContext context;
  FakeQuantizeBatch batch;
  DeviceCalibrationCollector collector;
  DeviceStreamer streamer;
};

TEST_F(DeviceProcess, MayExitWithEverythingAlive) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // a process of its own, no fork
  const FakeQuantizeItem item{x(), params(), y(), {}};
  EXPECT_EXIT(
      {
        static Owners owners(item);
        owners.batch.run(owners.context, stream());
        owners.collector.observe({x_, DType::kBF16, Shape{kCount}}, owners.context, stream());
        const std::vector<std::uint16_t> on_host(kCount);
        static_cast<void>(owners.streamer.collect({on_host.data(), DType::kBF16, Shape{kCount}}));
        std::exit(0);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(DeviceProcess, OfAForkIsRefusedAndMayExit) {
  const FakeQuantizeItem item{x(), params(), y(), {}};
  auto owners = std::make_unique<Owners>(item);
  const pid_t child = fork();
  if (child == 0) {
    bool refused = false;
    try {
      fake_quantize(x(), params(), y(), {}, context(), stream());
    } catch (const CudaError&) {
      refused = true;
    }
    owners.reset();
    _exit(refused ? 0 : 1);
  }
  ASSERT_GT(child, 0);
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status)) << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
  // The parent's are as they were.
  owners->batch.run(owners->context, stream());
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  const std::vector<float> ones(kCount, 1.0f);
  std::vector<float> y(kCount);
  EXPECT_EQ(cudaMemcpy(y.data(), y_, kCount * sizeof(float), cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(y, ones);
}

}  // namespace
}  // namespace cuqat::test
