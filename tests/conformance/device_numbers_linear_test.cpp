// Layers of real numbers on the device: the host's bits where every sum is exact, so that nothing
// but the last rounding of each output is left to differ.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "conformance/device_layer.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

/// Whole numbers of a few bits, and a bias of quarters: sums are exact in any order.
struct Numbers {
  Numbers(const GemmShape& of, bool biased) : shape(of) {
    Random random(41);
    const auto fill = [&](std::vector<double>& values, std::int64_t count, double unit) {
      for (std::int64_t i = 0; i < count; ++i) {
        values.push_back((static_cast<double>(random() % 17) - 8.0) * unit);
      }
    };
    fill(x, shape.m * shape.k, 1.0);
    fill(w, shape.n * shape.k, 1.0);
    if (biased) fill(bias, shape.n, 0.25);
  }

  GemmShape shape;
  std::vector<double> x;
  std::vector<double> w;
  std::vector<double> bias;
};

Bytes host_outputs(const Numbers& numbers, DType dtype, DType y_dtype) {
  const auto& [m, n, k] = numbers.shape;
  const Bytes x = to_bytes(dtype, numbers.x);
  const Bytes w = to_bytes(dtype, numbers.w);
  const Bytes bias = to_bytes(compute_type(y_dtype), numbers.bias);
  Bytes y(static_cast<std::size_t>(m * n) * dtype_bytes(y_dtype));
  linear(
      {x.data(), dtype, Shape{m, k}}, {w.data(), dtype, Shape{n, k}},
      {bias.data(), compute_type(y_dtype), Shape{static_cast<std::int64_t>(numbers.bias.size())}},
      {y.data(), y_dtype, Shape{m, n}}, {Backend::named("reference"), 1});
  return y;
}

Bytes device_outputs(const Numbers& numbers, DType dtype, DType y_dtype, const Where& where = {}) {
  const auto& [m, n, k] = numbers.shape;
  const DeviceContext& context = context_of(where);
  const Placed x(to_bytes(dtype, numbers.x), where.x);
  const Placed w(to_bytes(dtype, numbers.w), where.w);
  const Placed bias(to_bytes(compute_type(y_dtype), numbers.bias));
  const Placed y(Bytes(static_cast<std::size_t>(m * n) * dtype_bytes(y_dtype), std::byte{0x5a}),
                 where.y);
  run_product([&, m = m, n = n, k = k] {
    linear({x.as<void>(), dtype, Shape{m, k}}, {w.as<void>(), dtype, Shape{n, k}},
           {bias.as<void>(), compute_type(y_dtype),
            Shape{static_cast<std::int64_t>(numbers.bias.size())}},
           {y.as<void>(), y_dtype, Shape{m, n}}, context, device_under_test().stream);
  });
  return y.content<std::byte>();
}

class DeviceNumbersLinear : public testing::TestWithParam<std::pair<DType, DType>> {
 protected:
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }

  static void expect_the_hosts(const GemmShape& shape, bool biased, const Where& where = {}) {
    const auto [dtype, y_dtype] = GetParam();
    const Numbers numbers(shape, biased);
    ASSERT_EQ(device_outputs(numbers, dtype, y_dtype, where), host_outputs(numbers, dtype, y_dtype))
        << shape.m << " x " << shape.n << " x " << shape.k << (biased ? ", biased" : "");
  }
};

TEST_P(DeviceNumbersLinear, HasTheHostsBits) {
  int number = 0;
  for (const std::int64_t m : {1, 2, 33}) {
    for (const std::int64_t n : {1, 7, 8, 9, 64, 257}) {
      for (const std::int64_t k : {1, 16, 31}) {
        set_device_order(number++ % num_device_orders());
        expect_the_hosts({m, n, k}, number % 4 != 0);
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

TEST_P(DeviceNumbersLinear, MayLieAtEveryAddressOfItsElements) {
  set_device_order(0);
  const std::size_t of_x = dtype_bytes(GetParam().first);
  const std::size_t of_y = dtype_bytes(GetParam().second);
  for (const std::size_t i : {0u, 1u, 3u}) {
    for (const std::size_t j : {0u, 1u, 2u, 4u}) {
      expect_the_hosts({5, 24, 17}, true, {.x = i * of_x, .w = j * of_x, .y = j * of_y});
      ASSERT_FALSE(HasFatalFailure());
    }
  }
}

/// Pieces of rows, and of outputs where there is no memory for a row.
TEST_P(DeviceNumbersLinear, IsTheSameInPieces) {
  set_device_order(0);
  for (const std::size_t bytes : {32u, 36u, 100u, 300u, 1000u, 5000u, 100'000u}) {
    const DeviceContext context(DeviceContext::Options{.workspace_bytes = bytes});
    for (const GemmShape& shape : {GemmShape{30, 41, 9}, GemmShape{300, 8, 3}}) {
      if (kSanitized && shape.m == 300) continue;
      expect_the_hosts(shape, true, {.context = &context});
      ASSERT_FALSE(HasFatalFailure()) << bytes;
    }
  }
}

TEST_P(DeviceNumbersLinear, MayHaveNoRowsOutputsOrInputs) {
  set_device_order(0);
  for (const GemmShape& shape :
       {GemmShape{0, 3, 4}, GemmShape{3, 0, 4}, GemmShape{0, 0, 0}, GemmShape{2, 19, 0}}) {
    expect_the_hosts(shape, true);
    expect_the_hosts(shape, false);
  }
}

TEST_P(DeviceNumbersLinear, LetsSpecialNumbersThrough) {
  set_device_order(0);
  const auto [dtype, y_dtype] = GetParam();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  Numbers numbers({3, 9, 5}, true);
  numbers.bias[1] = kInfinity;
  numbers.bias[2] = -kInfinity;
  numbers.bias[4] = 1e30;
  const std::vector<double> expected = to_doubles(y_dtype, host_outputs(numbers, dtype, y_dtype));
  numbers.bias[8] = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> y = to_doubles(y_dtype, device_outputs(numbers, dtype, y_dtype));
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (i % 9 == 8) {
      EXPECT_TRUE(std::isnan(y[i])) << i;
    } else {
      EXPECT_EQ(y[i], expected[i]) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EveryDType, DeviceNumbersLinear,
                         testing::Values(std::pair(DType::kF32, DType::kF32),
                                         std::pair(DType::kF64, DType::kF64),
                                         std::pair(DType::kF16, DType::kF16),
                                         std::pair(DType::kBF16, DType::kBF16),
                                         std::pair(DType::kBF16, DType::kF32)),
                         [](const auto& test) {
                           return std::string(to_string(test.param.first)) + "To" +
                                  std::string(to_string(test.param.second));
                         });

/// 1 and half a unit in the last place is 1 if it is rounded before the bias is added.
TEST(DeviceNumbersLinearOf16Bits, IsRoundedOnce) {
  CUQAT_SKIP_WITHOUT_PRODUCTS();
  set_device_order(0);
  for (const auto& [dtype, unit] :
       {std::pair(DType::kBF16, 0x1p-7), std::pair(DType::kF16, 0x1p-10)}) {
    Numbers numbers({1, 2, 2}, true);
    numbers.x = {1.0, 1.0};
    numbers.w = {1.0, unit / 2, 1.0, unit / 2};
    numbers.bias = {unit / 8, -unit / 8};
    EXPECT_EQ(to_doubles(dtype, device_outputs(numbers, dtype, dtype)),
              (std::vector<double>{1.0 + unit, 1.0}));
  }
}

TEST(DeviceNumbersLinearOf16Bits, WithTooLittleScratchMemoryIsRefused) {
  CUQAT_SKIP_WITHOUT_PRODUCTS();
  set_device_order(0);
  const DeviceContext context(DeviceContext::Options{.workspace_bytes = 31});
  const Where where{.context = &context};
  const Numbers numbers({3, 9, 5}, true);
  const Placed memory(Bytes(1024));
  const Placed y(Bytes(54));
  const Placed bias(Bytes(36));
  const auto view = [&](const Shape& shape) {
    return DeviceTensorView(memory.as<void>(), DType::kBF16, shape);
  };
  expect_refused(
      [&] {
        linear(view(Shape{3, 5}), view(Shape{9, 5}), {bias.as<void>(), DType::kF32, Shape{9}},
               {y.as<void>(), DType::kBF16, Shape{3, 9}}, context, device_under_test().stream);
      },
      {"context.workspace_bytes() is 31", "at least 32"});
  // Which others do not use.
  EXPECT_EQ(device_outputs(Numbers({3, 9, 5}, false), DType::kBF16, DType::kBF16, where),
            host_outputs(Numbers({3, 9, 5}, false), DType::kBF16, DType::kBF16));
  EXPECT_EQ(device_outputs(numbers, DType::kF32, DType::kF32, where),
            host_outputs(numbers, DType::kF32, DType::kF32));
}

}  // namespace
}  // namespace cuqat::test
