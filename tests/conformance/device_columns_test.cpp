// A scale for each column of a matrix. A thread keeps to eight columns, so the last threads of a
// grid that the rows do not divide have nothing to do.
#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string>
#include <vector>

#include "conformance/cases.hpp"
#include "conformance/operations.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/statistics.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/device_table.hpp"

namespace cuqat::test {
namespace {

class DeviceColumns : public testing::TestWithParam<DType> {};

TEST_P(DeviceColumns, HaveTheReferencesBitsWhateverTheirNumber) {
  print_case_stride();
  std::uint64_t seed = 0;
  for (const Shape& shape : {Shape{90, 24}, Shape{40, 8 * 67}, Shape{7, 8 * 33}}) {
    for (const Format format : kFormats) {
      for (const DataKind kind : {DataKind::kMixed, DataKind::kTies, DataKind::kTinyScale}) {
        if (++seed % kCaseStride != 0) continue;
        const CaseData data(
            {quantizers(format)[0], GetParam(), shape, Granularity::channel(1), kind, 1, seed});
        // Packs of 16 bytes, words, and elements at addresses that are no multiples of theirs.
        constexpr std::size_t kOffsets[] = {0, 1, 4, 3, 8, 12};
        const std::size_t offset = kOffsets[seed % std::size(kOffsets)];
        set_device_order(static_cast<int>(seed) % num_device_orders());
        for (const std::size_t index : {0u, 1u, 2u, 3u, 5u, 6u, 7u}) {
          const Operation& operation = kOperations[index];
          const Outputs expected =
              operation.run(&reference::operations(), data, {.fill = std::byte{0x3c}});
          const Outputs actual = operation.run(device_table(), data, {offset, offset});
          ASSERT_EQ(first_difference(expected, actual), "")
              << operation.name << ", " << data.parameters();
        }
      }
    }
  }
  set_device_order(0);
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceColumns, testing::ValuesIn(kDTypes),
                         [](const auto& dtype) { return std::string(to_string(dtype.param)); });

/// Scales that have no quick way, each beside ordinary ones; in place, and not at 16 bytes. The
/// zeros that are counted show that each element is seen once.
TEST(DeviceColumn, OneOfThemMayHaveAnyScale) {
  // More packs than threads of a grid, whose last ones are left over.
  constexpr std::size_t kRows = 3000;
  constexpr std::size_t kColumns = 24;
  constexpr std::size_t kZero = 21;
  std::vector<float> x(kRows * kColumns);
  Random random(5);
  for (float& value : x) value = static_cast<float>(random.normal() * 50.0);
  for (std::size_t i = 0; i < x.size(); i += 3) x[i] = 0.0f;
  QuantParams params;
  params.granularity = Granularity::channel(1);
  params.scale.assign(kColumns, 0.37);
  params.scale[3] = 1e-40;  // subnormal
  params.scale[9] = 3e38;
  std::vector<float> scale(kColumns + 1);
  for (std::size_t i = 0; i < kColumns; ++i) {
    params.scale[i] = scale[i + 1] = static_cast<float>(params.scale[i]);
  }
  scale[kZero + 1] = 0.0f;

  const Shape shape{kRows, kColumns};
  std::vector<float> expected(x.size());
  fake_quantize({x.data(), shape}, params, {expected.data(), shape}, {},
                {Backend::named("reference"), 1});
  for (std::size_t row = 0; row < kRows; ++row) {
    expected[row * kColumns + kZero] = x[row * kColumns + kZero];
  }

  const DeviceMemory in_place(x);
  const DeviceMemory scales(scale);
  const DeviceMemory seen(sizeof(Statistics));
  DeviceQuantParams on_device;
  on_device.granularity = params.granularity;
  on_device.scale = {scales.as<float>() + 1, DType::kF32, Shape{kColumns}};
  run_on_device([&] {
    fake_quantize({in_place.as<float>(), DType::kF32, shape}, on_device,
                  {in_place.as<float>(), DType::kF32, shape}, {{}, seen.span<Statistics>()},
                  device_under_test().context, device_under_test().stream);
  });
  EXPECT_EQ(in_place.content<float>(), expected);
  EXPECT_EQ(seen.content<Statistics>().front(), statistics(x, {Backend::named("reference"), 1}));
}

/// One scale for all, from the least number to the largest: of most of these the reciprocal, or
/// what a quotient is corrected by, is no normal number.
TEST(DeviceTensorScale, MayBeAnyNumber) {
  const Shape shape{2051};
  Random random(6);
  int order = 0;
  for (const double wanted : {1e-45, 1e-40, 1.2e-38, 0x1p-100, 0x1p-71, 0x1p71, 0x1p100, 3e38}) {
    const auto scale = static_cast<float>(wanted);
    std::vector<float> x(static_cast<std::size_t>(shape.count()));
    for (float& value : x) value = static_cast<float>(random.normal() * 20.0 * double{scale});
    for (std::size_t i = 0; i < x.size(); i += 5) x[i] = i % 2 == 0 ? 0.0f : -0.0f;
    for (std::size_t i = 3; i < x.size(); i += 25) x[i] = static_cast<float>(random.normal());
    for (const Format format : kFormats) {
      set_device_order(order++ % num_device_orders());
      QuantParams params;
      params.quantizer.format = format;
      params.scale = {double{scale}};
      std::vector<float> expected(x.size());
      fake_quantize({x.data(), shape}, params, {expected.data(), shape}, {},
                    {Backend::named("reference"), 1});
      const DeviceMemory device_x(x);
      const DeviceMemory y(x.size() * sizeof(float));
      const DeviceMemory device_scale(std::vector<float>{scale});
      DeviceQuantParams on_device;
      on_device.quantizer = params.quantizer;
      on_device.scale = {device_scale.as<float>(), DType::kF32, Shape{1}};
      run_on_device([&] {
        fake_quantize({device_x.as<float>(), DType::kF32, shape}, on_device,
                      {y.as<float>(), DType::kF32, shape}, {}, device_under_test().context,
                      device_under_test().stream);
      });
      EXPECT_EQ(bytes_of(y.content<float>()), bytes_of(expected))
          << scale << ' ' << to_string(format);
    }
  }
  EXPECT_EQ(device_fault(), "");
}

}  // namespace
}  // namespace cuqat::test
