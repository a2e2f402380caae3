// Percentiles on the device, by selection and by sorting: the host's bits for every dtype, order,
// granularity and sample; arguments; and what a call puts on the stream.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <functional>
#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_percentile.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr OrderBy kOrders[] = {OrderBy::kMagnitude, OrderBy::kValue};

const std::vector<double>& usual_percentiles() {
  static const std::vector<double> kAll = {99.99, 0.0, 100.0, 50.0, 99.0, 0.01, 99.9};
  return kAll;
}

/// Ends as bits: a zero is +0.
using RangeBits = std::pair<std::uint64_t, std::uint64_t>;

RangeBits bits(const Range& range) {
  return {std::bit_cast<std::uint64_t>(range.low), std::bit_cast<std::uint64_t>(range.high)};
}
std::vector<RangeBits> bits(const std::vector<Range>& ranges) {
  std::vector<RangeBits> result;
  for (const Range& range : ranges) result.push_back(bits(range));
  return result;
}

/// By the definition: sorts.
Range expected_range(std::vector<double> values, OrderBy order, double p) {
  std::vector<double> finite;
  for (const double value : values) {
    if (!std::isfinite(value)) continue;
    finite.push_back((order == OrderBy::kMagnitude ? std::abs(value) : value) + 0.0);
  }
  if (finite.empty()) return {};
  std::sort(finite.begin(), finite.end());
  const auto n = static_cast<std::int64_t>(finite.size());
  const auto at = [&](std::int64_t rank) { return finite[static_cast<std::size_t>(rank)]; };
  if (order == OrderBy::kMagnitude) {
    const double a = at(percentile_rank(n, p));
    return {a == 0.0 ? 0.0 : -a, a};
  }
  const RankPair ranks = two_sided_percentile_ranks(n, p);
  return {at(ranks.low), at(ranks.high)};
}

std::vector<Range> expected_ranges(const std::vector<double>& values, OrderBy order,
                                   const std::vector<double>& percentiles) {
  std::vector<Range> ranges;
  for (const double p : percentiles) ranges.push_back(expected_range(values, order, p));
  return ranges;
}

struct Sample {
  std::string name;
  std::vector<double> values;
};

std::vector<Sample> samples() {
  Random random(11);
  const auto by = [](std::size_t n, auto function) {
    std::vector<double> values(n);
    for (std::size_t i = 0; i < n; ++i) values[i] = function(i);
    return values;
  };
  return {
      {"normal", by(4099, [&](std::size_t) { return random.normal(); })},
      {"relu", by(1000, [&](std::size_t) { return std::max(0.0, random.normal()); })},
      {"every_exponent", by(2000,
                            [&](std::size_t) {
                              return std::ldexp(random.normal(),
                                                static_cast<int>(random() % 40) - 24);
                            })},
      {"one_key_of_f32", by(777,
                            [](std::size_t i) {
                              return (i % 3 == 0 ? -1.0 : 1.0) *
                                     (1.0 + std::ldexp(static_cast<double>(i * 7 % 5000), -23));
                            })},
      {"negative", by(333, [&](std::size_t) { return -1e-3 - std::abs(random.normal()); })},
      {"constant", std::vector<double>(257, 0.37)},
      {"two_values", by(1025, [&](std::size_t) { return random() % 2 == 0 ? -3.0 : 1.5; })},
      {"mixed", by(700,
                   [&](std::size_t i) {
                     return i % 7 == 0   ? std::nan("")
                            : i % 7 == 1 ? kInfinity
                            : i % 7 == 2 ? -kInfinity
                                         : random.normal();
                   })},
      {"zeros", by(65, [](std::size_t i) { return i % 2 == 0 ? -0.0 : 0.0; })},
      {"negative_zeros_and_ones", by(64, [](std::size_t i) { return i % 2 == 0 ? -0.0 : -1.0; })},
      {"smallest",
       by(99, [](std::size_t i) { return std::ldexp(static_cast<double>(i) - 49.0, -149); })},
      {"nothing_finite", {std::nan(""), kInfinity, -kInfinity}},
      {"one", {-2.5}},
      {"none", {}},
  };
}

class DevicePercentile : public testing::TestWithParam<DType> {
 protected:
  DevicePercentile() { set_device_order(0); }

  static DeviceContext roomy_context() {
    DeviceContext::Options options;
    options.workspace_bytes = std::size_t{20} << 20;
    return DeviceContext(options);
  }
  static std::vector<Range> selected(const ConstDeviceTensorView& x, OrderBy order,
                                     const std::vector<double>& percentiles,
                                     const DeviceContext& context) {
    const DeviceMemory result(std::vector<Range>(percentiles.size(), Range{-7.0, 7.0}));
    run_on_device([&] {
      percentile_ranges(x, order, percentiles, result.span<Range>(), context,
                        device_under_test().stream);
    });
    EXPECT_EQ(device_fault(), "");
    return result.content<Range>();
  }
  static std::vector<Range> sorted(const ConstDeviceTensorView& x, const Granularity& granularity,
                                   OrderBy order, const std::vector<double>& percentiles,
                                   const DeviceContext& context) {
    const auto scales = static_cast<std::size_t>(num_scales(granularity, x.shape()));
    const DeviceMemory result(std::vector<Range>(scales * percentiles.size(), Range{-7.0, 7.0}));
    run_on_device([&] {
      sorted_percentile_ranges(x, granularity, order, percentiles, result.span<Range>(), context,
                               device_under_test().stream);
    });
    EXPECT_EQ(device_fault(), "");
    return result.content<Range>();
  }
};

TEST_P(DevicePercentile, BothWaysGiveTheElementsOfTheDefinition) {
  if (kThreadSanitized) std::cout << "[ sample   ] every 7th of the samples\n";
  const DeviceContext context = roomy_context();
  int number = 0;
  for (const Sample& sample : samples()) {
    const Bytes x = to_bytes(GetParam(), sample.values);
    const std::vector<double> values = to_doubles(GetParam(), x);
    for (const OrderBy order : kOrders) {
      for (const std::size_t offset : {std::size_t{0}, std::size_t{1}, dtype_bytes(GetParam())}) {
        if (kThreadSanitized && number++ % 7 != 0) continue;
        set_device_order(number++ % num_device_orders());
        const std::string what = sample.name + (order == OrderBy::kValue ? " by value" : "") +
                                 " at " + std::to_string(offset);
        Bytes moved(offset);
        moved.insert(moved.end(), x.begin(), x.end());
        const DeviceMemory memory(moved);
        const ConstDeviceTensorView view(memory.as() + offset, GetParam(),
                                         Shape{static_cast<std::int64_t>(values.size())});
        const auto expected = bits(expected_ranges(values, order, usual_percentiles()));
        EXPECT_EQ(bits(sorted(view, {}, order, usual_percentiles(), context)), expected) << what;
        if (GetParam() == DType::kF64) continue;
        EXPECT_EQ(bits(selected(view, order, usual_percentiles(), context)), expected) << what;
      }
    }
  }
}

TEST_P(DevicePercentile, AsManyAsOneCallMayAskFor) {
  const DeviceContext context = roomy_context();
  Random random(5);
  std::vector<double> values(3001);
  for (double& value : values) value = random.normal();
  const Bytes x = to_bytes(GetParam(), values);
  const DeviceMemory memory(x);
  const ConstDeviceTensorView view(memory.as(), GetParam(), Shape{3001});
  std::vector<double> percentiles(kMaxPercentiles);
  for (std::size_t i = 0; i < percentiles.size(); ++i) {
    percentiles[i] = 100.0 * static_cast<double>(i * i) / 225.0;
  }
  for (const OrderBy order : kOrders) {
    const auto expected = bits(expected_ranges(to_doubles(GetParam(), x), order, percentiles));
    EXPECT_EQ(bits(sorted(view, {}, order, percentiles, context)), expected);
    if (GetParam() != DType::kF64) {
      EXPECT_EQ(bits(selected(view, order, percentiles, context)), expected);
    }
    EXPECT_EQ(sorted(view, {}, order, {}, context).size(), 0u);
  }
}

/// Ranks that a float does not hold: neighbours have values of their own.
TEST_P(DevicePercentile, RanksOfMoreElementsThanAFloatCounts) {
  if (kSanitized) std::cout << "[ sample   ] 2^20 elements: this is a sanitizer build\n";
  const std::int64_t count = (std::int64_t{1} << (kSanitized ? 20 : 24)) + 16;
  constexpr std::int64_t kLarge = 16;
  Bytes x = to_bytes(GetParam(), std::vector<double>(static_cast<std::size_t>(count), 1.0));
  for (std::int64_t i = 0; i < kLarge; ++i) {
    store_element(GetParam(), x.data(), static_cast<std::size_t>(i * 1000),
                  2.0 + static_cast<double>(i));
  }
  const DeviceMemory memory(x);
  const ConstDeviceTensorView view(memory.as(), GetParam(), Shape{count});
  std::vector<double> percentiles;
  std::vector<RangeBits> expected;
  for (std::int64_t from_last = 0; from_last < kLarge; ++from_last) {
    percentiles.push_back(100.0 * static_cast<double>(count - from_last) /
                          static_cast<double>(count));
    const std::int64_t rank = percentile_rank(count, percentiles.back());
    const double a = std::max(1.0, static_cast<double>(rank - (count - kLarge) + 2));
    expected.push_back(bits(Range{-a, a}));
  }
  DeviceContext::Options options;
  options.workspace_bytes =
      GetParam() == DType::kF64
          ? sorted_percentile_workspace_bytes(DType::kF64, Shape{count}, {},
                                              device_under_test().context)
          : percentile_workspace_bytes(GetParam(), OrderBy::kMagnitude, percentiles.size());
  const DeviceContext context(options);
  EXPECT_EQ(
      bits(GetParam() == DType::kF64 ? sorted(view, {}, OrderBy::kMagnitude, percentiles, context)
                                     : selected(view, OrderBy::kMagnitude, percentiles, context)),
      expected);
}

/// Of each scale, whether CUB is called for each of them (few) or once for all.
TEST_P(DevicePercentile, SortingTakesEveryGranularity) {
  Random random(21);
  const std::vector<std::pair<Shape, Granularity>> cases = {
      {Shape{5, 7, 11}, Granularity::channel(0)},
      {Shape{5, 7, 11}, Granularity::channel(1)},
      {Shape{5, 7, 11}, Granularity::channel(-1)},
      {Shape{3, 300}, Granularity::channel(1)},
      {Shape{300, 3}, Granularity::channel(0)},
      {Shape{2, 300, 2}, Granularity::channel(1)},
      {Shape{3, 70}, Granularity::group(32)},
      {Shape{150, 70}, Granularity::group(32)},
      {Shape{4, 64}, Granularity::group(100)},
      {Shape{1, 1}, Granularity::channel(0)},
      {Shape{0, 4}, Granularity::channel(1)},
      {Shape{0, 4}, Granularity::group(2)},
      {Shape{2, 3, 64}, Granularity::group(64)},
      // Fewer scales than multiprocessors, of even and of odd lengths.
      {Shape{1, 33}, Granularity::group(32)},
      {Shape{2, 5}, Granularity::channel(0)},
      {Shape{3, 7}, Granularity::channel(1)},
      {Shape{1, 40000}, Granularity::group(32768)}};
  const std::vector<double> percentiles = {99.0, 50.0};
  int number = 0;
  for (const auto& [shape, granularity] : cases) {
    std::vector<double> values(static_cast<std::size_t>(shape.count()));
    for (double& value : values) {
      value = random() % 13 == 0 ? std::nan("") : random.normal();
    }
    const Bytes x = to_bytes(GetParam(), values);
    values = to_doubles(GetParam(), x);
    const auto extents = shape.extents();
    std::vector<std::vector<double>> of_scale(
        static_cast<std::size_t>(num_scales(granularity, shape)));
    for (std::size_t i = 0; i < values.size(); ++i) {
      std::size_t scale = 0;
      if (granularity.kind == Granularity::Kind::kGroup) {
        const auto row = static_cast<std::size_t>(extents.back());
        const auto group = static_cast<std::size_t>(granularity.group_size);
        scale = i / row * ((row + group - 1) / group) + i % row / group;
      } else {
        const auto axis = static_cast<std::size_t>(resolve_axis(granularity, shape).axis);
        std::size_t inner = 1;
        for (std::size_t j = axis + 1; j < extents.size(); ++j) {
          inner *= static_cast<std::size_t>(extents[j]);
        }
        scale = i / inner % static_cast<std::size_t>(extents[axis]);
      }
      of_scale[scale].push_back(values[i]);
    }
    const DeviceMemory memory(x);
    const ConstDeviceTensorView view(memory.as(), GetParam(), shape);
    for (const OrderBy order : kOrders) {
      set_device_order(number++ % num_device_orders());
      std::vector<Range> expected;
      for (const auto& of : of_scale) {
        for (const double p : percentiles) expected.push_back(expected_range(of, order, p));
      }
      EXPECT_EQ(bits(sorted(view, granularity, order, percentiles, device_under_test().context)),
                bits(expected))
          << "case " << number / 2;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryType, DevicePercentile,
                         testing::Values(DType::kF32, DType::kF64, DType::kF16, DType::kBF16),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

class DevicePercentileArguments : public DeviceArguments {
 protected:
  void select(const ConstDeviceTensorView& of, const std::vector<double>& percentiles,
              DeviceSpan<Range> to, const DeviceContext& context) const {
    percentile_ranges(of, OrderBy::kMagnitude, percentiles, to, context, stream());
  }
  void sort(const ConstDeviceTensorView& of, const std::vector<double>& percentiles,
            DeviceSpan<Range> to, const DeviceContext& context) const {
    sorted_percentile_ranges(of, {}, OrderBy::kMagnitude, percentiles, to, context, stream());
  }
  [[nodiscard]] DeviceSpan<Range> result() const { return {result_.as<Range>(), 2}; }
  void expect_works() const {
    for (const bool by_sorting : {false, true}) {
      const std::vector<Range> before(2);
      ASSERT_EQ(cudaMemcpy(result_.as(), before.data(), sizeof(Range) * 2, cudaMemcpyHostToDevice),
                cudaSuccess);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      by_sorting ? sort(x(), kTwo, result(), context()) : select(x(), kTwo, result(), context());
      ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
      EXPECT_EQ(bits(result_.content<Range>()), bits({Range{-1.0, 1.0}, Range{-1.0, 1.0}}));
    }
  }

  const std::vector<double> kTwo = {50.0, 99.0};
  DeviceMemory result_{2 * sizeof(Range)};
};

TEST_F(DevicePercentileArguments, AreNamedAndLeaveTheContextUsable) {
  std::vector<double> host(kCount);
  auto* const odd = reinterpret_cast<Range*>(result_.as() + 4);
  const std::vector<double> too_many(kMaxPercentiles + 1, 50.0);
  for (const bool by_sorting : {false, true}) {
    const auto run = [&](const ConstDeviceTensorView& of, const std::vector<double>& percentiles,
                         DeviceSpan<Range> to) {
      by_sorting ? sort(of, percentiles, to, context()) : select(of, percentiles, to, context());
    };
    for (const double p : {-0.1, 100.1, std::nan("")}) {
      expect_refused([&] { run(x(), {50.0, p}, result()); }, {"percentiles[1]", "in [0, 100]"});
    }
    expect_refused([&] { run(x(), too_many, result()); }, {"percentiles.size() is 17", "16"});
    expect_refused([&] { run(x(), {50.0}, result()); }, {"result.size() is 2", "be 1"});
    expect_refused([&] { run(x(), kTwo, {nullptr, 2}); }, {"result is null"});
    expect_refused([&] { run(x(), kTwo, {odd, 2}); }, {"result is 4 bytes past"});
    expect_refused(
        [&] {
          run(x(), kTwo, {reinterpret_cast<Range*>(host.data()), 2});
        },
        {"result is ", "device memory"});
    expect_refused(
        [&] {
          run({host.data(), DType::kF32, Shape{kCount}}, kTwo, result());
        },
        {"x is ", "device memory"});
    expect_refused([&] { run(x(), kTwo, {static_cast<Range*>(x_), 2}); }, {"result is ", "x"});
    DeviceContext::Options options;
    options.workspace_bytes = 0;
    const DeviceContext narrow(options);
    expect_refused(
        [&] {
          by_sorting ? sort(x(), kTwo, result(), narrow) : select(x(), kTwo, result(), narrow);
        },
        {"context.workspace_bytes() is 0", "at least"});
  }
  expect_refused(
      [&] {
        select({x_, DType::kF64, Shape{10}}, kTwo, result(), context());
      },
      {"x.dtype()", "F64"});
  expect_refused(
      [&] {
        sorted_percentile_ranges(x(), Granularity::channel(1), OrderBy::kValue, kTwo, result(),
                                 context(), stream());
      },
      {"axis"});
  expect_invalid([] { percentile_workspace_bytes(DType::kF64, OrderBy::kValue, 1); }, {"dtype"});
  expect_invalid([] { percentile_workspace_bytes(DType::kF32, OrderBy::kValue, 17); },
                 {"num_percentiles is 17"});
  cudaStream_t none = nullptr;
  expect_refused([&] { percentile_ranges(x(), OrderBy::kValue, kTwo, result(), context(), none); },
                 {"stream is null"});
  expect_works();
}

/// What they say is enough, and one byte less is not.
TEST_F(DevicePercentileArguments, WorkspaceIsAsSaid) {
  struct Call {
    std::size_t bytes;
    std::function<void(const DeviceContext&)> run;
  };
  std::vector<Call> calls;
  std::vector<std::unique_ptr<DeviceMemory>> results;
  for (const OrderBy order : kOrders) {
    for (const std::size_t n : {1u, 2u, 16u}) {
      results.push_back(std::make_unique<DeviceMemory>(n * sizeof(Range)));
      const auto to = results.back()->span<Range>();
      calls.push_back({percentile_workspace_bytes(DType::kF32, order, n),
                       [this, order, n, to](const DeviceContext& narrow) {
                         percentile_ranges(x(), order, std::vector<double>(n, 50.0), to, narrow,
                                           stream());
                       }});
    }
  }
  for (const Granularity& granularity : {Granularity::tensor(), Granularity::channel(0)}) {
    const Shape shape{granularity.kind == Granularity::Kind::kTensor ? 1 : 333, 3};
    const auto scales = static_cast<std::size_t>(num_scales(granularity, shape));
    results.push_back(std::make_unique<DeviceMemory>(scales * sizeof(Range)));
    const auto to = results.back()->span<Range>();
    calls.push_back({sorted_percentile_workspace_bytes(DType::kF16, shape, granularity, context()),
                     [this, granularity, shape, to](const DeviceContext& narrow) {
                       sorted_percentile_ranges({x_, DType::kF16, shape}, granularity,
                                                OrderBy::kValue, std::vector<double>{50.0}, to,
                                                narrow, stream());
                     }});
  }
  for (const Call& call : calls) {
    DeviceContext::Options options;
    options.workspace_bytes = call.bytes - 1;
    const DeviceContext narrow(options);
    expect_refused([&] { call.run(narrow); },
                   {"context.workspace_bytes()", std::to_string(call.bytes)});
    options.workspace_bytes = call.bytes;  // where AddressSanitizer sees the end of
    const DeviceContext enough(options);
    call.run(enough);
    ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  }
}

/// Selection clears two tables, counts, selects, counts again and selects again.
TEST_F(DevicePercentileArguments, SelectionIsAFewKernels) {
  const Enqueued of_f32 = enqueued_by([&] { select(x(), kTwo, result(), context()); });
  EXPECT_EQ(of_f32.kernels, 4);
  EXPECT_EQ(of_f32.others, 2);
  const Enqueued of_f16 = enqueued_by([&] {
    select({x_, DType::kF16, Shape{100}}, kTwo, result(), context());
  });
  EXPECT_EQ(of_f16.kernels, 2);
  EXPECT_EQ(of_f16.others, 1);
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
}

TEST_F(DevicePercentileArguments, BothWaysCanBeCaptured) {
  for (const bool by_sorting : {false, true}) {
    const auto run = [&] {
      by_sorting ? sort(x(), kTwo, result(), context()) : select(x(), kTwo, result(), context());
    };
    const CapturedGraph graph(run, device_under_test().stream);
    for (const float value : {3.1f, 0.3f}) {  // of other lower halves
      const std::vector<float> other(kCount, value);
      ASSERT_EQ(cudaMemcpy(x_, other.data(), kCount * sizeof(float), cudaMemcpyHostToDevice),
                cudaSuccess);
      ASSERT_EQ(cudaDeviceSynchronize(), cudaSuccess);
      graph.run();
      const Range expected{-double{value}, double{value}};
      EXPECT_EQ(bits(result_.content<Range>()), bits({expected, expected}));
    }
  }
}

}  // namespace
}  // namespace cuqat::test
