// Equalization on the device: the host's factors; what it refuses, and what it puts on the stream.
#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_equalization.hpp"
#include "support/captured_graph.hpp"
#include "support/device_memory.hpp"
#include "support/random.hpp"

namespace cuqat::test {
namespace {

std::vector<Statistics> random_channels(std::int64_t count, std::uint64_t seed) {
  Random random(seed);
  std::vector<Statistics> all(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i % 11 == 3) continue;  // nothing finite
    all[i].count = 5;
    const double amax =
        std::ldexp(random.uniform(1.0, 2.0), static_cast<int>(random() % 300) - 150);
    all[i].min = i % 2 == 0 ? -amax : 0.0;
    all[i].max = i % 2 == 0 ? amax / 3 : amax;
    if (i % 13 == 5) all[i].min = all[i].max = 0.0;
  }
  return all;
}

class DeviceEqualization : public DeviceArguments {};

TEST_F(DeviceEqualization, GivesTheHostsFactors) {
  for (const std::int64_t n : {0, 1, 31, 257, 1009}) {
    const std::vector<Statistics> activations = random_channels(n, 1);
    const std::vector<Statistics> weights = random_channels(n, 2);
    const DeviceMemory device_activations(activations);
    const DeviceMemory device_weights(weights);
    const DeviceMemory factors(std::vector<float>(static_cast<std::size_t>(n), -1.0f));
    for (const double alpha : {0.0, 0.5, 0.73, 1.0}) {
      set_device_order(static_cast<int>(n) % num_device_orders());
      run_on_device([&] {
        equalization_factors({device_activations.as<const Statistics>(), n},
                             {device_weights.as<const Statistics>(), n}, alpha,
                             {factors.as<float>(), Shape{n}}, context(), stream());
      });
      const std::vector<double> expected = equalization_factors(activations, weights, alpha);
      const std::vector<float> found = factors.content<float>();
      EXPECT_EQ(std::vector<double>(found.begin(), found.end()), expected);
    }
  }
}

/// Of rows and of columns; x and y not where elements are aligned, nor the same distance from it.
TEST_F(DeviceEqualization, ChannelsMayBeginAtAnyByte) {
  const Shape shape{21, 13};
  Random random(4);
  std::vector<float> x(static_cast<std::size_t>(shape.count()));
  for (float& value : x) value = static_cast<float>(random.normal());
  std::vector<float> factor(21);
  for (float& value : factor) value = static_cast<float>(random.uniform(0.5, 2.0));
  const DeviceMemory factors(factor);
  const std::size_t bytes = x.size() * sizeof(float);
  int number = 0;
  for (const std::size_t offset : {1u, 2u, 3u, 5u}) {
    for (const int axis : {0, 1}) {
      for (const bool divides : {true, false}) {
        std::vector<std::byte> moved(offset + bytes);
        std::memcpy(moved.data() + offset, x.data(), bytes);
        const DeviceMemory device_x(moved);
        const DeviceMemory y(bytes + 1);
        const ConstDeviceTensorView from(device_x.as() + offset, DType::kF32, shape);
        const ConstDeviceTensorView by(factors.as<float>(), DType::kF32, Shape{shape[axis]});
        const DeviceTensorView to(y.as() + 1, DType::kF32, shape);
        set_device_order(number++ % num_device_orders());
        run_on_device([&] {
          divides ? divide_channels(from, axis, by, to, context(), stream())
                  : multiply_channels(from, axis, by, to, context(), stream());
        });
        std::vector<float> expected(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          const float one = factor[axis == 0 ? i / 13 : i % 13];
          expected[i] = divides ? x[i] / one : x[i] * one;
        }
        std::vector<float> found(x.size());
        std::memcpy(found.data(), y.content<std::byte>().data() + 1, bytes);
        EXPECT_EQ(found, expected) << (divides ? "/ " : "* ") << axis << " at " << offset;
      }
    }
  }
}

TEST_F(DeviceEqualization, RefusesWhatDoesNotFitAndStillWorks) {
  const DeviceMemory statistics(random_channels(10, 3));
  const DeviceSpan<const Statistics> channels(statistics.as<const Statistics>(), 10);
  const auto factors = [&](DeviceSpan<const Statistics> weights, double alpha,
                           DeviceTensorView to) {
    equalization_factors(channels, weights, alpha, to, context(), stream());
  };
  const DeviceTensorView ten(scale_, DType::kF32, Shape{10});
  expect_refused([&] { factors({channels.data(), 9}, 0.5, ten); }, {"weights.size() is 9", "10"});
  expect_refused([&] { factors(channels, 1.5, ten); }, {"alpha is 1.5"});
  expect_refused([&] { factors(channels, std::nan(""), ten); }, {"alpha is nan"});
  expect_refused(
      [&] {
        factors(channels, 0.5, {scale_, DType::kF64, Shape{10}});
      },
      {"factors.dtype()", "F64"});
  expect_refused(
      [&] {
        factors(channels, 0.5, {scale_, DType::kF32, Shape{9}});
      },
      {"factors.size() is 9"});
  expect_refused(
      [&] {
        factors(channels, 0.5, {statistics.as<void>(), DType::kF32, Shape{10}});
      },
      {"factors is ", "activations"});

  const ConstDeviceTensorView matrix(x_, DType::kF32, Shape{100, 10});
  const DeviceTensorView y(y_, DType::kF32, Shape{100, 10});
  const auto divide = [&](int axis, ConstDeviceTensorView by, DeviceTensorView to) {
    divide_channels(matrix, axis, by, to, context(), stream());
  };
  expect_refused([&] { divide(2, ten, y); }, {"axis"});
  expect_refused([&] { divide(0, ten, y); }, {"factors.size() is 10", "100"});
  expect_refused([&] { divide(1, ten, {y_, DType::kF32, Shape{10, 100}}); }, {"y.shape()"});
  expect_refused([&] { divide(1, ten, {y_, DType::kBF16, Shape{100, 10}}); }, {"y.dtype()"});
  expect_refused([&] { divide(1, {y_, DType::kF32, Shape{10}}, y); }, {"y is ", "factors"});
  float host[1000] = {};
  expect_refused([&] { divide(1, ten, {host, Shape{100, 10}}); }, {"y is ", "device memory"});

  const Enqueued enqueued = enqueued_by([&] { divide(1, ten, y); });
  EXPECT_EQ(enqueued.kernels, 1);
  EXPECT_EQ(enqueued.others, 0);
  run_on_device([&] { multiply_channels(matrix, -1, ten, y, context(), stream()); });
  std::vector<float> found(1000);
  ASSERT_EQ(cudaMemcpy(found.data(), y_, sizeof(float) * 1000, cudaMemcpyDeviceToHost),
            cudaSuccess);
  EXPECT_EQ(found, std::vector<float>(1000, 1.0f));
}

}  // namespace
}  // namespace cuqat::test
