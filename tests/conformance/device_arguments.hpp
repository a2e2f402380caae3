// Arguments of the device functions that fit together, and what a call with others must do.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_statistics.hpp"
#include "host/expect_invalid.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {

inline constexpr std::int64_t kCount = 1000;

/// The call throws InvalidArgument with all of these parts, and puts nothing on the stream.
template <typename Call>
void expect_refused(const Call& call, std::initializer_list<std::string_view> parts) {
  const Enqueued enqueued = enqueued_by([&] { expect_invalid(call, parts); });
  EXPECT_EQ(enqueued.kernels + enqueued.others, 0);
}

/// In device memory.
class DeviceArguments : public testing::Test {
 protected:
  DeviceArguments() {
    set_device_order(0);
    for (void** memory : {&x_, &y_, &scale_, &mask_, &statistics_}) {
      EXPECT_EQ(cudaMalloc(memory, kCount * sizeof(float)), cudaSuccess);
    }
    const std::vector<float> ones(kCount, 1.0f);
    for (void* memory : {x_, y_, scale_}) {
      EXPECT_EQ(cudaMemcpy(memory, ones.data(), kCount * sizeof(float), cudaMemcpyHostToDevice),
                cudaSuccess);
    }
    // The copies may still be on their way, and streams that do not block do not wait for them.
    EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  }
  ~DeviceArguments() override {
    for (void* memory : {x_, y_, scale_, mask_, statistics_}) {
      EXPECT_EQ(cudaFree(memory), cudaSuccess);
    }
  }

  [[nodiscard]] ConstDeviceTensorView x() const { return {x_, DType::kF32, Shape{kCount}}; }
  [[nodiscard]] DeviceTensorView y() const { return {y_, DType::kF32, Shape{kCount}}; }
  [[nodiscard]] DeviceQuantParams params() const {
    DeviceQuantParams params;
    params.scale = {scale_, DType::kF32, Shape{1}};
    return params;
  }
  [[nodiscard]] FakeQuantizeExtras extras() const {
    return {{static_cast<std::uint8_t*>(mask_), 125}, {static_cast<Statistics*>(statistics_), 1}};
  }
  static const DeviceContext& context() { return device_under_test().context; }
  static StreamRef stream() { return device_under_test().stream; }

  void* x_ = nullptr;
  void* y_ = nullptr;
  void* scale_ = nullptr;
  void* mask_ = nullptr;
  void* statistics_ = nullptr;
};

}  // namespace cuqat::test
