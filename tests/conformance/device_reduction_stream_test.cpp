// What the reductions per scale do on a stream, and with what only device memory can hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "conformance/device_reduction_fixture.hpp"
#include "support/backends.hpp"

namespace cuqat::test {
namespace {

using DeviceReductionOnAStream = DeviceReductionFixture;

/// The reductions of whole tensors keep a counter in the scratch memory, which stays 0.
TEST_F(DeviceReductionOnAStream, OperationsLeaveTheCounterOfReductionsAlone) {
  const DeviceArray<std::byte> whole(sizeof(Statistics));
  auto* const of_tensor = reinterpret_cast<Statistics*>(whole.get());
  std::vector<std::byte> expected;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(cudaMemsetAsync(whole.get(), 0, sizeof(Statistics), device_under_test().stream),
              cudaSuccess);
    statistics(x(), of_tensor, context(), stream());
    run_learned();
    wait();
    if (i == 0) expected = whole.content();
    EXPECT_EQ(whole.content(), expected);
  }
}

/// dx = dy where the scale is 0, and nothing to add; the other scales are as they were.
TEST_F(DeviceReductionOnAStream, AScaleOfZeroPassesXThrough) {
  for (const Format format : {Format::kInt8, Format::kE4M3}) {
    DeviceQuantParams with_zero = params();
    with_zero.quantizer.format = format;
    DeviceLearnedScaleGradient wanted = gradient();
    if (!is_integer(format)) {
      with_zero.zero_point = {};
      wanted.dzero_point = {};
    }
    const auto run = [&] {
      learned_scale_backward(dy(), x(), with_zero, dx(), wanted, {}, context(), stream());
      wait();
    };
    run();
    const std::vector<float> before = dscale_.content();
    const DeviceArray<float> zero_in_the_middle(std::vector<float>{0.1f, 0.0f, 0.3f});
    with_zero.scale = view(zero_in_the_middle, {kRows});
    run();
    const std::vector<float> after = dscale_.content();
    EXPECT_EQ(after[0], before[0]);
    EXPECT_EQ(after[1], 0.0f);
    EXPECT_EQ(after[2], before[2]);
    if (is_integer(format)) {
      EXPECT_EQ(dzero_point_.content()[1], 0.0f);
    }
    const std::vector<float> incoming = dy_.content();
    const std::vector<float> passed = dx_.content();
    EXPECT_TRUE(std::equal(passed.begin() + kColumns, passed.begin() + 2 * kColumns,
                           incoming.begin() + kColumns));
    EXPECT_NE(passed, incoming);
  }
}

TEST_F(DeviceReductionOnAStream, AGradientScaleReplacesTheDefaultOfEveryScale) {
  learned_scale_backward(dy(), x(), params(), dx(), gradient(), 0.37, context(), stream());
  wait();
  QuantParams host;
  host.granularity = Granularity::channel(0);
  host.scale = {0.1f, 0.2f, 0.3f};
  const std::vector<float> x = x_.content();
  const std::vector<float> dy = dy_.content();
  std::vector<float> dx(x.size());
  std::vector<double> dscale(kRows);
  std::vector<double> dzero_point(kRows);
  const Shape shape{kRows, kColumns};
  learned_scale_backward({dy.data(), shape}, {x.data(), shape}, host, {dx.data(), shape},
                         {dscale, dzero_point}, 0.37, {Backend::named("reference"), 1});
  EXPECT_EQ(dx_.content(), dx);
  const std::vector<float> found_scale = dscale_.content();
  const std::vector<float> found_zero_point = dzero_point_.content();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found_scale[i], dscale[i]);
    EXPECT_EQ(found_zero_point[i], dzero_point[i]);
    EXPECT_NE(found_zero_point[i], 0.0f);
  }
}

TEST_F(DeviceReductionOnAStream, OperationsOnlyLaunch) {
  const auto launches_of = [](const std::function<void()>& operation) {
    simt::reset_counters();
    operation();
    const simt::Counters counted = simt::counters();
    EXPECT_EQ(counted.allocations + counted.async_allocations + counted.frees +
                  counted.async_frees + counted.copies + counted.memsets + counted.waits,
              0);
    return counted.launches;
  };
  EXPECT_EQ(launches_of([&] { run_learned(); }), 2);     // two chunks a scale
  EXPECT_EQ(launches_of([&] { run_statistics(); }), 2);  // the start, the merging
  const Shape small{kRows, 4096};
  EXPECT_EQ(launches_of([&] {
              learned_scale_backward(view(dy_, small), view(x_, small), params(), view(dx_, small),
                                     gradient(), {}, context(), stream());
            }),
            1);
  EXPECT_EQ(launches_of([&] {
              statistics(view(x_, small), Granularity::channel(0), result(), context(), stream());
            }),
            1);
  EXPECT_EQ(launches_of([&] {
              statistics(x(), Granularity::tensor(), {result().data(), 1}, context(), stream());
            }),
            1);
  // No elements: the zeros of three scales, or no scale.
  const Shape none{kRows, 0};
  EXPECT_EQ(launches_of([&] {
              learned_scale_backward(view(dy_, none), view(x_, none), params(), view(dx_, none),
                                     gradient(), {}, context(), stream());
            }),
            1);
  EXPECT_EQ(launches_of([&] {
              statistics(view(x_, none), Granularity::group(4), {}, context(), stream());
            }),
            0);
  wait();
}

TEST_F(DeviceReductionOnAStream, AGraphGivesTheSameBits) {
  const auto content = [&] {
    return std::tuple(dx_.content(), dscale_.content(), dzero_point_.content(),
                      statistics_.content());
  };
  const auto before = content();
  run_learned();
  run_statistics();
  wait();
  const auto expected = content();
  EXPECT_NE(before, expected);
  ASSERT_EQ(cudaMemset(dx_.get(), 0, kReducedCount * sizeof(float)), cudaSuccess);
  ASSERT_EQ(cudaMemset(statistics_.get(), 1, kRows * sizeof(Statistics)), cudaSuccess);
  ASSERT_EQ(cudaMemset(dscale_.get(), 1, kRows * sizeof(float)), cudaSuccess);

  const cudaStream_t captured = device_under_test().stream;
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(captured, cudaStreamCaptureModeThreadLocal), cudaSuccess);
  run_learned();
  run_statistics();
  ASSERT_EQ(cudaStreamEndCapture(captured, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph, 0), cudaSuccess);
  EXPECT_NE(content(), expected);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(cudaGraphLaunch(executable, captured), cudaSuccess);
    wait();
    EXPECT_EQ(content(), expected);
  }
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

TEST_F(DeviceReductionOnAStream, EveryFailingCallIsACudaErrorAndTheContextStillWorks) {
  run_learned();
  run_statistics();
  wait();
  const std::vector<float> expected = dscale_.content();
  const std::vector<std::byte> expected_statistics = statistics_.content();
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
  EXPECT_EQ(dscale_.content(), expected);
  EXPECT_EQ(statistics_.content(), expected_statistics);
}

}  // namespace
}  // namespace cuqat::test
