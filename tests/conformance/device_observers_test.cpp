// Scales from statistics in device memory are the host's, bit for bit, step by step.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/device_arguments.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/device_observers.hpp"
#include "host/expect_invalid.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Statistics of a batch of ten elements, none of them finite for low > high.
Statistics batch_of(double low, double high) {
  Statistics result{10, 0, 0, 0, 0, low, high};
  if (low > high) result.nan = 10;
  return result;
}

constexpr std::size_t kMany = 308;

/// Ranges that a rule treats apart, as numbers of the dtype, and random ones; n in all.
std::vector<Statistics> batch(int step, std::size_t n = kMany, DType dtype = DType::kF32) {
  const bool wide = dtype == DType::kF64;
  const auto number = [&](double value) {
    return wide ? value : static_cast<double>(static_cast<float>(value));
  };
  const double tiny = wide ? std::numeric_limits<double>::denorm_min()
                           : double{std::numeric_limits<float>::denorm_min()};
  const double huge =
      wide ? std::numeric_limits<double>::max() : double{std::numeric_limits<float>::max()};
  std::vector<Statistics> result{
      batch_of(-1.0, 2.0),    batch_of(0.0, 0.0),    batch_of(kInfinity, -kInfinity),
      batch_of(-huge, huge),  batch_of(-tiny, 0.0),  batch_of(0.5, 0.75),
      batch_of(-3.0, -0.125), batch_of(-1e-30, 1e30)};
  Random random(static_cast<std::uint64_t>(step) + 7);
  while (result.size() < n) {
    const double a = number(random.normal());
    const double b = number(random.normal() * (step + 1));
    result.push_back(batch_of(std::min(a, b), std::max(a, b)));
  }
  // Every scale meets every kind of range.
  std::rotate(result.begin(), result.begin() + step % 8, result.end());
  result.resize(n);
  return result;
}

struct Rule {
  Quantizer quantizer;
  bool symmetric;
};
std::vector<Rule> rules() {
  std::vector<Rule> result;
  for (const Format format : kFormats) {
    for (const Quantizer& quantizer : quantizers(format)) {
      result.push_back({quantizer, true});
      if (is_integer(format)) result.push_back({quantizer, false});
    }
  }
  return result;
}

/// Around the widths of warps and blocks.
constexpr std::size_t kSizes[] = {0, 1, 31, 32, 33, 255, 256, 257, kMany, 1023, 1025};

/// A rule, the dtype of the scales, and how many there are.
struct Variant {
  Rule rule;
  DType dtype;
  std::size_t n;
};
std::vector<Variant> variants() {
  print_case_stride();
  std::vector<Variant> all;
  for (const DType dtype : {DType::kF32, DType::kF64}) {
    for (const Rule& rule : rules()) {
      for (const std::size_t n : kSizes) {
        all.push_back({rule, dtype, n});
      }
    }
  }
  std::vector<Variant> sample;
  for (std::size_t i = 0; i < all.size(); i += static_cast<std::size_t>(kSweepStride))
    sample.push_back(all[i]);
  return sample;
}
std::string name_of(const Variant& variant) {
  return std::string(to_string(variant.rule.quantizer.format)) +
         (variant.rule.symmetric ? " symmetric " : " affine ") +
         std::string(to_string(variant.dtype)) + ", " + std::to_string(variant.n) + " scales";
}

/// Scales in device memory, and what is in them as f64.
class Scales {
 public:
  Scales(DType compute, std::size_t n)
      : compute_(compute),
        n_(static_cast<std::int64_t>(n)),
        scale_(Bytes(n * dtype_bytes(compute), std::byte{0x5c})),
        zero_point_(std::vector<std::int32_t>(n, -99)) {}
  [[nodiscard]] DeviceScales view() const {
    return {{scale_.as<void>(), compute_, Shape{n_}}, {zero_point_.as<std::int32_t>(), n_}};
  }
  [[nodiscard]] std::vector<double> scale() const {
    return to_doubles(compute_, scale_.content<std::byte>());
  }
  [[nodiscard]] std::vector<std::int32_t> zero_point() const {
    return zero_point_.content<std::int32_t>();
  }

 private:
  DType compute_;
  std::int64_t n_;
  DeviceMemory scale_;
  DeviceMemory zero_point_;
};

const DeviceContext& context() { return device_under_test().context; }
StreamRef stream() { return device_under_test().stream; }

template <typename T>
DeviceSpan<T> span_of(const DeviceMemory& memory) {
  return {memory.as<T>(), static_cast<std::int64_t>(memory.size_bytes() / sizeof(T))};
}

/// The scales of the ranges, as range_to_scale has them.
void expect_scales_of(const std::vector<Range>& ranges, const Variant& variant,
                      const Scales& scales) {
  const std::vector<double> scale = scales.scale();
  const std::vector<std::int32_t> zero_point = scales.zero_point();
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    const ScaleZeroPoint expected =
        range_to_scale(ranges[i], variant.rule.quantizer, variant.rule.symmetric, variant.dtype);
    ASSERT_EQ(scale[i], expected.scale) << i << ' ' << name_of(variant);
    ASSERT_EQ(zero_point[i], expected.zero_point) << i << ' ' << name_of(variant);
  }
}

std::vector<Range> ranges_of(const std::vector<Statistics>& batch) {
  std::vector<Range> result;
  for (const Statistics& statistics : batch) {
    const bool any = statistics.finite() > 0;
    result.push_back(any ? Range{statistics.min, statistics.max} : Range{});
  }
  return result;
}

TEST(DeviceObservers, MinMaxScalesAreTheHosts) {
  int order = 0;
  for (const Variant& variant : variants()) {
    set_device_order(order++ % num_device_orders());
    const std::vector<Statistics> statistics = batch(order, variant.n, variant.dtype);
    const DeviceMemory device(statistics);
    const Scales scales(variant.dtype, variant.n);
    run_on_device([&] {
      minmax_scales(span_of<const Statistics>(device), variant.rule.quantizer,
                    variant.rule.symmetric, scales.view(), context(), stream());
    });
    ASSERT_NO_FATAL_FAILURE(expect_scales_of(ranges_of(statistics), variant, scales));
  }
  EXPECT_EQ(device_fault(), "");
}

TEST(DeviceObservers, RangesHaveTheScalesOfTheHost) {
  int order = 0;
  for (const Variant& variant : variants()) {
    set_device_order(order++ % num_device_orders());
    const std::vector<Range> ranges = ranges_of(batch(order, variant.n, variant.dtype));
    const DeviceMemory device(ranges);
    const Scales scales(variant.dtype, variant.n);
    run_on_device([&] {
      range_scales(span_of<const Range>(device), variant.rule.quantizer, variant.rule.symmetric,
                   scales.view(), context(), stream());
    });
    ASSERT_NO_FATAL_FAILURE(expect_scales_of(ranges, variant, scales));
  }
  EXPECT_EQ(device_fault(), "");
}

/// Runs update(the statistics of the step's batch, in device memory) in an order of the step's;
/// gives them.
template <typename Update>
std::vector<Statistics> observe_batch(const Variant& variant, int step, int first_order,
                                      const Update& update) {
  set_device_order((first_order + step) % num_device_orders());
  std::vector<Statistics> statistics = batch(step, variant.n, variant.dtype);
  const DeviceMemory device(statistics);
  run_on_device([&] { update(span_of<const Statistics>(device)); });
  return statistics;
}

void expect_moving_averages(const Variant& variant, double momentum, int first_order,
                            int num_steps) {
  std::vector<MovingAverageMinMax> host(variant.n, MovingAverageMinMax(momentum));
  std::vector<std::int64_t> num_batches(variant.n, 0);
  const DeviceMemory state{std::vector<MovingAverageState>(variant.n)};
  const Scales scales(variant.dtype, variant.n);
  for (int step = 0; step < num_steps; ++step) {
    const auto statistics = observe_batch(variant, step, first_order, [&](const auto& device) {
      update_moving_average(device, momentum, span_of<MovingAverageState>(state),
                            variant.rule.quantizer, variant.rule.symmetric, scales.view(),
                            context(), stream());
    });
    const auto found = state.content<MovingAverageState>();
    std::vector<Range> ranges;
    for (std::size_t i = 0; i < variant.n; ++i) {
      host[i].observe(statistics[i]);
      num_batches[i] += statistics[i].finite() > 0 ? 1 : 0;
      ranges.push_back(host[i].range());
      ASSERT_EQ(found[i].low, ranges[i].low) << "step " << step << ", scale " << i;
      ASSERT_EQ(found[i].high, ranges[i].high) << "step " << step << ", scale " << i;
      ASSERT_EQ(found[i].num_batches, num_batches[i]) << "step " << step << ", scale " << i;
    }
    ASSERT_NO_FATAL_FAILURE(expect_scales_of(ranges, variant, scales)) << "step " << step;
  }
}

TEST(DeviceObservers, MovingAveragesAreTheHostsAfterEveryBatch) {
  const Variant variant{{quantizers(Format::kInt8)[0], false}, DType::kF32, kMany};
  for (const double momentum : {0.01, 0.3, 1.0}) {
    ASSERT_NO_FATAL_FAILURE(expect_moving_averages(variant, momentum, 0, 12));
  }
  EXPECT_EQ(device_fault(), "");
}

TEST(DeviceObservers, MovingAveragesOfEveryFormatAndSizeAreTheHosts) {
  constexpr double kMomenta[] = {0.01, 0.3, 1.0};
  int number = 0;
  for (const Variant& variant : variants()) {
    const double momentum = kMomenta[number % 3];
    ASSERT_NO_FATAL_FAILURE(expect_moving_averages(variant, momentum, number, 4))
        << name_of(variant) << ", momentum " << momentum;
    ++number;
  }
  EXPECT_EQ(device_fault(), "");
}

void expect_amax_histories(const Variant& variant, std::int64_t length, int margin, int first_order,
                           int num_steps) {
  std::vector<AmaxHistory> host(variant.n, AmaxHistory(length));
  const auto rows = static_cast<std::size_t>(length);
  const DeviceMemory history(std::vector<double>(rows * variant.n));
  const DeviceMemory steps_done{std::vector<std::int64_t>(variant.n)};
  const Scales scales(variant.dtype, variant.n);
  for (int step = 0; step < num_steps; ++step) {
    const auto statistics = observe_batch(variant, step, first_order, [&](const auto& device) {
      update_amax_history(device, {span_of<double>(history), span_of<std::int64_t>(steps_done)},
                          variant.rule.quantizer, margin, scales.view(), context(), stream());
    });
    const std::vector<double> scale = scales.scale();
    for (std::size_t i = 0; i < variant.n; ++i) {
      host[i].push(statistics[i].amax());
      ASSERT_EQ(scale[i], host[i].scale(variant.rule.quantizer, variant.dtype, margin))
          << "step " << step << ", scale " << i;
    }
  }
  ASSERT_EQ(scales.zero_point(), std::vector<std::int32_t>(variant.n, 0));
  ASSERT_EQ(steps_done.content<std::int64_t>(), std::vector<std::int64_t>(variant.n, num_steps));
}

TEST(DeviceObservers, AmaxHistoriesAreTheHostsAfterEveryStep) {
  const Variant variant{{quantizers(Format::kE4M3)[0], true}, DType::kF32, kMany};
  for (const std::int64_t length : {1, 3, 16}) {
    for (const int margin : {0, -2}) {
      ASSERT_NO_FATAL_FAILURE(expect_amax_histories(variant, length, margin, 0, 20))
          << "length " << length << ", margin " << margin;
    }
  }
  EXPECT_EQ(device_fault(), "");
}

TEST(DeviceObservers, AmaxHistoriesOfEveryFormatAndSizeAreTheHosts) {
  constexpr std::int64_t kLengths[] = {1, 3, 16};
  int number = 0;
  for (const Variant& variant : variants()) {
    if (!variant.rule.symmetric) continue;
    const std::int64_t length = kLengths[number % 3];
    const int margin = number % 2 == 0 ? 0 : -2;
    ASSERT_NO_FATAL_FAILURE(expect_amax_histories(variant, length, margin, number, 5))
        << name_of(variant) << ", length " << length << ", margin " << margin;
    ++number;
  }
  EXPECT_EQ(device_fault(), "");
}

TEST(DeviceObservers, AnAmaxPastTheLargestNumberCountsAsThatOne) {
  const double largest = double{std::numeric_limits<float>::max()};
  const Quantizer quantizer = quantizers(Format::kE4M3)[0];
  const DeviceMemory device(std::vector<Statistics>{batch_of(-1.0, largest)});
  const DeviceMemory history(std::vector<double>(4));
  const DeviceMemory num_steps(std::vector<std::int64_t>(1));
  const Scales scales(DType::kF32, 1);
  run_on_device([&] {
    update_amax_history(span_of<const Statistics>(device),
                        {span_of<double>(history), span_of<std::int64_t>(num_steps)}, quantizer, 3,
                        scales.view(), context(), stream());
  });
  EXPECT_EQ(scales.scale().front(),
            range_to_scale({-largest, largest}, quantizer, true, DType::kF32).scale);
}

using DeviceObserverCalls = DeviceArguments;

TEST_F(DeviceObserverCalls, PutOneKernelOnTheStream) {
  const DeviceMemory device(std::vector<Statistics>(3));
  const DeviceMemory state(std::vector<MovingAverageState>(3));
  const DeviceMemory history(std::vector<double>(6));
  const DeviceMemory num_steps(std::vector<std::int64_t>(3));
  const DeviceMemory ranges(std::vector<Range>(3));
  const DeviceScales scales{{scale_, DType::kF32, Shape{3}}, {}};
  const auto batch = span_of<const Statistics>(device);
  for (const Enqueued& call :
       {enqueued_by([&] { minmax_scales(batch, {}, true, scales, context(), stream()); }),
        enqueued_by([&] {
          range_scales(span_of<const Range>(ranges), {}, true, scales, context(), stream());
        }),
        enqueued_by([&] {
          update_moving_average(batch, 0.1, span_of<MovingAverageState>(state), {}, true, scales,
                                context(), stream());
        }),
        enqueued_by([&] {
          update_amax_history(batch, {span_of<double>(history), span_of<std::int64_t>(num_steps)},
                              {}, 0, scales, context(), stream());
        })}) {
    EXPECT_EQ(call.kernels, 1);
    EXPECT_EQ(call.others, 0);
  }
}

TEST_F(DeviceObserverCalls, RefuseWhatDoesNotFitTogether) {
  const DeviceMemory device(std::vector<Statistics>(3));
  const DeviceMemory state(std::vector<MovingAverageState>(3));
  const DeviceMemory history(std::vector<double>(7));
  const DeviceMemory num_steps(std::vector<std::int64_t>(3));
  const DeviceScales scales{{scale_, DType::kF32, Shape{3}}, {}};
  const auto batch = span_of<const Statistics>(device);
  const auto states = span_of<MovingAverageState>(state);
  const auto steps = span_of<std::int64_t>(num_steps);
  const auto average = [&](double momentum, const DeviceSpan<MovingAverageState>& of) {
    return [&, momentum, of] {
      update_moving_average(batch, momentum, of, {}, true, scales, context(), stream());
    };
  };
  const auto amax = [&](std::int64_t entries, int margin) {
    return [&, entries, margin] {
      update_amax_history(batch, {{history.as<double>(), entries}, steps}, {}, margin, scales,
                          context(), stream());
    };
  };
  expect_invalid([&] { minmax_scales(batch, {}, false, scales, context(), stream()); },
                 {"scales.zero_point.size()", "is 0;", "be 3"});
  expect_invalid(
      [&] {
        minmax_scales({device.as<Statistics>(), 2}, {}, true, scales, context(), stream());
      },
      {"scales.scale.size()", "is 3;", "be 2"});
  for (const double momentum : {0.0, -0.5, 1.5, std::numeric_limits<double>::quiet_NaN()}) {
    expect_invalid(average(momentum, states), {"momentum", "(0, 1]"});
  }
  expect_invalid(average(0.5, {state.as<MovingAverageState>(), 2}), {"state.size()", "is 2;"});
  MovingAverageState host[3];
  expect_invalid(average(0.5, {host, 3}), {"state", "device memory"});
  expect_invalid(amax(7, 0), {"history.amax.size()", "is 7;", "multiple of 3"});
  expect_invalid(amax(0, 0), {"history.amax.size()", "is 0;"});
  expect_invalid(amax(-3, 0), {"history.amax.size()", "is -3;"});
  expect_invalid(amax(6, 1001), {"margin", "1001"});
  const DeviceScales over_batch{{device.as<void>(), DType::kF32, Shape{3}}, {}};
  expect_invalid([&] { minmax_scales(batch, {}, true, over_batch, context(), stream()); },
                 {"scales.scale", "batch uses"});
  expect_invalid(
      [&] {
        range_scales({device.as<Range>(), 2}, {}, true, scales, context(), stream());
      },
      {"scales.scale.size()", "is 3;", "be 2"});
  expect_invalid(
      [&] {
        range_scales({nullptr, 3}, {}, true, scales, context(), stream());
      },
      {"ranges is null"});
  expect_invalid(
      [&] {
        range_scales({device.as<Range>(), 3}, {}, true, over_batch, context(), stream());
      },
      {"scales.scale", "ranges uses"});
  const DeviceScales over_state{{state.as<void>(), DType::kF32, Shape{3}}, {}};
  expect_invalid(
      [&] { update_moving_average(batch, 0.5, states, {}, true, over_state, context(), stream()); },
      {"scales.scale", "state uses"});
  amax(6, 0)();
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
}

}  // namespace
}  // namespace cuqat::test
