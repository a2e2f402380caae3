// The default streams, of the process and of each thread, are streams like others.
#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_calibration.hpp"
#include "support/device_memory.hpp"

namespace cuqat::test {
namespace {

class DeviceDefaultStreams : public DeviceArguments {
 protected:
  /// Two kernels, the second of which reads what the first wrote, and a collector.
  void expect_ones_on(cudaStream_t default_stream) {
    const StreamRef on(default_stream);
    DeviceCalibrationCollector collector(DType::kF32, context());
    const DeviceMemory z(kCount * sizeof(float));
    const DeviceTensorView twice(z.as<void>(), DType::kF32, Shape{kCount});
    fake_quantize(x(), params(), y(), extras(), context(), on);
    fake_quantize(y(), params(), twice, {}, context(), on);
    collector.observe(twice, context(), on);
    const Statistics counted = collector.to_host(context(), on).statistics();
    EXPECT_EQ(counted.count, kCount);
    EXPECT_EQ(counted.min, 1.0);
    EXPECT_EQ(counted.max, 1.0);
    ASSERT_EQ(cudaStreamSynchronize(default_stream), cudaSuccess) << device_fault();
    EXPECT_EQ(z.content<float>(), std::vector<float>(kCount, 1.0f));
  }
};

TEST_F(DeviceDefaultStreams, OfTheProcess) { expect_ones_on(cudaStreamLegacy); }

TEST_F(DeviceDefaultStreams, OfEachThread) {
  expect_ones_on(cudaStreamPerThread);
  std::thread([&] { expect_ones_on(cudaStreamPerThread); }).join();
}

}  // namespace
}  // namespace cuqat::test
