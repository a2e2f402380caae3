// What the reductions per scale do on a stream, and with what only device memory can hold.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "conformance/device_reduction_fixture.hpp"
#include "support/backends.hpp"
#include "support/captured_graph.hpp"

namespace cuqat::test {
namespace {

using DeviceReductionOnAStream = DeviceReductionFixture;

/// The reductions of whole tensors keep a counter in the scratch memory, which stays 0.
TEST_F(DeviceReductionOnAStream, OperationsLeaveTheCounterOfReductionsAlone) {
  const DeviceMemory whole(sizeof(Statistics));
  std::vector<std::byte> expected;
  for (int i = 0; i < 3; ++i) {
    ASSERT_EQ(cudaMemsetAsync(whole.as(), 0, sizeof(Statistics), device_under_test().stream),
              cudaSuccess);
    statistics(x(), whole.span<Statistics>(), context(), stream());
    run_learned();
    wait();
    if (i == 0) expected = whole.content<std::byte>();
    EXPECT_EQ(whole.content<std::byte>(), expected);
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
    const std::vector<float> before = dscale_.content<float>();
    const DeviceMemory zero_in_the_middle(std::vector<float>{0.1f, 0.0f, 0.3f});
    with_zero.scale = view(zero_in_the_middle, {kRows});
    run();
    const std::vector<float> after = dscale_.content<float>();
    EXPECT_EQ(after[0], before[0]);
    EXPECT_EQ(after[1], 0.0f);
    EXPECT_EQ(after[2], before[2]);
    if (is_integer(format)) {
      EXPECT_EQ(dzero_point_.content<float>()[1], 0.0f);
    }
    const std::vector<float> incoming = dy_.content<float>();
    const std::vector<float> passed = dx_.content<float>();
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
  const std::vector<float> x = x_.content<float>();
  const std::vector<float> dy = dy_.content<float>();
  std::vector<float> dx(x.size());
  std::vector<double> dscale(kRows);
  std::vector<double> dzero_point(kRows);
  const Shape shape{kRows, kColumns};
  learned_scale_backward({dy.data(), shape}, {x.data(), shape}, host, {dx.data(), shape},
                         {dscale, dzero_point}, 0.37, {Backend::named("reference"), 1});
  EXPECT_EQ(dx_.content<float>(), dx);
  const std::vector<float> found_scale = dscale_.content<float>();
  const std::vector<float> found_zero_point = dzero_point_.content<float>();
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(found_scale[i], dscale[i]);
    EXPECT_EQ(found_zero_point[i], dzero_point[i]);
    EXPECT_NE(found_zero_point[i], 0.0f);
  }
}

TEST_F(DeviceReductionOnAStream, OperationsOnlyLaunch) {
  const auto launches_of = [](const std::function<void()>& operation) {
    const Enqueued enqueued = enqueued_by(operation);
    EXPECT_EQ(enqueued.others, 0);
    return enqueued.kernels;
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
    return std::tuple(dx_.content<float>(), dscale_.content<float>(), dzero_point_.content<float>(),
                      statistics_.content<std::byte>());
  };
  const cudaStream_t stream_of_test = device_under_test().stream;
  const auto clear = [&] {
    for (const DeviceMemory* memory : {&dx_, &statistics_, &dscale_, &dzero_point_}) {
      ASSERT_EQ(cudaMemsetAsync(memory->as(), 1, memory->size_bytes(), stream_of_test),
                cudaSuccess);
    }
    wait();
  };
  const auto run_both = [&] {
    run_learned();
    run_statistics();
  };
  clear();
  run_both();
  wait();
  const auto expected = content();
  clear();

  const CapturedGraph graph(run_both, stream_of_test);
  EXPECT_NE(content(), expected);
  for (int i = 0; i < 2; ++i) {
    graph.run();
    EXPECT_EQ(content(), expected);
  }
}

}  // namespace
}  // namespace cuqat::test
