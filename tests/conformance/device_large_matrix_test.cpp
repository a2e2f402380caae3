// Matrices of a few more elements than an int counts, with a scale for each row, column or group: a
// row is repeated, so that what is read or written in another place shows.
#include <gtest/gtest.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "conformance/repeated_memory.hpp"
#include "cuqat/device_calibration.hpp"
#include "cuqat/device_dynamic_quant.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_fake_quant_batch.hpp"
#include "cuqat/device_statistics.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kColumns = 4096;
constexpr std::int64_t kGroup = 128;

class DeviceLargeMatrix : public testing::Test {
 protected:
  void SetUp() override {
    set_device_order(0);
    Random random(12);
    std::vector<double> values(kColumns);
    for (double& value : values) value = random.normal();
    values[1000] = 0.0;
    row_ = to_bytes(DType::kBF16, values);
  }

  [[nodiscard]] static std::int64_t rows() { return num_large_elements() / kColumns + 1; }
  [[nodiscard]] static Shape shape() { return {rows(), kColumns}; }
  [[nodiscard]] static std::size_t tensor_bytes() {
    return static_cast<std::size_t>(shape().count()) * sizeof(bfloat16);
  }
  [[nodiscard]] ConstTensorView host_row() const {
    return {row_.data(), DType::kBF16, Shape{1, kColumns}};
  }
  [[nodiscard]] static DeviceTensorView matrix(const DeviceMemory& memory) {
    return {memory.as(), DType::kBF16, shape()};
  }
  /// `count` scales, of which `period` repeat.
  [[nodiscard]] static std::vector<float> some_scales(std::int64_t count, std::int64_t period) {
    std::vector<float> scales(static_cast<std::size_t>(count));
    for (std::int64_t i = 0; i < count; ++i) {
      scales[static_cast<std::size_t>(i)] = 0.01f + 0.001f * static_cast<float>(i % period);
    }
    return scales;
  }
  static QuantParams host_params(const Granularity& granularity, const std::vector<float>& scales,
                                 std::int64_t count) {
    return {{}, granularity, {scales.begin(), scales.begin() + count}, {}};
  }
  static DeviceQuantParams device_params(const Granularity& granularity,
                                         const DeviceMemory& scales) {
    const auto count = static_cast<std::int64_t>(scales.size_bytes() / sizeof(float));
    return {{}, granularity, {scales.as(), DType::kF32, Shape{count}}, {}};
  }
  static DeviceScales device_scales(const DeviceMemory& scales) {
    const auto count = static_cast<std::int64_t>(scales.size_bytes() / sizeof(float));
    return {{scales.as(), DType::kF32, Shape{count}}, {}};
  }

  Bytes row_;
  const DeviceUnderTest& device_ = device_under_test();
};

/// And a batch of one, whose items have scales as fake_quantize takes them.
TEST_F(DeviceLargeMatrix, HasAScaleForEachColumnAndEachGroup) {
  const std::string why_not = too_little_memory(2 * tensor_bytes());
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const DeviceMemory x(tensor_bytes());
  const DeviceMemory y(tensor_bytes());
  repeat(x.as(), x.size_bytes(), row_);
  for (const Granularity& granularity : {Granularity::channel(1), Granularity::group(kGroup)}) {
    const std::int64_t of_a_row = num_scales(granularity, Shape{1, kColumns});
    const std::vector<float> scales = some_scales(num_scales(granularity, shape()), of_a_row);
    Bytes expected(row_.size());
    fake_quantize(host_row(), host_params(granularity, scales, of_a_row),
                  TensorView(expected.data(), DType::kBF16, Shape{1, kColumns}));
    const DeviceMemory device_scale(scales);
    const DeviceQuantParams params = device_params(granularity, device_scale);
    run_on_device(
        [&] { fake_quantize(matrix(x), params, matrix(y), {}, device_.context, device_.stream); });
    expect_repeats(y, expected, "y");
    ASSERT_EQ(cudaMemsetAsync(y.as(), 0, y.size_bytes(), device_.stream), cudaSuccess);
    const FakeQuantizeItem item{matrix(x), params, matrix(y), {}};
    const FakeQuantizeBatch batch(std::span(&item, 1), device_.context);
    run_on_device([&] { batch.run(device_.context, device_.stream); });
    expect_repeats(y, expected, "y of the batch");
  }
}

TEST_F(DeviceLargeMatrix, HasAScaleForEachRowWithItsGradient) {
  const std::string why_not = too_little_memory(2 * tensor_bytes());
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const Granularity by_row = Granularity::channel(0);
  const std::vector<float> scales = some_scales(rows(), 1);
  Bytes expected(row_.size());
  std::vector<double> dscale(1);
  learned_scale_backward(host_row(), host_row(), host_params(by_row, scales, 1),
                         TensorView(expected.data(), DType::kBF16, Shape{1, kColumns}),
                         {dscale, {}});
  const DeviceMemory x(tensor_bytes());
  const DeviceMemory dx(tensor_bytes());
  const DeviceMemory device_scale(scales);
  const DeviceMemory device_dscale(scales.size() * sizeof(float));
  repeat(x.as(), x.size_bytes(), row_);
  run_on_device([&] {
    learned_scale_backward(matrix(x), matrix(x), device_params(by_row, device_scale), matrix(dx),
                           {device_scales(device_dscale).scale, {}}, {}, device_.context,
                           device_.stream);
  });
  expect_repeats(dx, expected, "dx");
  EXPECT_EQ(device_dscale.content<float>(),
            std::vector<float>(scales.size(), static_cast<float>(dscale.front())));
}

TEST_F(DeviceLargeMatrix, IsQuantizedDynamically) {
  const std::string why_not = too_little_memory(2 * tensor_bytes());
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const DeviceMemory x(tensor_bytes());
  const DeviceMemory y(tensor_bytes());
  repeat(x.as(), x.size_bytes(), row_);
  for (const Granularity& granularity :
       {Granularity::group(kColumns), Granularity::group(kGroup)}) {
    const DynamicQuantization how{{}, granularity, true};
    Bytes expected(row_.size());
    const QuantParams found = fake_quantize_dynamic(
        host_row(), how, TensorView(expected.data(), DType::kBF16, Shape{1, kColumns}));
    const std::vector<float> of_a_row(found.scale.begin(), found.scale.end());
    const DeviceMemory scales(static_cast<std::size_t>(num_scales(granularity, shape())) *
                              sizeof(float));
    run_on_device([&] {
      fake_quantize_dynamic(matrix(x), how, matrix(y), device_scales(scales), {}, device_.context,
                            device_.stream);
    });
    expect_repeats(y, expected, "y");
    expect_repeats(scales, bytes_of(of_a_row), "scales");
  }
}

TEST_F(DeviceLargeMatrix, IsQuantizedWithItsTranspose) {
  const auto num_codes = static_cast<std::size_t>(shape().count());
  const std::string why_not = too_little_memory(tensor_bytes() + 2 * num_codes);
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const std::vector<float> scales = some_scales(1, 1);
  Bytes expected(static_cast<std::size_t>(kColumns));
  quantize(host_row(), host_params({}, scales, 1),
           {reinterpret_cast<std::uint8_t*>(expected.data()), expected.size()});
  const DeviceMemory x(tensor_bytes());
  const DeviceMemory codes(num_codes);
  const DeviceMemory transposed(num_codes);
  const DeviceMemory device_scale(scales);
  repeat(x.as(), x.size_bytes(), row_);
  run_on_device([&] {
    quantize_transposed(matrix(x), device_params({}, device_scale), codes.span<std::uint8_t>(),
                        transposed.span<std::uint8_t>(), device_.context, device_.stream);
  });
  expect_repeats(codes, expected, "codes");
  // A row of the transpose is one code.
  Bytes found(static_cast<std::size_t>(rows()));
  for (std::size_t column = 0; column < expected.size(); ++column) {
    ASSERT_EQ(cudaMemcpy(found.data(), transposed.as() + column * found.size(), found.size(),
                         cudaMemcpyDeviceToHost),
              cudaSuccess);
    ASSERT_EQ(found, Bytes(found.size(), expected[column])) << column;
  }
}

TEST_F(DeviceLargeMatrix, HasStatisticsOfEachColumnAndScalesOfEachRow) {
  const std::string why_not = too_little_memory(tensor_bytes());
  if (!why_not.empty()) GTEST_SKIP() << why_not;
  const Granularity by_row = Granularity::channel(0);
  std::vector<Statistics> expected =
      statistics(host_row(), Granularity::channel(1), {Backend::named("reference"), 1});
  for (Statistics& of_column : expected) {
    of_column.count = rows();
    of_column.zeros *= rows();
  }
  const DeviceMemory x(tensor_bytes());
  const DeviceMemory of_columns(expected.size() * sizeof(Statistics));
  const DeviceMemory of_rows(static_cast<std::size_t>(rows()) * sizeof(float));
  repeat(x.as(), x.size_bytes(), row_);
  const CalibrationOptions method{.method = CalibMethod::kMinMax};
  DeviceContext::Options options;
  options.workspace_bytes =
      calibration_workspace_bytes(DType::kBF16, shape(), by_row, method, 1, device_.context);
  const DeviceContext context(options);
  run_on_device([&] {
    statistics(matrix(x), Granularity::channel(1), of_columns.span<Statistics>(), context,
               device_.stream);
    calibrate_scales(matrix(x), by_row, method, device_scales(of_rows), context, device_.stream);
  });
  EXPECT_EQ(of_columns.content<Statistics>(), expected);
  const std::vector<ConstTensorView> batches = {host_row()};
  const auto scale = calibrate_layer(batches, method).params.scale.front();
  EXPECT_EQ(of_rows.content<float>(),
            std::vector<float>(static_cast<std::size_t>(rows()), static_cast<float>(scale)));
}

}  // namespace
}  // namespace cuqat::test
