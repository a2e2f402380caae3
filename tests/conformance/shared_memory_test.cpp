// Kernels that take as much shared memory as there is, on devices that have less of it than sm_90.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "conformance/calibration_samples.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_histogram.hpp"
#include "simt/executor.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"

namespace cuqat::test {
namespace {

/// sm_75; sm_86, 89 and 120; sm_80; sm_90 and 100.
class SharedMemory : public testing::TestWithParam<std::size_t> {
 protected:
  SharedMemory() {
    set_device_order(0);
    simt::set_max_shared_bytes(GetParam() << 10);
  }
  ~SharedMemory() override { simt::set_max_shared_bytes(std::size_t{227} << 10); }
};

TEST_P(SharedMemory, OfThisSizeIsEnoughToCountKeys) {
  const DeviceContext context;
  const cudaStream_t stream = device_under_test().stream;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kBF16}) {
    std::vector<double> values = normal(5'003, 51, 3.0);
    for (std::size_t i = 0; i < values.size(); i += 9) values[i] *= 1e-4;
    const Bytes x = to_bytes(dtype, values);
    const Shape shape{static_cast<std::int64_t>(values.size())};
    std::vector<std::uint64_t> expected(kNumKeys);
    accumulate_key_histogram({x.data(), dtype, shape}, std::span<std::uint64_t, kNumKeys>(expected),
                             {Backend::named("reference"), 1});
    const DeviceMemory device_x(x);
    const DeviceMemory counts{std::vector<std::uint64_t>(kNumKeys)};
    const DeviceMemory y(x.size());
    const DeviceMemory scale(std::vector<float>{0.02f});
    DeviceQuantParams params;
    params.scale = {scale.as<void>(), DType::kF32, Shape{1}};
    DeviceCalibrationCollector collector(dtype, context);
    accumulate_key_histogram({device_x.as<void>(), dtype, shape}, counts.span<std::uint64_t>(),
                             context, stream);
    collector.observe_and_fake_quantize({device_x.as<void>(), dtype, shape}, params,
                                        {y.as<void>(), dtype, shape}, {}, context, stream);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess) << device_fault();
    EXPECT_EQ(counts.content<std::uint64_t>(), expected) << to_string(dtype);
    std::vector<std::uint64_t> observed(kNumKeys);
    ASSERT_EQ(cudaMemcpy(observed.data(), collector.counts().data(),
                         kNumKeys * sizeof(std::uint64_t), cudaMemcpyDeviceToHost),
              cudaSuccess);
    EXPECT_EQ(observed, expected) << to_string(dtype);
  }
}

INSTANTIATE_TEST_SUITE_P(KiB, SharedMemory, testing::Values(64, 99, 163, 227),
                         [](const auto& size) { return std::to_string(size.param); });

}  // namespace
}  // namespace cuqat::test
