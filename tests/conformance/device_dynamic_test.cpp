// Dynamic quantization on the device gives the host's scales, zero points, codes and values, bit
// for bit, for groups of every length that a kernel treats apart.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/device_arguments.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/dynamic_quant.hpp"
#include "host/expect_invalid.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {
namespace {

struct DynamicCase {
  DType dtype;
  Shape shape;
  DynamicQuantization how;
  DataKind data = DataKind::kMixed;
  std::uint64_t seed = 1;
};

std::string name_of(const DynamicCase& c) {
  std::string text = std::string(to_string(c.dtype)) + " [";
  for (const std::int64_t extent : c.shape.extents()) text += std::to_string(extent) + " ";
  return text + "] group " + std::to_string(c.how.granularity.group_size) + " axis " +
         std::to_string(c.how.granularity.axis) + " " +
         std::string(to_string(c.how.quantizer.format)) +
         (c.how.symmetric ? " symmetric " : " affine ") + to_string(c.data);
}

/// What a call gives: bytes of the output, scales as bytes, zero points, and the extras.
struct Answer {
  Bytes output;
  Bytes scale;
  std::vector<std::int32_t> zero_point;
  std::vector<std::uint8_t> clip_mask;
  std::vector<Statistics> statistics;
  friend bool operator==(const Answer&, const Answer&) = default;
};

enum class Output {
  kValues,
  kValuesAndExtras,
  kValuesAndMask,
  kValuesAndStatistics,
  kCodes,
  kNibbles
};

bool is_values(Output output) { return output != Output::kCodes && output != Output::kNibbles; }
bool has_mask(Output output) {
  return output == Output::kValuesAndExtras || output == Output::kValuesAndMask;
}
bool has_statistics(Output output) {
  return output == Output::kValuesAndExtras || output == Output::kValuesAndStatistics;
}

std::size_t output_bytes(const DynamicCase& c, Output output) {
  const std::int64_t count = c.shape.count();
  if (is_values(output)) return static_cast<std::size_t>(count) * dtype_bytes(c.dtype);
  return codes_bytes(count, output == Output::kNibbles ? CodeLayout::kNibbles : CodeLayout::kBytes);
}

CodeLayout layout_of(Output output) {
  return output == Output::kNibbles ? CodeLayout::kNibbles : CodeLayout::kBytes;
}

DType compute_type(DType dtype) { return dtype == DType::kF64 ? DType::kF64 : DType::kF32; }

Answer on_host(const DynamicCase& c, const Bytes& x, Output output) {
  Answer answer;
  answer.output.resize(output_bytes(c, output));
  const HostOptions options{Backend::named("reference"), 1};
  const ConstTensorView view(static_cast<const void*>(x.data()), c.dtype, c.shape);
  QuantParams params;
  if (is_values(output)) {
    const TensorView y(static_cast<void*>(answer.output.data()), c.dtype, c.shape);
    params = fake_quantize_dynamic(view, c.how, y, options);
  } else {
    const std::span codes(reinterpret_cast<std::uint8_t*>(answer.output.data()),
                          answer.output.size());
    params = quantize_dynamic(view, c.how, codes, layout_of(output), options);
  }
  if (has_mask(output)) {
    Bytes again(answer.output.size());
    answer.clip_mask.resize(clip_mask_bytes(c.shape.count()));
    fake_quantize(view, params, TensorView(static_cast<void*>(again.data()), c.dtype, c.shape),
                  answer.clip_mask, options);
  }
  if (has_statistics(output)) answer.statistics = {statistics(view, options)};
  answer.scale = to_bytes(compute_type(c.dtype), params.scale);
  answer.zero_point = params.zero_point;
  return answer;
}

/// x and the output lie this many bytes past a multiple of 256.
struct Offsets {
  std::size_t x = 0;
  std::size_t output = 0;
};

Answer on_device(const DynamicCase& c, const Bytes& x, Output output, const Offsets& offsets = {},
                 bool in_place = false) {
  constexpr std::byte kGuard{0x5c};
  const std::int64_t scales = num_scales(c.how.granularity, c.shape);
  Bytes content(offsets.x, kGuard);
  content.insert(content.end(), x.begin(), x.end());
  const DeviceMemory device_x(content);
  const std::size_t bytes = output_bytes(c, output);
  const DeviceMemory own_output(Bytes(offsets.output + bytes, kGuard));
  std::byte* const out =
      in_place ? device_x.as<>() + offsets.x : own_output.as<>() + offsets.output;
  const DeviceMemory scale(
      Bytes(static_cast<std::size_t>(scales) * dtype_bytes(compute_type(c.dtype)), kGuard));
  const DeviceMemory zero_point(std::vector<std::int32_t>(static_cast<std::size_t>(scales), -99));
  const DeviceScales found{{scale.as<void>(), compute_type(c.dtype), Shape{scales}},
                           {zero_point.as<std::int32_t>(), scales}};
  const ConstDeviceTensorView view(device_x.as<>() + offsets.x, c.dtype, c.shape);
  const DeviceMemory clip_mask(
      std::vector<std::uint8_t>(has_mask(output) ? clip_mask_bytes(c.shape.count()) : 0, 0xa5));
  const DeviceMemory statistics(
      std::vector<Statistics>(has_statistics(output) ? 1 : 0, {-1, -1, -1, -1, -1, 0.0, 0.0}));
  run_on_device([&] {
    const DeviceContext& context = device_under_test().context;
    const StreamRef stream = device_under_test().stream;
    if (is_values(output)) {
      fake_quantize_dynamic(view, c.how, {out, c.dtype, c.shape}, found,
                            {clip_mask.span<std::uint8_t>(), statistics.span<Statistics>()},
                            context, stream);
    } else {
      quantize_dynamic(view, c.how,
                       {reinterpret_cast<std::uint8_t*>(out), static_cast<std::int64_t>(bytes)},
                       layout_of(output), found, context, stream);
    }
  });
  EXPECT_EQ(device_fault(), "");
  Answer answer;
  const Bytes all = in_place ? device_x.content<std::byte>() : own_output.content<std::byte>();
  const std::size_t begin = in_place ? offsets.x : offsets.output;
  EXPECT_TRUE(std::all_of(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(begin),
                          [](std::byte byte) { return byte == kGuard; }))
      << "memory before the output was written";
  answer.output.assign(all.begin() + static_cast<std::ptrdiff_t>(begin), all.end());
  answer.scale = scale.content<std::byte>();
  answer.zero_point = zero_point.content<std::int32_t>();
  answer.clip_mask = clip_mask.content<std::uint8_t>();
  answer.statistics = statistics.content<Statistics>();
  return answer;
}

std::vector<Output> outputs_of(const DynamicCase& c) {
  // Both extras or one of them, in turn.
  constexpr Output kWithExtras[] = {Output::kValuesAndExtras, Output::kValuesAndMask,
                                    Output::kValuesAndStatistics};
  const auto turn = (c.seed + static_cast<std::uint64_t>(c.shape.count())) % 3;
  std::vector<Output> outputs{Output::kValues, kWithExtras[turn], Output::kCodes};
  if (c.how.quantizer.format == Format::kInt4) outputs.push_back(Output::kNibbles);
  return outputs;
}

Bytes elements_of(const DynamicCase& c) {
  return CaseData({c.how.quantizer, c.dtype, c.shape, Granularity::tensor(), c.data, 1, c.seed})
      .x();
}

void expect_host_bits(const DynamicCase& c, int order) {
  const Bytes x = elements_of(c);
  set_device_order(order);
  for (const Output output : outputs_of(c)) {
    const Answer expected = on_host(c, x, output);
    ASSERT_EQ(on_device(c, x, output), expected) << name_of(c) << ", " << device_order_name(order);
    if (is_values(output)) {
      ASSERT_TRUE(on_device(c, x, output, {}, true) == expected) << name_of(c) << ", in place";
    }
  }
}

/// Lengths around what a thread, a warp and a block hold, and groups that cut rows unevenly.
struct Groups {
  Shape shape;
  Granularity granularity;
};
std::vector<Groups> all_groups() {
  const auto whole_rows = [](std::int64_t rows, std::int64_t length) {
    return Groups{Shape{rows, length}, Granularity::group(length)};
  };
  std::vector<Groups> groups{
      {Shape{0, 8}, Granularity::group(8)},        {Shape{3, 0}, Granularity::group(8)},
      {Shape{1}, Granularity::group(1)},           {Shape{7, 8}, Granularity::group(1)},
      {Shape{7, 9}, Granularity::group(2)},        {Shape{5, 13}, Granularity::group(5)},
      {Shape{3, 31}, Granularity::group(32)},      {Shape{3, 33}, Granularity::group(32)},
      {Shape{9, 256}, Granularity::group(32)},     {Shape{600, 64}, Granularity::group(64)},
      {Shape{3, 2, 320}, Granularity::group(128)}, {Shape{4, 257}, Granularity::group(128)},
      {Shape{2, 6, 20}, Granularity::group(6)},    {Shape{2, 3000}, Granularity::group(2999)},
      {Shape{37, 1100}, Granularity::group(1100)}};  // a block has one long group after another
  for (const std::int64_t length : {7, 8, 63, 65, 255, 256, 257, 511, 513, 1023, 1024, 1025, 2047,
                                    2049, 8191, 8192, 8193, 9001, 21001}) {
    groups.push_back(whole_rows(length < 100 ? 37 : 3, length));
  }
  return groups;
}

class DeviceDynamic : public testing::TestWithParam<std::tuple<Format, DType>> {};

TEST_P(DeviceDynamic, GroupsHaveTheHostsBits) {
  const auto& [format, dtype] = GetParam();
  int turn = 0;
  for (const auto& [shape, granularity] : all_groups()) {
    for (const Quantizer& quantizer : quantizers(format)) {
      for (const bool symmetric : {true, false}) {
        if (!symmetric && !is_integer(format)) continue;
        ++turn;
        if (turn % static_cast<int>(kCaseStride) != 0 && shape.count() > 0) continue;
        const auto kind = static_cast<DataKind>(turn % kNumDataKinds);
        expect_host_bits({dtype,
                          shape,
                          {quantizer, granularity, symmetric},
                          kind,
                          static_cast<std::uint64_t>(turn)},
                         turn % num_device_orders());
        ASSERT_FALSE(HasFailure());
      }
    }
  }
}

TEST_P(DeviceDynamic, TensorsAndChannelsHaveTheHostsBits) {
  const auto& [format, dtype] = GetParam();
  int turn = 0;
  for (const Granularity& granularity : {Granularity::tensor(), Granularity::channel(0),
                                         Granularity::channel(1), Granularity::channel(-1)}) {
    for (const Shape& shape : {Shape{3, 5, 41}, Shape{1, 1, 1}, Shape{70, 2, 33}, Shape{2, 0, 3}}) {
      for (const bool symmetric : {true, false}) {
        if (!symmetric && !is_integer(format)) continue;
        ++turn;
        const auto kind = static_cast<DataKind>(turn % kNumDataKinds);
        expect_host_bits({dtype,
                          shape,
                          {quantizers(format)[0], granularity, symmetric},
                          kind,
                          static_cast<std::uint64_t>(turn)},
                         turn % num_device_orders());
        ASSERT_FALSE(HasFailure());
      }
    }
  }
}

TEST_P(DeviceDynamic, AlignmentChangesNoBit) {
  const auto& [format, dtype] = GetParam();
  set_device_order(0);
  for (std::size_t offset = 0; offset < 16; ++offset) {
    const std::int64_t length = 40 + static_cast<std::int64_t>(offset);
    for (const std::int64_t group : {std::int64_t{8}, std::int64_t{32}, length}) {
      const DynamicCase c{
          dtype, Shape{5, length}, {quantizers(format)[0], Granularity::group(group), true}};
      const Bytes x = elements_of(c);
      for (const Output output : outputs_of(c)) {
        const Offsets offsets{offset, (5 * offset + 3) % 16};
        ASSERT_TRUE(on_device(c, x, output, offsets) == on_host(c, x, output))
            << name_of(c) << ", offset " << offset;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, DeviceDynamic,
                         testing::Combine(testing::ValuesIn(kFormats), testing::ValuesIn(kDTypes)),
                         [](const auto& test) {
                           return std::string(to_string(std::get<0>(test.param))) + "_" +
                                  std::string(to_string(std::get<1>(test.param)));
                         });

using DeviceDynamicCalls = DeviceArguments;

TEST_F(DeviceDynamicCalls, AreOneLaunchForGroupsAndNothingElse) {
  const auto scales_of = [&](std::int64_t group) {
    return DeviceScales{{scale_, DType::kF32, Shape{(kCount - 1) / group + 1}}, {}};
  };
  const DeviceScales scales = scales_of(128);
  const auto groups = [&] {
    fake_quantize_dynamic(x(), {{}, Granularity::group(128), true}, y(), scales, {}, context(),
                          stream());
  };
  const Enqueued of_groups = enqueued_by(groups);
  EXPECT_EQ(of_groups.kernels, 1);
  EXPECT_EQ(of_groups.others, 0);
  const DeviceScales one{{scale_, DType::kF32, Shape{1}}, {}};
  const Enqueued of_tensor =
      enqueued_by([&] { fake_quantize_dynamic(x(), {}, y(), one, {}, context(), stream()); });
  EXPECT_EQ(of_tensor.kernels, 3);
  EXPECT_EQ(of_tensor.others, 0);
  // Groups of 125 begin within bytes of the mask.
  for (const auto& [group, kernels] : {std::pair{128, 1}, std::pair{1000, 1}, std::pair{125, 2}}) {
    const Enqueued with_extras = enqueued_by([&, size = group] {
      fake_quantize_dynamic(x(), {{}, Granularity::group(size), true}, y(), scales_of(size),
                            extras(), context(), stream());
    });
    EXPECT_EQ(with_extras.kernels, kernels) << group;
    EXPECT_EQ(with_extras.others, 0);
  }
}

TEST_F(DeviceDynamicCalls, RefuseExtrasThatDoNotFit) {
  const DeviceScales one{{scale_, DType::kF32, Shape{1}}, {}};
  const auto expect = [&](const FakeQuantizeExtras& wrong,
                          std::initializer_list<std::string_view> parts) {
    expect_refused([&] { fake_quantize_dynamic(x(), {}, y(), one, wrong, context(), stream()); },
                   parts);
  };
  auto* const mask = static_cast<std::uint8_t*>(mask_);
  auto* const found = static_cast<Statistics*>(statistics_);
  expect({{mask, 124}, {}}, {"clip_mask.size()", "124", "125"});
  expect({{static_cast<std::uint8_t*>(x_), 125}, {}}, {"clip_mask", "apart from x"});
  expect({{static_cast<std::uint8_t*>(scale_), 125}, {}}, {"scales.scale", "clip_mask uses"});
  expect({{}, {found, 2}}, {"statistics.size() is 2", "be 1"});
  expect({{}, {static_cast<Statistics*>(y_), 1}}, {"statistics", "apart from y"});
  expect({{mask, 125}, {static_cast<Statistics*>(mask_), 1}}, {"clip_mask", "statistics uses"});
  std::vector<std::uint8_t> host(125);
  expect({{host.data(), 125}, {}}, {"clip_mask is ", "device memory"});
}

TEST_F(DeviceDynamicCalls, RefuseWhatDoesNotFitTogether) {
  const DeviceScales one{{scale_, DType::kF32, Shape{1}}, {}};
  DynamicQuantization how;
  how.symmetric = false;
  const auto call = [&](const DeviceScales& scales) {
    return [&, scales] { fake_quantize_dynamic(x(), how, y(), scales, {}, context(), stream()); };
  };
  expect_invalid(call(one), {"scales.zero_point.size()", "is 0;", "be 1"});
  how.quantizer.format = Format::kE4M3;
  expect_invalid(call(one), {"how.symmetric", "e4m3"});
  how.symmetric = true;
  how.quantizer.rounding = Rounding::kOriginal;
  expect_invalid(call(one), {"how.quantizer.rounding"});
  how = {{}, Granularity::group(100), true};
  expect_invalid(call(one), {"scales.scale.size()", "is 1;", "be 10"});
  how = {};
  expect_invalid(call({{scale_, DType::kF64, Shape{1}}, {}}), {"scales.scale.dtype()", "F64"});
  expect_invalid(call({{scale_, DType::kBF16, Shape{1}}, {}}), {"scales.scale.dtype()", "BF16"});
  float host = 0;
  expect_invalid(call({{&host, DType::kF32, Shape{1}}, {}}), {"scales.scale", "device memory"});
  expect_invalid(call({{x_, DType::kF32, Shape{1}}, {}}), {"scales.scale", "x uses"});
  expect_invalid(call({{static_cast<std::byte*>(scale_) + 2, DType::kF32, Shape{1}}, {}}),
                 {"scales.scale", "multiple of 4"});
  how.symmetric = false;
  expect_invalid(call({{scale_, DType::kF32, Shape{1}}, {static_cast<std::int32_t*>(x_), 1}}),
                 {"scales.zero_point", "x uses"});
  expect_invalid(call({{scale_, DType::kF32, Shape{1}}, {static_cast<std::int32_t*>(y_) + 7, 1}}),
                 {"scales.zero_point", "y uses"});
  expect_invalid(call({{scale_, DType::kF32, Shape{1}}, {static_cast<std::int32_t*>(scale_), 1}}),
                 {"scales.scale", "scales.zero_point uses"});
  const DeviceMemory scale(std::vector<float>(200));
  const DeviceMemory wide(std::vector<std::uint16_t>(200));
  const Shape shape{200};
  const Granularity each = Granularity::channel(0);
  EXPECT_EQ(dynamic_workspace_bytes(shape, each), 200 * sizeof(Statistics));
  EXPECT_EQ(dynamic_workspace_bytes(shape, Granularity::tensor()), sizeof(Statistics));
  EXPECT_EQ(dynamic_workspace_bytes(shape, Granularity::group(32)), 0u);
  EXPECT_THROW(static_cast<void>(dynamic_workspace_bytes(shape, Granularity::channel(1))),
               InvalidArgument);
  const std::size_t needed = dynamic_workspace_bytes(shape, each);
  const DeviceContext small({.workspace_bytes = needed - 1});
  const DeviceContext enough({.workspace_bytes = needed});
  const auto run = [&](const DeviceContext& on) {
    fake_quantize_dynamic({wide.as<void>(), DType::kBF16, shape}, {{}, each, true},
                          {wide.as<void>(), DType::kBF16, shape},
                          {{scale.as<void>(), DType::kF32, shape}, {}}, {}, on, stream());
  };
  expect_refused([&] { run(small); }, {"context.workspace_bytes() is " + std::to_string(needed - 1),
                                       "at least " + std::to_string(needed)});
  run(enough);
  fake_quantize_dynamic(x(), {}, y(), one, {}, context(), stream());
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
}

}  // namespace
}  // namespace cuqat::test
