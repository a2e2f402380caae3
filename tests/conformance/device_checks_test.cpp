// Every argument of the device functions below, which work on the caller's memory, is checked: host
// memory, no memory, a wrong number, a wrong alignment, and outputs in the memory of something else
// are refused by the argument's name, before anything is put on the stream.
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_equalization.hpp"
#include "cuqat/device_histogram.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/device_percentile.hpp"
#include "support/device_memory.hpp"

namespace cuqat::test {
namespace {

enum class Role { kInput, kOutput };

struct Argument {
  std::string_view name;
  Role role;
  std::int64_t count;
  std::size_t alignment = 1;  ///< 1: any.
  /// Arguments whose memory it may be, all of it.
  std::vector<std::string_view> may_be = {};
  bool sets_the_size = false;  ///< The others are compared with it.
  bool is_optional = false;    ///< No entries: not wanted.
};

/// The arguments of a call, in the order of Function::arguments.
class Values {
 public:
  Values(std::vector<void*> memory, std::vector<std::int64_t> counts)
      : memory_(std::move(memory)), counts_(std::move(counts)) {}

  template <typename T>
  [[nodiscard]] DeviceSpan<T> span(std::size_t i) const {
    return {static_cast<T*>(memory_[i]), counts_[i]};
  }
  [[nodiscard]] DeviceTensorView f32(std::size_t i) const { return view(i, DType::kF32); }
  [[nodiscard]] DeviceTensorView view(std::size_t i, DType dtype) const {
    return {memory_[i], dtype, Shape{counts_[i]}};
  }
  /// A scale and a zero point for each element, from argument i on.
  [[nodiscard]] DeviceQuantParams params(std::size_t i) const {
    return {{}, Granularity::channel(0), f32(i), span<const std::int32_t>(i + 1)};
  }
  [[nodiscard]] DeviceScales scales(std::size_t i) const {
    return {f32(i), span<std::int32_t>(i + 1)};
  }
  [[nodiscard]] FakeQuantizeExtras extras(std::size_t i) const {
    return {span<std::uint8_t>(i), span<Statistics>(i + 1)};
  }

 private:
  std::vector<void*> memory_;
  std::vector<std::int64_t> counts_;
};

struct Function {
  std::string name;
  std::vector<Argument> arguments;
  std::function<void(const Values&)> call;
};

constexpr std::int64_t kMaskBytes = (kCount + 7) / 8;
constexpr DynamicQuantization kByChannel{{}, Granularity::channel(0), false};

Argument input(std::string_view name, std::int64_t count = kCount, std::size_t alignment = 1) {
  return {name, Role::kInput, count, alignment};
}
Argument output(std::string_view name, std::int64_t count = kCount, std::size_t alignment = 1,
                std::vector<std::string_view> may_be = {}) {
  return {name, Role::kOutput, count, alignment, std::move(may_be)};
}
/// FakeQuantizeExtras.
Argument clip_mask() { return {"clip_mask", Role::kOutput, kMaskBytes, 1, {}, false, true}; }
Argument statistics_wanted() { return {"statistics", Role::kOutput, 1, 8, {}, false, true}; }
/// That the others are compared with.
Argument sizing(std::string_view name, std::int64_t count = kCount, std::size_t alignment = 1) {
  return {name, Role::kInput, count, alignment, {}, true};
}

std::vector<Function> functions(const DeviceContext& context, StreamRef stream,
                                DeviceCalibrationCollector& collector) {
  const Argument scale = input("params.scale", kCount, 4);
  const Argument zero_point = input("params.zero_point", kCount, 4);
  const Argument new_scale = output("scales.scale", kCount, 4);
  const Argument new_zero_point = output("scales.zero_point", kCount, 4);
  const std::vector<double> percentiles = {50.0, 99.0};
  return {
      {"quantize",
       {sizing("x"), scale, zero_point, output("codes")},
       [&context, stream](const Values& v) {
         quantize(v.f32(0), v.params(1), v.span<std::uint8_t>(3), CodeLayout::kBytes, context,
                  stream);
       }},
      {"quantize with statistics",
       {sizing("x"), scale, zero_point, output("codes"), output("statistics", 1, 8)},
       [&context, stream](const Values& v) {
         quantize(v.f32(0), v.params(1), v.span<std::uint8_t>(3), CodeLayout::kBytes,
                  v.span<Statistics>(4), context, stream);
       }},
      {"dequantize",
       {input("codes"), scale, zero_point, {"y", Role::kOutput, kCount, 1, {}, true}},
       [&context, stream](const Values& v) {
         dequantize(v.span<const std::uint8_t>(0), v.params(1), v.f32(3), CodeLayout::kBytes,
                    context, stream);
       }},
      {"fake_quantize",
       {sizing("x"), scale, zero_point, output("y", kCount, 1, {"x"}), clip_mask(),
        statistics_wanted()},
       [&context, stream](const Values& v) {
         fake_quantize(v.f32(0), v.params(1), v.f32(3), v.extras(4), context, stream);
       }},
      {"fake_quantize_backward",
       {input("dy"), sizing("x"), scale, zero_point, output("dx", kCount, 1, {"dy", "x"})},
       [&context, stream](const Values& v) {
         fake_quantize_backward(v.f32(0), v.f32(1), v.params(2), v.f32(4), context, stream);
       }},
      {"fake_quantize_backward from the mask",
       {sizing("dy"), input("clip_mask", kMaskBytes), output("dx", kCount, 1, {"dy"})},
       [&context, stream](const Values& v) {
         fake_quantize_backward(v.f32(0), v.span<const std::uint8_t>(1), v.f32(2), context, stream);
       }},
      {"learned_scale_backward",
       {input("dy"), sizing("x"), scale, zero_point, output("dx", kCount, 1, {"dy", "x"}),
        output("gradient.dscale", kCount, 4), output("gradient.dzero_point", kCount, 4)},
       [&context, stream](const Values& v) {
         learned_scale_backward(v.f32(0), v.f32(1), v.params(2), v.f32(4), {v.f32(5), v.f32(6)}, {},
                                context, stream);
       }},
      {"quantize_dynamic",
       {sizing("x"), output("codes"), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         quantize_dynamic(v.f32(0), kByChannel, v.span<std::uint8_t>(1), CodeLayout::kBytes,
                          v.scales(2), context, stream);
       }},
      {"fake_quantize_dynamic",
       {sizing("x"), output("y", kCount, 1, {"x"}), new_scale, new_zero_point, clip_mask(),
        statistics_wanted()},
       [&context, stream](const Values& v) {
         fake_quantize_dynamic(v.f32(0), kByChannel, v.f32(1), v.scales(2), v.extras(4), context,
                               stream);
       }},
      {"statistics of channels",
       {sizing("x"), output("result", kCount, 8)},
       [&context, stream](const Values& v) {
         statistics(v.f32(0), Granularity::channel(0), v.span<Statistics>(1), context, stream);
       }},
      {"quantization_error",
       {sizing("x"), scale, zero_point, input("statistics", kCount, 8),
        output("result", kCount, 8)},
       [&context, stream](const Values& v) {
         quantization_error(v.f32(0), v.params(1), v.span<const Statistics>(3),
                            v.span<QuantizationError>(4), context, stream);
       }},
      {"accumulate_key_histogram",
       {sizing("x"), output("counts", kNumKeys, 8), output("result", 1, 8)},
       [&context, stream](const Values& v) {
         accumulate_key_histogram(v.f32(0), v.span<std::uint64_t>(1), v.span<Statistics>(2),
                                  context, stream);
       }},
      {"percentile_ranges",
       {sizing("x"), output("result", 2, 8)},
       [&context, stream, percentiles](const Values& v) {
         percentile_ranges(v.f32(0), OrderBy::kMagnitude, percentiles, v.span<Range>(1), context,
                           stream);
       }},
      {"sorted_percentile_ranges",
       {sizing("x"), output("result", 2 * kCount, 8)},
       [&context, stream, percentiles](const Values& v) {
         sorted_percentile_ranges(v.f32(0), Granularity::channel(0), OrderBy::kValue, percentiles,
                                  v.span<Range>(1), context, stream);
       }},
      {"calibrate_scales",
       {sizing("x"), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         calibrate_scales(v.f32(0), Granularity::channel(0), {.symmetric = false}, v.scales(1),
                          context, stream);
       }},
      {"minmax_scales",
       {sizing("batch", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         minmax_scales(v.span<const Statistics>(0), {}, false, v.scales(1), context, stream);
       }},
      {"range_scales",
       {sizing("ranges", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         range_scales(v.span<const Range>(0), {}, false, v.scales(1), context, stream);
       }},
      {"update_moving_average",
       {sizing("batch", kCount, 8), output("state", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         update_moving_average(v.span<const Statistics>(0), 0.5, v.span<MovingAverageState>(1), {},
                               false, v.scales(2), context, stream);
       }},
      {"update_amax_history",
       {sizing("batch", kCount, 8), output("history.amax", 2 * kCount, 8),
        output("history.num_steps", kCount, 8), new_scale, new_zero_point},
       [&context, stream](const Values& v) {
         update_amax_history(v.span<const Statistics>(0),
                             {v.span<double>(1), v.span<std::int64_t>(2)}, {}, 0, v.scales(3),
                             context, stream);
       }},
      {"equalization_factors",
       {sizing("activations", kCount, 8), input("weights", kCount, 8),
        output("factors", kCount, 4)},
       [&context, stream](const Values& v) {
         equalization_factors(v.span<const Statistics>(0), v.span<const Statistics>(1), 0.5,
                              v.f32(2), context, stream);
       }},
      {"divide_channels",
       {sizing("x"), input("factors", kCount, 4), output("y", kCount, 1, {"x"})},
       [&context, stream](const Values& v) {
         divide_channels(v.f32(0), 0, v.f32(1), v.f32(2), context, stream);
       }},
      {"observe_and_fake_quantize",
       {sizing("x"), scale, zero_point, output("y"), clip_mask()},
       [&context, stream, &collector](const Values& v) {
         collector.observe_and_fake_quantize(v.view(0, DType::kBF16), v.params(1),
                                             v.view(3, DType::kBF16), v.span<std::uint8_t>(4),
                                             context, stream);
       }},
  };
}

class DeviceChecks : public DeviceArguments {
 protected:
  DeviceChecks() {
    for (std::size_t i = 0; i < 8; ++i) {
      memory_.push_back(std::make_unique<DeviceMemory>(std::vector<float>(kBytes / 4, 1.0f)));
    }
  }

  [[nodiscard]] Values values(const Function& function, std::size_t changed, void* memory,
                              std::int64_t added = 0) const {
    std::vector<void*> all;
    std::vector<std::int64_t> counts;
    for (std::size_t i = 0; i < function.arguments.size(); ++i) {
      all.push_back(i == changed && added == 0 ? memory : memory_[i]->as<void>());
      counts.push_back(function.arguments[i].count + (i == changed ? added : 0));
    }
    return {all, counts};
  }

  /// Of one argument: enough for each.
  static constexpr std::size_t kBytes = kNumKeys * 8;
  static constexpr std::size_t kNone = 99;

  std::vector<std::unique_ptr<DeviceMemory>> memory_;
  std::vector<std::byte> host_ = std::vector<std::byte>(kBytes);
  DeviceCalibrationCollector collector_{DType::kBF16, context()};
  std::vector<Function> functions_ = functions(context(), stream(), collector_);
};

TEST_F(DeviceChecks, EveryArgumentOfEveryFunctionIsNamed) {
  for (const Function& function : functions_) {
    ASSERT_LE(function.arguments.size(), memory_.size());
    for (std::size_t i = 0; i < function.arguments.size(); ++i) {
      const Argument& argument = function.arguments[i];
      SCOPED_TRACE(function.name + ", " + std::string(argument.name));
      const auto refused = [&](void* memory, std::initializer_list<std::string_view> parts) {
        expect_refused([&] { function.call(values(function, i, memory)); }, parts);
      };
      refused(host_.data(), {argument.name, "device memory"});
      refused(nullptr, {argument.name, "null"});
      if (argument.alignment > 1) {
        refused(memory_[i]->as() + 1, {argument.name, "1 bytes past"});
      }
      if (!argument.sets_the_size) {
        for (const std::int64_t added : {-1, 1}) {
          if (argument.is_optional && argument.count + added == 0) continue;
          expect_refused([&] { function.call(values(function, i, nullptr, added)); },
                         {argument.name});
        }
      }
    }
  }
}

TEST_F(DeviceChecks, NoOutputIsInTheMemoryOfSomethingElse) {
  for (const Function& function : functions_) {
    for (std::size_t i = 0; i < function.arguments.size(); ++i) {
      const Argument& written = function.arguments[i];
      if (written.role != Role::kOutput) continue;
      for (std::size_t j = 0; j < function.arguments.size(); ++j) {
        const Argument& other = function.arguments[j];
        if (i == j) continue;
        const bool allowed =
            std::count(written.may_be.begin(), written.may_be.end(), other.name) +
                std::count(other.may_be.begin(), other.may_be.end(), written.name) >
            0;
        if (allowed) continue;
        SCOPED_TRACE(function.name + ", " + std::string(written.name) + " and " +
                     std::string(other.name));
        expect_refused([&] { function.call(values(function, i, memory_[j]->as<void>())); },
                       {written.name, other.name});
      }
    }
  }
}

TEST_F(DeviceChecks, WhatFitsIsTakenByAll) {
  for (const Function& function : functions_) {
    SCOPED_TRACE(function.name);
    EXPECT_NO_THROW(function.call(values(function, kNone, nullptr)));
    ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  }
}

}  // namespace
}  // namespace cuqat::test
