// Calls of the CUDA runtime that fail, which only the executor can be told to do.
#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "conformance/device_reduction_fixture.hpp"
#include "simt/executor.hpp"

namespace cuqat::test {
namespace {

class DeviceFailures : public DeviceArguments {};

TEST_F(DeviceFailures, EveryFailingCallIsACudaErrorAndTheContextStillWorks) {
  // Queries cannot fail here: the only call is the launch.
  for (int n = 1;; ++n) {
    simt::fail_call(n);
    try {
      fake_quantize(x(), params(), y(), extras(), context(), stream());
    } catch (const CudaError& error) {
      EXPECT_NE(std::string(error.what()).find("cuqat::fake_quantize: "), std::string::npos)
          << error.what();
      EXPECT_NE(error.code(), 0);
    }
    if (simt::failure_pending()) {
      ASSERT_GT(n, 1);
      break;
    }
    ASSERT_LT(n, 50);
  }
  simt::reset();
  fake_quantize(x(), params(), y(), extras(), context(), stream());
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
}

TEST_F(DeviceFailures, AContextThatCannotBeMadeLeavesNothing) {
  const std::size_t before = simt::leaked_allocations();
  for (int n = 1; n <= 3; ++n) {  // the allocation, clearing it, waiting for that
    simt::fail_call(n);
    EXPECT_THROW(DeviceContext(), Error) << n;
    EXPECT_EQ(simt::leaked_allocations(), before);
    simt::reset();
  }
}

using DeviceReductionFailures = DeviceReductionFixture;

TEST_F(DeviceReductionFailures, EveryFailingCallIsACudaErrorAndTheContextStillWorks) {
  run_learned();
  run_statistics();
  wait();
  const std::vector<float> expected = dscale_.content<float>();
  const std::vector<std::byte> expected_statistics = statistics_.content<std::byte>();
  for (const bool learned : {true, false}) {
    for (int n = 1; n <= 2; ++n) {
      simt::fail_call(n);
      EXPECT_THROW(learned ? run_learned() : run_statistics(), CudaError) << n;
      EXPECT_FALSE(simt::failure_pending());
    }
  }
  simt::reset();
  run_learned();
  run_statistics();
  wait();
  EXPECT_EQ(dscale_.content<float>(), expected);
  EXPECT_EQ(statistics_.content<std::byte>(), expected_statistics);
}

}  // namespace
}  // namespace cuqat::test
