// Arguments that the reductions per scale take, in device memory.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_statistics.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"

namespace cuqat::test {

inline constexpr std::int64_t kRows = 3;
inline constexpr std::int64_t kColumns = 5000;
inline constexpr std::int64_t kReducedCount = kRows * kColumns;

/// They fit together: channels of two chunks each.
class DeviceReductionFixture : public testing::Test {
 protected:
  DeviceReductionFixture()
      : x_(ramp(0.013f)),
        dy_(ramp(-0.0007f)),
        dx_(std::vector<float>(kReducedCount)),
        scale_(std::vector<float>{0.1f, 0.2f, 0.3f}),
        zero_point_(std::vector<std::int32_t>(kRows)),
        dscale_(std::vector<float>(kRows, -1.0f)),
        dzero_point_(std::vector<float>(kRows, -1.0f)),
        statistics_(std::vector<std::byte>(kRows * sizeof(Statistics) + 8)) {
    set_device_order(0);
  }

  static std::vector<float> ramp(float step) {
    std::vector<float> result(kReducedCount);
    for (std::size_t i = 0; i < result.size(); ++i) {
      result[i] = static_cast<float>(static_cast<int>(i * 7919 % 9001) - 4500) * step;
    }
    return result;
  }

  static DeviceTensorView view(const DeviceMemory& memory, const Shape& shape) {
    return {memory.as<float>(), DType::kF32, shape};
  }
  [[nodiscard]] DeviceTensorView x() const { return view(x_, {kRows, kColumns}); }
  [[nodiscard]] DeviceTensorView dy() const { return view(dy_, {kRows, kColumns}); }
  [[nodiscard]] DeviceTensorView dx() const { return view(dx_, {kRows, kColumns}); }
  [[nodiscard]] DeviceQuantParams params() const {
    DeviceQuantParams params;
    params.granularity = Granularity::channel(0);
    params.scale = view(scale_, {kRows});
    params.zero_point = {zero_point_.as<std::int32_t>(), kRows};
    return params;
  }
  [[nodiscard]] DeviceLearnedScaleGradient gradient() const {
    return {view(dscale_, {kRows}), view(dzero_point_, {kRows})};
  }
  [[nodiscard]] DeviceSpan<Statistics> result() const {
    return {statistics_.as<Statistics>(), kRows};
  }
  static const DeviceContext& context() { return device_under_test().context; }
  static StreamRef stream() { return device_under_test().stream; }

  void run_learned() const {
    learned_scale_backward(dy(), x(), params(), dx(), gradient(), std::nullopt, context(),
                           stream());
  }
  void run_statistics() const {
    statistics(x(), Granularity::channel(0), result(), context(), stream());
  }
  static void wait() {
    ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  }

  DeviceMemory x_;
  DeviceMemory dy_;
  DeviceMemory dx_;
  DeviceMemory scale_;
  DeviceMemory zero_point_;
  DeviceMemory dscale_;
  DeviceMemory dzero_point_;
  DeviceMemory statistics_;
};

}  // namespace cuqat::test
