// Products of codes on the device: the host's numbers, for every shape, depth and address, in one
// piece and in many.
#include <gtest/gtest.h>

#include <array>
#include <cstdint>
#include <vector>

#include "conformance/device_products.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

/// Bytes past aligned addresses.
struct Offsets {
  std::size_t x = 0;
  std::size_t w = 0;
  std::size_t product = 0;
};

class DeviceInt8Gemm : public testing::Test {
 protected:
  void SetUp() override { CUQAT_SKIP_WITHOUT_PRODUCTS(); }

  static StreamRef stream() { return device_under_test().stream; }

  static void expect_product(const GemmShape& shape, const Codes& x, const Codes& w,
                             const Offsets& offsets, const DeviceContext& context) {
    const auto count = static_cast<std::size_t>(shape.m * shape.n);
    std::vector<std::int32_t> expected(count);
    int8_gemm(x, w, shape, expected, {Backend::named("reference"), 1});
    const Placed device_x(x, offsets.x);
    const Placed device_w(w, offsets.w);
    const Placed product(std::vector<std::int32_t>(count, 77), offsets.product);
    run_product([&] {
      int8_gemm(device_x.span<const std::uint8_t>(), device_w.span<const std::uint8_t>(), shape,
                product.span<std::int32_t>(), context, stream());
    });
    ASSERT_EQ(product.content<std::int32_t>(), expected)
        << shape.m << " x " << shape.n << " x " << shape.k;
  }
  static void expect_product(const GemmShape& shape, const Offsets& offsets = {}) {
    expect_product(shape, some_codes(shape.m * shape.k, 1), some_codes(shape.n * shape.k, 2),
                   offsets, device_under_test().context);
  }
};

/// Every odd number of rows beside every odd number of outputs, and a few depths for each pair, of
/// which all odd ones come up.
TEST_F(DeviceInt8Gemm, IsTheHostsForOddExtentsUpTo70) {
  const int num_depths = kSanitized ? 1 : 3;
  const std::int64_t step = kThreadSanitized ? 12 : 2;
  std::int64_t k = 1;
  for (std::int64_t m = 1; m < 70; m += 2) {
    set_device_order(static_cast<int>(m / 2) % num_device_orders());
    for (std::int64_t n = (m - 1) % step + 1; n < 70; n += step) {
      for (int i = 0; i < num_depths; ++i) {
        k = (k + 22) % 70;
        expect_product({m, n, k});
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

/// Each number a few times in each place.
TEST_F(DeviceInt8Gemm, IsTheHostsForEveryExtentUpTo70) {
  for (std::int64_t i = 0; i < 210; ++i) {
    set_device_order(static_cast<int>(i) % num_device_orders());
    expect_product({1 + i % 70, 1 + (i * 11 + i / 70) % 70, 1 + (i * 17 + 3 * (i / 70)) % 70});
    ASSERT_FALSE(HasFatalFailure());
  }
}

TEST_F(DeviceInt8Gemm, IsTheHostsAtEveryAddress) {
  int number = 0;
  for (const std::size_t x : {0u, 1u, 4u, 8u}) {
    for (const std::size_t w : {0u, 3u, 8u}) {
      for (const std::size_t product : {0u, 4u, 8u}) {
        set_device_order(number++ % num_device_orders());
        for (const GemmShape& shape : {GemmShape{33, 24, 32}, GemmShape{17, 8, 16}}) {
          expect_product(shape, {x, w, product});
          ASSERT_FALSE(HasFatalFailure());
        }
      }
    }
  }
}

TEST_F(DeviceInt8Gemm, IsExactAtTheLargestDepth) {
  set_device_order(0);
  const DeviceContext context({.tunes_products = false});
  for (const std::int64_t k : {kMaxInt32Depth, kMaxInt32Depth - 15}) {
    const auto length = static_cast<std::size_t>(k);
    expect_product({2, 3, k}, Codes(2 * length, 0x80), Codes(3 * length, 0x80), {}, context);
    expect_product({2, 3, k}, Codes(2 * length, 0x80), Codes(3 * length, 0x7f), {}, context);
    expect_product({33, 8, k}, Codes(33 * length, 0x80), Codes(8 * length, 0x80), {0, 1, 0},
                   context);
  }
}

TEST_F(DeviceInt8Gemm, MayHaveExtentsOfZero) {
  set_device_order(0);
  for (const GemmShape& shape : {GemmShape{0, 3, 4}, GemmShape{3, 0, 4}, GemmShape{3, 4, 0},
                                 GemmShape{0, 0, 0}, GemmShape{20, 16, 0}}) {
    expect_product(shape);
  }
}

/// Rows and outputs that pieces divide and that they do not, with operands as they are and copied.
TEST_F(DeviceInt8Gemm, IsTheSameInPieces) {
  set_device_order(0);
  for (const GemmShape& shape :
       {GemmShape{100, 90, 48}, GemmShape{112, 96, 48}, GemmShape{65, 70, 33}, GemmShape{5, 200, 7},
        GemmShape{200, 8, 256}, GemmShape{130, 40, 64}}) {
    if (kThreadSanitized && shape.m > 65) continue;
    const std::size_t whole = product_workspace_bytes(shape);
    for (const std::size_t bytes : {whole, whole / 2, whole / 3, std::size_t{16'384}}) {
      const DeviceContext context(DeviceContext::Options{.workspace_bytes = bytes});
      for (const Offsets& offsets :
           {Offsets{0, 0, 0}, Offsets{1, 0, 4}, Offsets{0, 1, 0}, Offsets{1, 0, 0}}) {
        expect_product(shape, some_codes(shape.m * shape.k, 3), some_codes(shape.n * shape.k, 4),
                       offsets, context);
        ASSERT_FALSE(HasFatalFailure());
      }
    }
  }
}

TEST_F(DeviceInt8Gemm, WithTooLittleScratchMemoryIsRefused) {
  set_device_order(0);
  const GemmShape shape{40, 40, 1600};
  const Placed codes(some_codes(40 * 1600, 5));
  const Placed product(std::vector<std::int32_t>(1600));
  const DeviceContext context(DeviceContext::Options{.workspace_bytes = 1 << 16});
  // As they are: nothing is copied, and y needs no other memory.
  EXPECT_NO_THROW(int8_gemm(codes.span<const std::uint8_t>(), codes.span<const std::uint8_t>(),
                            shape, product.span<std::int32_t>(), context, stream()));
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
  const DeviceSpan<const std::uint8_t> shorter(codes.as<const std::uint8_t>(), 40 * 1599);
  expect_refused(
      [&] {
        int8_gemm(shorter, shorter, {40, 40, 1599}, product.span<std::int32_t>(), context,
                  stream());
      },
      {"context.workspace_bytes() is 65536", "at least 89600"});
}

TEST_F(DeviceInt8Gemm, ADepthThatInt32DoesNotHoldIsNamed) {
  const Placed codes(Codes(kMaxInt32Depth + 1));
  const Placed product(std::vector<std::int32_t>(1));
  expect_refused(
      [&] {
        int8_gemm(codes.span<const std::uint8_t>(), codes.span<const std::uint8_t>(),
                  {1, 1, kMaxInt32Depth + 1}, product.span<std::int32_t>(),
                  device_under_test().context, stream());
      },
      {"shape.k is 131072", "at most 131071"});
  expect_refused(
      [&] {
        int8_gemm({}, {}, {-1, 1, 1}, product.span<std::int32_t>(), device_under_test().context,
                  stream());
      },
      {"shape.m is -1", "at least 0"});
}

TEST_F(DeviceInt8Gemm, SumsOfRowsAreExact) {
  for (const std::int64_t columns : {0, 1, 7, 8, 33, 255, 1000}) {
    for (const std::int64_t rows : {0, 1, 5, 37}) {
      for (const std::size_t offset : {0u, 1u, 5u, 8u}) {
        set_device_order(static_cast<int>(columns + rows) % num_device_orders());
        const Codes codes = some_codes(rows * columns, 6);
        std::vector<std::int64_t> expected(static_cast<std::size_t>(rows));
        for (std::size_t i = 0; i < codes.size(); ++i) {
          expected[i / static_cast<std::size_t>(columns)] += static_cast<std::int8_t>(codes[i]);
        }
        const Placed device_codes(codes, offset);
        const Placed sums(std::vector<std::int64_t>(expected.size(), 77));
        run_on_device([&] {
          sum_code_rows(device_codes.span<const std::uint8_t>(), columns, sums.span<std::int64_t>(),
                        device_under_test().context, stream());
        });
        ASSERT_EQ(sums.content<std::int64_t>(), expected) << rows << " x " << columns;
      }
    }
  }
}

}  // namespace
}  // namespace cuqat::test
