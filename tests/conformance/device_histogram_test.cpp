// Key histograms on the device past what the agreement tests reach: many elements of one key, keys
// outside the window of a block, several rounds; arguments; and what a call puts on the stream.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_histogram.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

using Counts = std::vector<std::uint64_t>;

Counts reference_counts(const Bytes& x, DType dtype) {
  Counts counts(kNumKeys);
  accumulate_key_histogram(
      {x.data(), dtype, Shape{static_cast<std::int64_t>(x.size() / dtype_bytes(dtype))}},
      std::span<std::uint64_t, kNumKeys>(counts), {Backend::named("reference"), 1});
  return counts;
}

/// On top of what `before` counts.
Counts device_counts(const Bytes& x, DType dtype, const DeviceContext& context,
                     const Counts& before = Counts(kNumKeys)) {
  const DeviceMemory device_x(x);
  const DeviceMemory counts(before);
  const auto count = static_cast<std::int64_t>(x.size() / dtype_bytes(dtype));
  run_on_device([&] {
    accumulate_key_histogram({device_x.as<void>(), dtype, Shape{count}},
                             {counts.as<std::uint64_t>(), kNumKeys}, context,
                             device_under_test().stream);
  });
  EXPECT_EQ(device_fault(), "");
  return counts.content<std::uint64_t>();
}

std::size_t total(const Counts& counts) {
  std::size_t sum = 0;
  for (const std::uint64_t count : counts) sum += count;
  return sum;
}

constexpr DType kHistogramTypes[] = {DType::kF32, DType::kF16, DType::kBF16};

class DeviceHistogram : public testing::TestWithParam<DType> {
 protected:
  DeviceHistogram() { set_device_order(0); }
};

/// Which key is in a block's window and which is not: a run of them, then others in turn.
TEST_P(DeviceHistogram, CountsKeysInsideAndOutsideOfTheWindow) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Random random(3);
  const auto by = [](auto function) {
    std::vector<double> values(3001);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = function(i);
    return values;
  };
  const std::vector<std::vector<double>> samples = {
      by([](std::size_t i) { return i < 2500 ? 1.0 : 6e-5; }),
      by([](std::size_t i) { return i % 2 == 0 ? 30000.0 : 3e-7; }),
      by([](std::size_t i) { return i % 3 == 0   ? std::nan("")
                                    : i % 3 == 1 ? kInfinity
                                                 : -1.0; }),
      by([](std::size_t i) { return i % 3 == 0   ? 0.0
                                    : i % 3 == 1 ? -0.0
                                                 : 6e-8; }),
      by([&](std::size_t) {
        return std::ldexp(random.normal(), static_cast<int>(random() % 36) - 20);
      }),
      std::vector<double>(3001, -1.5),
      std::vector<double>(3001, 0.0)};
  for (std::size_t sample = 0; sample < samples.size(); ++sample) {
    const Bytes x = to_bytes(GetParam(), samples[sample]);
    for (const int order : {0, 1, num_device_orders() - 1}) {
      set_device_order(order);
      EXPECT_EQ(device_counts(x, GetParam(), device_under_test().context),
                reference_counts(x, GetParam()))
          << "sample " << sample << ", " << device_order_name(order);
    }
  }
}

/// On one block, so that 16-bit counters would overflow within a round if they were not flushed.
TEST_P(DeviceHistogram, CountsMoreOfOneKeyThanASmallCounterHolds) {
  DeviceContext::Options options;
  options.num_multiprocessors = 1;
  const DeviceContext context(options);
  const std::int64_t count = kSanitized ? (1 << 21) + 1 : (1 << 24) + 1;
  std::vector<double> values(static_cast<std::size_t>(count), 0.75);
  for (std::size_t i = 0; i < values.size(); i += 4099) values[i] = -0.75;
  const Bytes x = to_bytes(GetParam(), values);
  const Counts found = device_counts(x, GetParam(), context);
  EXPECT_EQ(found, reference_counts(x, GetParam()));
  EXPECT_EQ(total(found), static_cast<std::size_t>(count));
}

TEST_P(DeviceHistogram, CountsPast32And53Bits) {
  const Bytes x = to_bytes(GetParam(), std::vector<double>(100, 2.0));
  Counts before(kNumKeys);
  for (const std::uint64_t much :
       {std::uint64_t{0xffff'ffff}, std::uint64_t{1} << 53, std::uint64_t{1} << 63}) {
    std::fill(before.begin(), before.end(), much);
    Counts expected = reference_counts(x, GetParam());
    for (std::uint64_t& count : expected) count += much;
    EXPECT_EQ(device_counts(x, GetParam(), device_under_test().context, before), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, DeviceHistogram, testing::ValuesIn(kHistogramTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

class DeviceHistogramErrors : public DeviceArguments {
 protected:
  [[nodiscard]] DeviceSpan<std::uint64_t> counts() const {
    return {counts_.as<std::uint64_t>(), kNumKeys};
  }
  void run(ConstDeviceTensorView of, DeviceSpan<std::uint64_t> to) const {
    accumulate_key_histogram(of, to, context(), stream());
  }
  void expect_works() const {
    run(x(), counts());
    ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
    EXPECT_EQ(counts_.content<std::uint64_t>()[0x3f80], expected_ += kCount);
  }

  DeviceMemory counts_{Counts(kNumKeys)};
  mutable std::uint64_t expected_ = 0;
};

TEST_F(DeviceHistogramErrors, AreNamedAndLeaveTheContextUsable) {
  expect_refused([&] { run({x_, DType::kF64, Shape{10}}, counts()); }, {"x.dtype()", "F64"});
  expect_refused(
      [&] {
        run(x(), {counts().data(), kNumKeys - 1});
      },
      {"counts.size() is 65535", "65536"});
  expect_refused([&] { run(x(), {nullptr, kNumKeys}); }, {"counts is null"});
  Counts host(kNumKeys);
  expect_refused([&] { run(x(), {host.data(), kNumKeys}); }, {"counts is ", "device memory"});
  auto* const odd = reinterpret_cast<std::uint64_t*>(counts_.as() + 4);
  expect_refused([&] { run(x(), {odd, kNumKeys}); }, {"counts is 4 bytes past"});
  expect_refused(
      [&] {
        run({counts_.as<void>(), DType::kF32, Shape{4}}, counts());
      },
      {"counts is ", "x"});
  expect_refused(
      [&] {
        run({host.data(), DType::kF32, Shape{4}}, counts());
      },
      {"x is ", "device memory"});
  expect_refused(
      [&] {
        accumulate_key_histogram(x(), counts(), {reinterpret_cast<Statistics*>(counts().data()), 1},
                                 context(), stream());
      },
      {"result is ", "counts"});
  expect_refused([&] { accumulate_key_histogram(x(), counts(), {}, context(), stream()); },
                 {"result.size() is 0", "be 1"});
  cudaStream_t none = nullptr;
  expect_refused([&] { accumulate_key_histogram(x(), counts(), context(), none); },
                 {"stream is null"});
  expect_works();
}

TEST_F(DeviceHistogramErrors, ACallIsOneKernelAndCanBeCaptured) {
  const Enqueued enqueued = enqueued_by([&] { run(x(), counts()); });
  EXPECT_EQ(enqueued.kernels, 1);
  EXPECT_EQ(enqueued.others, 0);
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  const CapturedGraph graph([&] { run(x(), counts()); }, device_under_test().stream);
  const std::uint64_t before = counts_.content<std::uint64_t>()[0x3f80];
  graph.run();
  graph.run();
  EXPECT_EQ(counts_.content<std::uint64_t>()[0x3f80], before + 2 * kCount);
}

}  // namespace
}  // namespace cuqat::test
