// The same work again and again, in every order and on two streams at once, gives the same bits.
// Reductions are what could tell: their blocks add in the order in which they end.
#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_statistics.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/scaled_case.hpp"

namespace cuqat::test {
namespace {

/// A tensor, and what the reference says of it.
class DeviceRepeat : public testing::Test {
 protected:
  DeviceRepeat()
      : data_({{}, DType::kBF16, Shape{num_repeated_elements()}, {}, DataKind::kMixed, 1, 7}),
        x_(data_.x()),
        scale_(std::vector<float>{static_cast<float>(data_.scale(0))}),
        y_(data_.x().size()),
        mask_(clip_mask_bytes(num_repeated_elements())) {
    QuantParams params;
    params.scale = {data_.scale(0)};
    const HostOptions reference{Backend::named("reference"), 1};
    const ConstTensorView x(data_.x().data(), DType::kBF16, shape());
    expected_y_.resize(data_.x().size());
    expected_mask_.resize(mask_.size_bytes());
    fake_quantize(x, params, TensorView(expected_y_.data(), DType::kBF16, shape()), expected_mask_,
                  reference);
    expected_ = statistics(x, reference);
  }

  [[nodiscard]] Shape shape() const { return data_.parameters().shape; }
  [[nodiscard]] ConstDeviceTensorView x() const { return {x_.as(), DType::kBF16, shape()}; }
  void run(DeviceSpan<Statistics> result, const DeviceUnderTest& device) const {
    DeviceQuantParams params;
    params.scale = {scale_.as(), DType::kF32, Shape{1}};
    const FakeQuantizeExtras extras{
        {mask_.as<std::uint8_t>(), static_cast<std::int64_t>(mask_.size_bytes())}, result};
    fake_quantize(x(), params, {y_.as(), DType::kBF16, shape()}, extras, device.context,
                  device.stream);
  }

  CaseData data_;
  DeviceMemory x_;
  DeviceMemory scale_;
  DeviceMemory y_;
  DeviceMemory mask_;
  Bytes expected_y_;
  std::vector<std::uint8_t> expected_mask_;
  Statistics expected_;
};

TEST_F(DeviceRepeat, GivesTheSameBitsInEveryRunAndOrder) {
  const DeviceMemory result(2 * sizeof(Statistics));
  for (int order = 0; order < num_device_orders(); ++order) {
    set_device_order(order);
    for (int i = 0; i < num_repeats(); ++i) {
      ASSERT_EQ(cudaMemsetAsync(y_.as(), 0xff, y_.size_bytes(), device_under_test().stream),
                cudaSuccess);
      run_on_device([&] {
        const DeviceUnderTest& device = device_under_test();
        run({result.as<Statistics>(), 1}, device);
        statistics(x(), {result.as<Statistics>() + 1, 1}, device.context, device.stream);
      });
      ASSERT_EQ(result.content<Statistics>(), std::vector<Statistics>(2, expected_))
          << "run " << i << ", " << device_order_name(order);
    }
    EXPECT_EQ(y_.content<std::byte>(), expected_y_) << device_order_name(order);
    EXPECT_EQ(mask_.content<std::uint8_t>(), expected_mask_) << device_order_name(order);
  }
  set_device_order(0);
}

/// Contexts share nothing, so their work may overlap.
TEST_F(DeviceRepeat, GivesTheSameBitsOnTwoStreamsAtOnce) {
  std::vector<DeviceUnderTest> devices;
  for (int i = 0; i < 2; ++i) {
    cudaStream_t stream = nullptr;
    ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamDefault), cudaSuccess);
    devices.push_back({stream, DeviceContext()});
  }
  const auto runs = static_cast<std::size_t>(num_repeats());
  const DeviceMemory results(2 * runs * sizeof(Statistics));
  for (std::size_t i = 0; i < 2 * runs; ++i) {
    statistics(x(), {results.as<Statistics>() + i, 1}, devices[i % 2].context,
               devices[i % 2].stream);
  }
  for (const DeviceUnderTest& device : devices) {
    EXPECT_EQ(cudaStreamSynchronize(device.stream), cudaSuccess);
  }
  EXPECT_EQ(results.content<Statistics>(), std::vector<Statistics>(2 * runs, expected_));
  for (const DeviceUnderTest& device : devices) {
    EXPECT_EQ(cudaStreamDestroy(device.stream), cudaSuccess);
  }
}

}  // namespace
}  // namespace cuqat::test
