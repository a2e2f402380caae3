// Tensors of 2^31 elements and a few less or more: no index or count on the device is an int. A
// period of a prime number of elements is repeated, so that an element of another place shows.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>
#include <vector>

#include "conformance/repeated_memory.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_percentile.hpp"
#include "cuqat/device_statistics.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"
#include "support/value_of_rank.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kPeriod = 4093;
/// Elements after which the mask's bytes repeat too.
constexpr std::int64_t kMaskPeriod = 8 * kPeriod;

/// kMaskPeriod bf16 elements that repeat after kPeriod, with every special value among them.
Bytes make_period() {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Random random(11);
  std::vector<double> values(kPeriod);
  for (double& value : values) value = random.normal();
  const double special[] = {std::numeric_limits<double>::quiet_NaN(), kInfinity, -kInfinity, 0.0};
  std::copy(std::begin(special), std::end(special), values.begin() + 1000);
  const Bytes once = to_bytes(DType::kBF16, values);
  Bytes all;
  for (int i = 0; i < 8; ++i) all.insert(all.end(), once.begin(), once.end());
  return all;
}

Statistics times(Statistics s, std::int64_t n) {
  for (std::int64_t* count : {&s.count, &s.nan, &s.pos_inf, &s.neg_inf, &s.zeros}) *count *= n;
  return s;
}

/// The parameter is what is added to num_large_elements().
class DeviceLarge : public testing::TestWithParam<int> {
 protected:
  [[nodiscard]] static std::int64_t count() { return num_large_elements() + GetParam(); }
  [[nodiscard]] static std::size_t tensor_bytes() { return static_cast<std::size_t>(count()) * 2; }
  [[nodiscard]] static ConstTensorView host_period() {
    static const Bytes kBytes = make_period();
    return {kBytes.data(), DType::kBF16, Shape{kMaskPeriod}};
  }
  [[nodiscard]] static Bytes period() {
    const auto* const first = static_cast<const std::byte*>(host_period().data());
    return {first, first + host_period().size_bytes()};
  }
  [[nodiscard]] static Statistics expected_statistics() {
    const ConstTensorView once(host_period().data(), DType::kBF16, Shape{kPeriod});
    const ConstTensorView rest(host_period().data(), DType::kBF16, Shape{count() % kPeriod});
    Statistics all = times(statistics(once), count() / kPeriod);
    all.merge(statistics(rest));
    return all;
  }
  [[nodiscard]] static QuantizationError expected_error() {
    const std::vector<double> amax = {expected_statistics().amax()};
    const auto of_first = [&](std::int64_t elements) {
      const ConstTensorView part(host_period().data(), DType::kBF16, Shape{elements});
      return quantization_error(part, params(), amax).front();
    };
    const QuantizationError once = of_first(kPeriod);
    QuantizationError all = of_first(count() % kPeriod);
    for (std::int64_t i = 0; i < count() / kPeriod; ++i) all.merge(once);
    return all;
  }
  static QuantParams params() {
    QuantParams params;
    params.scale = {0.02};
    return params;
  }

  void SetUp() override { set_device_order(0); }

  DeviceMemory scale_{std::vector<float>{0.02f}};
  DeviceMemory result_{sizeof(Statistics)};
  DeviceQuantParams device_params_{
      {}, {}, {scale_.as(), DType::kF32, Shape{1}}, DeviceSpan<const std::int32_t>()};
  const DeviceUnderTest& device_ = device_under_test();
};

TEST_P(DeviceLarge, TensorIsFakeQuantizedToItsEnd) {
  const std::size_t mask_bytes = clip_mask_bytes(count());
  const std::string why_not = too_little_memory(tensor_bytes() + mask_bytes);
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  Bytes y(period().size());
  Bytes mask(static_cast<std::size_t>(kPeriod));
  fake_quantize(host_period(), params(), TensorView(y.data(), DType::kBF16, Shape{kMaskPeriod}),
                {reinterpret_cast<std::uint8_t*>(mask.data()), mask.size()});

  const DeviceMemory memory(tensor_bytes());
  const DeviceMemory device_mask(mask_bytes);
  repeat(memory.as(), memory.size_bytes(), period());
  const DeviceTensorView x(memory.as(), DType::kBF16, Shape{count()});
  const FakeQuantizeExtras extras{
      {device_mask.as<std::uint8_t>(), static_cast<std::int64_t>(mask_bytes)},
      result_.span<Statistics>()};
  run_on_device(
      [&] { fake_quantize(x, device_params_, x, extras, device_.context, device_.stream); });
  EXPECT_EQ(result_.content<Statistics>().front(), expected_statistics());
  expect_repeats(memory, y, "y");
  if (count() % 8 == 0) {
    expect_repeats(device_mask, mask, "the mask");
    return;
  }
  // Spare bits of the last byte are 0.
  std::byte& last = mask[(mask_bytes - 1) % mask.size()];
  std::uint8_t found = 0;
  ASSERT_EQ(cudaMemcpy(&found, device_mask.as() + mask_bytes - 1, 1, cudaMemcpyDeviceToHost),
            cudaSuccess);
  EXPECT_EQ(found, std::to_integer<unsigned>(last) & ((1u << (count() % 8)) - 1));
  ASSERT_EQ(cudaMemcpy(device_mask.as() + mask_bytes - 1, &last, 1, cudaMemcpyHostToDevice),
            cudaSuccess);
  expect_repeats(device_mask, mask, "the mask");
}

TEST_P(DeviceLarge, TensorIsQuantizedToItsEnd) {
  const auto codes = static_cast<std::size_t>(count());
  const std::string why_not = too_little_memory(tensor_bytes() + codes);
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  Bytes expected(static_cast<std::size_t>(kMaskPeriod));
  quantize(host_period(), params(),
           {reinterpret_cast<std::uint8_t*>(expected.data()), expected.size()}, CodeLayout::kBytes);

  const DeviceMemory memory(tensor_bytes());
  const DeviceMemory device_codes(codes);
  repeat(memory.as(), memory.size_bytes(), period());
  run_on_device([&] {
    quantize({memory.as(), DType::kBF16, Shape{count()}}, device_params_,
             {device_codes.as<std::uint8_t>(), count()}, CodeLayout::kBytes, device_.context,
             device_.stream);
  });
  expect_repeats(device_codes, expected, "codes");
}

TEST_P(DeviceLarge, TensorHasEveryElementInItsStatisticsAndErrors) {
  const std::string why_not = too_little_memory(tensor_bytes());
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const DeviceMemory memory(tensor_bytes());
  const DeviceMemory error(sizeof(QuantizationError));
  repeat(memory.as(), memory.size_bytes(), period());
  run_on_device([&] {
    const ConstDeviceTensorView x(memory.as(), DType::kBF16, Shape{count()});
    statistics(x, result_.span<Statistics>(), device_.context, device_.stream);
    quantization_error(x, device_params_, result_.span<const Statistics>(),
                       error.span<QuantizationError>(), device_.context, device_.stream);
  });
  EXPECT_EQ(result_.content<Statistics>().front(), expected_statistics());
  EXPECT_EQ(error.content<QuantizationError>().front(), expected_error());
}

TEST_P(DeviceLarge, CodesAreDequantizedToTheirEnd) {
  const auto num_codes = static_cast<std::size_t>(count());
  const std::string why_not = too_little_memory(tensor_bytes() + num_codes);
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  std::vector<std::uint8_t> codes(static_cast<std::size_t>(kMaskPeriod));
  quantize(host_period(), params(), codes, CodeLayout::kBytes);
  Bytes y(period().size());
  dequantize(codes, params(), TensorView(y.data(), DType::kBF16, Shape{kMaskPeriod}),
             CodeLayout::kBytes);

  const DeviceMemory memory(tensor_bytes());
  const DeviceMemory device_codes(num_codes);
  repeat(device_codes.as(), device_codes.size_bytes(), bytes_of(codes));
  run_on_device([&] {
    dequantize({device_codes.as<const std::uint8_t>(), count()}, device_params_,
               {memory.as(), DType::kBF16, Shape{count()}}, CodeLayout::kBytes, device_.context,
               device_.stream);
  });
  expect_repeats(memory, y, "y");
}

/// From the mask, which repeats too, and from x.
TEST_P(DeviceLarge, GradientIsClippedToItsEnd) {
  const std::size_t mask_bytes = clip_mask_bytes(count());
  const std::string why_not = too_little_memory(2 * tensor_bytes() + mask_bytes);
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  Bytes y(period().size());
  std::vector<std::uint8_t> mask(static_cast<std::size_t>(kPeriod));
  fake_quantize(host_period(), params(), TensorView(y.data(), DType::kBF16, Shape{kMaskPeriod}),
                mask);
  Bytes dx(period().size());
  fake_quantize_backward(host_period(), mask,
                         TensorView(dx.data(), DType::kBF16, Shape{kMaskPeriod}));

  const DeviceMemory memory(tensor_bytes());
  const DeviceMemory other(tensor_bytes());
  const DeviceMemory device_mask(mask_bytes);
  repeat(memory.as(), memory.size_bytes(), period());
  repeat(device_mask.as(), device_mask.size_bytes(), bytes_of(mask));
  const DeviceTensorView dy(memory.as(), DType::kBF16, Shape{count()});
  const DeviceTensorView apart(other.as(), DType::kBF16, Shape{count()});
  const DeviceSpan<const std::uint8_t> clipped(device_mask.as<const std::uint8_t>(),
                                               static_cast<std::int64_t>(mask_bytes));
  run_on_device(
      [&] { fake_quantize_backward(dy, clipped, apart, device_.context, device_.stream); });
  expect_repeats(other, dx, "dx apart from dy");
  run_on_device([&] {
    fake_quantize_backward(dy, dy, device_params_, apart, device_.context, device_.stream);
  });
  expect_repeats(other, dx, "dx from x");
  run_on_device([&] { fake_quantize_backward(dy, clipped, dy, device_.context, device_.stream); });
  expect_repeats(memory, dx, "dx over dy");
}

TEST_P(DeviceLarge, TensorHasItsPercentiles) {
  const std::string why_not = too_little_memory(tensor_bytes());
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  std::map<double, std::uint64_t> often;
  std::int64_t finite = 0;
  const std::vector<double> values = to_doubles(DType::kBF16, period());
  for (std::int64_t i = 0; i < kPeriod; ++i) {
    const double value = values[static_cast<std::size_t>(i)];
    if (!std::isfinite(value)) continue;
    const std::int64_t times = count() / kPeriod + (i < count() % kPeriod ? 1 : 0);
    often[value] += static_cast<std::uint64_t>(times);
    finite += times;
  }
  const std::vector<double> percentiles = {50.0, 99.9, 99.99999, 100.0};
  std::vector<Range> expected;
  for (const double p : percentiles) {
    const RankPair ranks = two_sided_percentile_ranks(finite, p);
    expected.push_back({value_of_rank(often, ranks.low), value_of_rank(often, ranks.high)});
  }
  const DeviceMemory memory(tensor_bytes());
  const DeviceMemory found(percentiles.size() * sizeof(Range));
  repeat(memory.as(), memory.size_bytes(), period());
  run_on_device([&] {
    percentile_ranges({memory.as(), DType::kBF16, Shape{count()}}, OrderBy::kValue, percentiles,
                      found.span<Range>(), device_.context, device_.stream);
  });
  EXPECT_EQ(found.content<Range>(), expected);
}

INSTANTIATE_TEST_SUITE_P(AroundTwoTo31, DeviceLarge, testing::Values(-1, 0, 1, 17),
                         [](const auto& offset) {
                           return std::string(offset.param < 0 ? "minus_" : "plus_") +
                                  std::to_string(std::abs(offset.param));
                         });

}  // namespace
}  // namespace cuqat::test
