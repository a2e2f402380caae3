// Calls of the CUDA runtime that fail, which only the executor can be told to do.
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "conformance/device_functions.hpp"
#include "conformance/device_reduction_fixture.hpp"
#include "conformance/second_device.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_equalization.hpp"
#include "cuqat/device_fake_quant_batch.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/device_percentile.hpp"
#include "cuqat/device_streamer.hpp"
#include "simt/executor.hpp"

namespace cuqat::test {
namespace {

class DeviceFailures : public DeviceArguments {};

/// Or throws CudaError.
bool succeeds(const std::function<void()>& operation) {
  try {
    operation();
    return true;
  } catch (const CudaError&) {
    return false;
  }
}

/// A barrier that not all threads of the block reach.
__global__ void faulty_kernel() {
  if (threadIdx.x < 40) __syncthreads();
}

TEST_F(DeviceFailures, EveryFailingCallIsACudaErrorAndTheContextStillWorks) {
  // Queries cannot fail here: the only call is the launch.
  for (int n = 1;; ++n) {
    simt::fail_call(n);
    try {
      fake_quantize(x(), params(), y(), extras(), context(), stream());
    } catch (const CudaError& error) {
      const std::string message(error.what());
      EXPECT_EQ(message.find("cudaLaunchKernelEx in cuqat::fake_quantize (fake_quant.cpp:"), 0u)
          << message;
      EXPECT_NE(message.find("cudaErrorLaunchOutOfResources (701)"), std::string::npos) << message;
      EXPECT_EQ(error.code(), cudaErrorLaunchOutOfResources);
      EXPECT_FALSE(error.is_sticky());
      EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
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

/// Each call of the runtime that an operation makes fails once; then the operation works.
void expect_each_call_may_fail(const std::function<void()>& operation) {
  const std::size_t leaked = simt::leaked_allocations();
  const std::size_t handles = simt::leaked_handles();
  int n = 1;
  for (;; ++n) {
    simt::fail_call(n);
    // What only ends something may fail unseen.
    if (succeeds(operation) && simt::failure_pending()) break;
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
    EXPECT_EQ(simt::leaked_allocations(), leaked);
    simt::fail_call(0);
    EXPECT_TRUE(succeeds(operation));  // it prepares anew the products that failed
    EXPECT_EQ(simt::leaked_handles(), handles);
    ASSERT_LT(n, 200);
  }
  EXPECT_GT(n, 1);
  simt::fail_call(0);
}

TEST_F(DeviceFailures, EveryCallOfEveryFunctionMayFail) {
  const ArgumentMemory memory;
  DeviceCalibrationCollector collector(DType::kBF16, context());
  for (const Function& function : device_functions(context(), stream(), collector)) {
    SCOPED_TRACE(function.name);
    const Values values = memory.values(function);
    function.call(values);  // the first product allocates: DeviceProducts has what then may fail
    expect_each_call_may_fail([&] { function.call(values); });
  }
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  EXPECT_EQ(simt::fault(), "");
}

/// And of those that own memory, work in groups or return values of the host.
TEST_F(DeviceFailures, EveryCallOfManyOperationsMayFail) {
  const DeviceScales scales{{scale_, DType::kF32, Shape{1}}, {}};
  const DeviceScales of_groups{{scale_, DType::kF32, Shape{8}}, {}};
  auto* const codes = static_cast<std::uint8_t*>(y_);
  const DeviceMemory errors(sizeof(QuantizationError));
  const DeviceMemory ranges(sizeof(Range));
  const std::vector<double> percentiles = {99.0};
  const FakeQuantizeItem item{x(), params(), y(), {}};
  const ConstDeviceTensorView halves(x_, DType::kF16, Shape{kCount});
  const std::vector<std::byte> on_host(2 * kCount);
  const DeviceMemory ones(std::vector<float>(kMaxSearchedElements + 1, 1.0f));
  const std::vector<ConstDeviceTensorView> few = {x()};
  const std::vector<ConstDeviceTensorView> many = {
      {ones.as<float>(), Shape{kMaxSearchedElements + 1}}};
  DeviceCalibrationCollector collector(DType::kF16, context());
  DeviceStreamer streamer(context(), {.buffer_bytes = 512});
  const std::function<void()> all[] = {
      [&] { fake_quantize_dynamic(x(), {}, y(), scales, extras(), context(), stream()); },
      [&] {
        quantize_dynamic(x(), {{}, Granularity::group(128), true}, {codes, kCount},
                         CodeLayout::kBytes, of_groups, context(), stream());
      },
      [&] {
        quantization_error(x(), params(), extras().statistics, errors.span<QuantizationError>(),
                           context(), stream());
      },
      [&] {
        const FakeQuantizeBatch batch(std::span(&item, 1), context());
        batch.run(context(), stream());
      },
      [&] {
        percentile_ranges(x(), OrderBy::kValue, percentiles, ranges.span<Range>(), context(),
                          stream());
      },
      [&] {
        sorted_percentile_ranges(x(), {}, OrderBy::kValue, percentiles, ranges.span<Range>(),
                                 context(), stream());
      },
      [&] {
        calibrate_scales(x(), {}, {.method = CalibMethod::kMse}, scales, context(), stream());
      },
      [&] {
        const ConstDeviceTensorView w(y_, DType::kF32, Shape{2, 40});
        static_cast<void>(
            find_equalization({x_, DType::kF32, Shape{3, 40}}, w,
                              {.weight = {.method = CalibMethod::kPercentile}, .alphas = {0.5}},
                              context(), stream()));
      },
      [&] { static_cast<void>(calibrate_layer(few, {}, context(), stream())); },
      [&] {
        static_cast<void>(
            calibrate_layer(many, {.method = CalibMethod::kPercentile}, context(), stream()));
      },
      [&] { range_scales(ranges.span<const Range>(), {}, true, scales, context(), stream()); },
      [&] { collector.observe(halves, context(), stream()); },
      [&] {
        collector.observe_and_fake_quantize(halves, params(), {y_, DType::kF16, Shape{kCount}}, {},
                                            context(), stream());
      },
      [&] { collector.compute({.method = CalibMethod::kMinMax}, scales, context(), stream()); },
      [&] { static_cast<void>(collector.to_host(context(), stream())); },
      [&] { collector.reset(context(), stream()); },
      [&] {
        static_cast<void>(streamer.collect(
            {static_cast<const void*>(on_host.data()), DType::kF16, Shape{kCount}}));
      }};
  static_cast<void>(collector.to_host(context(), stream()));  // which allocates the first time
  for (const auto& operation : all) {
    SCOPED_TRACE(&operation - all);
    expect_each_call_may_fail(operation);
  }
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  EXPECT_EQ(simt::fault(), "");
}

/// Once for its memory, once for the errors and once for the answer, however many strengths.
TEST_F(DeviceFailures, TheSearchForAnEqualizationWaitsThreeTimes) {
  const ConstDeviceTensorView matrix(x_, DType::kF32, Shape{25, 40});
  for (const EqualizationOptions& options :
       {EqualizationOptions{}, EqualizationOptions{.alphas = {0.5}}}) {
    simt::reset_counters();
    static_cast<void>(find_equalization(matrix, matrix, options, context(), stream()));
    EXPECT_EQ(simt::counters().waits, 3);
    EXPECT_EQ(simt::counters().copies, 2);
  }
}

TEST_F(DeviceFailures, AContextThatCannotBeMadeLeavesNothing) {
  const std::size_t before = simt::leaked_allocations();
  const std::size_t handles_before = simt::leaked_handles();
  for (int n = 1; n <= 4; ++n) {  // the allocation, a stream, clearing, waiting for that
    simt::fail_call(n);
    EXPECT_THROW(DeviceContext(), CudaError) << n;
    EXPECT_EQ(simt::leaked_allocations(), before);
    EXPECT_EQ(simt::leaked_handles(), handles_before);
    EXPECT_FALSE(simt::failure_pending());
    simt::reset();
  }
}

/// A batch and a collector fill device memory in the same way.
TEST_F(DeviceFailures, WhatOwnsDeviceMemoryIsMadeOnAStreamOfItsOwn) {
  const FakeQuantizeItem item{x(), params(), y(), {}};
  const std::function<void()> all[] = {
      [] { const DeviceContext made; },
      [&] { const FakeQuantizeBatch made(std::span(&item, 1), context()); },
      [&] { const DeviceCalibrationCollector made(DType::kBF16, context()); }};
  const std::size_t before = simt::leaked_allocations();
  for (const auto& make : all) {
    // Another thread's blocking stream captures: work on the default stream would break that.
    cudaStream_t capturing = nullptr;
    ASSERT_EQ(cudaStreamCreateWithFlags(&capturing, cudaStreamDefault), cudaSuccess);
    ASSERT_EQ(cudaStreamBeginCapture(capturing, cudaStreamCaptureModeRelaxed), cudaSuccess);
    make();
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(capturing, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(capturing), cudaSuccess);
    EXPECT_EQ(simt::leaked_allocations(), before);
  }
}

/// The message of what the call throws.
template <typename Exception, typename Call>
std::string message_of(const Call& call) {
  try {
    call();
  } catch (const Exception& error) {
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return "";
}

TEST_F(DeviceFailures, AMachineWithoutADeviceIsToldFromAFailure) {
  for (const cudaError_t error : {cudaErrorNoDevice, cudaErrorInsufficientDriver}) {
    simt::set_device_error(error);
    EXPECT_NE(
        message_of<BackendUnavailable>([] { const DeviceContext made; }).find("no CUDA device"),
        std::string::npos);
  }
  simt::set_device_error(cudaErrorMemoryAllocation);
  EXPECT_EQ(message_of<CudaError>([] { const DeviceContext made; }).find("cudaGetDevice in "), 0u);
  simt::reset();
  EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
  EXPECT_NO_THROW(DeviceContext());
}

TEST_F(DeviceFailures, ADeviceWithoutCodeIsFoundWhenTheContextIsMade) {
  simt::set_kernel_error(cudaErrorNoKernelImageForDevice);
  const std::string message = message_of<BackendUnavailable>([] { const DeviceContext made; });
  EXPECT_NE(message.find("no code for CUDA device 0, whose compute capability is 9.0"),
            std::string::npos)
      << message;
  simt::set_kernel_error(cudaErrorECCUncorrectable);
  EXPECT_THROW(DeviceContext(), CudaError);
  simt::reset();
  EXPECT_NO_THROW(DeviceContext());
}

TEST_F(DeviceFailures, AFaultOfEarlierWorkIsSticky) {
  const cudaLaunchConfig_t config{1, 64, 0, device_under_test().stream, nullptr, 0};
  ASSERT_EQ(cudaLaunchKernelEx(&config, faulty_kernel), cudaSuccess);
  for (int i = 0; i < 2; ++i) {
    try {
      fake_quantize(x(), params(), y(), extras(), context(), stream());
      ADD_FAILURE() << "nothing was thrown";
    } catch (const CudaError& error) {
      EXPECT_TRUE(error.is_sticky());
      EXPECT_NE(std::string(error.what()).find("earlier work on the device failed"),
                std::string::npos)
          << error.what();
    }
  }
  simt::reset();
}

TEST_F(DeviceFailures, AContextIsOfOneDevice) {
  const FakeQuantizeItem item{x(), params(), y(), {}};
  const FakeQuantizeBatch batch(std::span(&item, 1), context());
  DeviceCalibrationCollector collector(DType::kF16, context());
  const ConstDeviceTensorView halves(x_, DType::kF16, Shape{kCount});
  const DeviceMemory ranges(std::vector<Range>(1));
  const std::vector<double> percentiles = {99.0};
  const DeviceScales scales{{scale_, DType::kF32, Shape{1}}, {}};
  const std::function<void()> all[] = {
      [&] { fake_quantize(x(), params(), y(), {}, context(), stream()); },
      [&] { statistics(x(), extras().statistics, context(), stream()); },
      [&] { fake_quantize_dynamic(x(), {}, y(), scales, {}, context(), stream()); },
      [&] { batch.run(context(), stream()); },
      [&] { const FakeQuantizeBatch other(std::span(&item, 1), context()); },
      [&] { const DeviceCalibrationCollector other(DType::kF16, context()); },
      [&] { collector.observe(halves, context(), stream()); },
      [&] {
        percentile_ranges(x(), OrderBy::kValue, percentiles, ranges.span<Range>(), context(),
                          stream());
      },
      [&] {
        sorted_percentile_ranges(x(), {}, OrderBy::kValue, percentiles, ranges.span<Range>(),
                                 context(), stream());
      },
      [&] {
        static_cast<void>(sorted_percentile_workspace_bytes(DType::kF32, Shape{9}, {}, context()));
      },
      [&] {
        calibrate_scales(x(), {}, {.method = CalibMethod::kMse}, scales, context(), stream());
      },
      [&] { range_scales(ranges.span<const Range>(), {}, true, scales, context(), stream()); },
      [&] {
        const ConstDeviceTensorView matrix(x_, DType::kF32, Shape{25, 40});
        static_cast<void>(find_equalization(matrix, matrix, {}, context(), stream()));
      },
      [&] { collector.compute({}, scales, context(), stream()); },
      [&] { static_cast<void>(collector.to_host(context(), stream())); }};
  {
    const SecondDevice second;
    for (const auto& call : all) {
      SCOPED_TRACE(&call - all);
      expect_refused(call, {"the current device is 1; it must be the context's, 0"});
    }
    // A context of the second takes neither the first one's memory nor its batch.
    const DeviceContext other;
    EXPECT_EQ(other.device(), 1);
    expect_refused([&] { statistics(x(), extras().statistics, other, stream()); },
                   {"x is on device 0; it must be on the context's device, 1"});
    expect_refused([&] { batch.run(other, stream()); }, {"context.device() is 1", "0"});
    expect_refused([&] { collector.reset(other, stream()); }, {"context.device() is 1", "0"});
    DeviceCalibrationCollector of_second(DType::kF16, other);
    expect_refused([&] { of_second.merge(collector, other, stream()); },
                   {"other is on device 0", "1"});
  }
  for (const auto& call : all) call();
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  EXPECT_EQ(simt::fault(), "");
}

/// Which CUB would take for its own.
TEST_F(DeviceFailures, AnErrorThatTheApplicationLeftIsNotOurs) {
  const DeviceMemory ranges(sizeof(Range));
  const std::vector<double> percentiles = {99.0};
  void* none = nullptr;
  simt::fail_call(1);
  ASSERT_NE(cudaMalloc(&none, 8), cudaSuccess);
  ASSERT_NE(cudaPeekAtLastError(), cudaSuccess);
  EXPECT_NO_THROW(sorted_percentile_ranges(x(), {}, OrderBy::kValue, percentiles,
                                           ranges.span<Range>(), context(), stream()));
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
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
