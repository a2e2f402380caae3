// The scratch memory of products of codes is what they use of it, to the unit that memory is
// aligned to. Launchers of the library's own, which only the executor's program can call.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <source_location>
#include <vector>

#include "conformance/device_layer.hpp"
#include "products.hpp"
#include "simt/executor.hpp"
#include "support/sanitizer.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kAlignment = 256;
constexpr std::byte kUntouched{0xa5};

std::int64_t rounded_up(std::int64_t number, std::int64_t unit) {
  return (number + unit - 1) / unit * unit;
}

std::int64_t all_of(std::initializer_list<std::int64_t> parts) {
  std::int64_t sum = 0;
  for (const std::int64_t part : parts) sum += rounded_up(part, kAlignment);
  return sum;
}

/// Both operands copied, as cuBLASLt takes them; sums; of int8 the sums of codes too.
std::int64_t expected_bytes(const GemmShape& shape) {
  const auto& [m, n, k] = shape;
  if (m == 0 || n == 0) return 0;
  const bool is_deep = k > 131'071;
  const std::int64_t depth = is_deep ? 131'056 : rounded_up(k, 16);
  const std::int64_t int8_m = m <= 16 ? 32 : m;
  const std::int64_t int8_n = rounded_up(n, 8);
  const std::int64_t fp8_m = m <= 16 ? 32 : rounded_up(m, 16);
  const std::int64_t fp8_n = rounded_up(n, 16);
  const std::int64_t code_sums = all_of({m * 8, n * 8});
  if (k == 0) return code_sums;
  const std::int64_t int8 = all_of({int8_m * depth, int8_n * depth, int8_m * int8_n * 4,
                                    is_deep ? int8_m * int8_n * 8 : 0}) +
                            code_sums;
  const std::int64_t fp8 =
      all_of({fp8_m * rounded_up(k, 16), fp8_n * rounded_up(k, 16), fp8_m * fp8_n * 4});
  return std::max(int8, fp8);
}

TEST(ProductScratch, IsWhatOnePieceTakesForEveryShapeUpTo70AndSomeLargeOnes) {
  const std::int64_t step = kSanitized ? 7 : 1;
  for (std::int64_t m = 0; m <= 70; ++m) {
    for (std::int64_t n = 0; n <= 70; n += step) {
      for (std::int64_t k = 0; k <= 70; ++k) {
        ASSERT_EQ(product_workspace_bytes({m, n, k}), expected_bytes({m, n, k}))
            << m << " x " << n << " x " << k;
      }
    }
  }
  for (const GemmShape& shape :
       {GemmShape{8192, 8192, 8192}, GemmShape{16'384, 4096, 4096}, GemmShape{1, 100'003, 4097},
        GemmShape{100'003, 1, 1}, GemmShape{131, 257, 131'071}, GemmShape{131, 257, 131'072},
        GemmShape{17, 33, 1'000'003}}) {
    EXPECT_EQ(product_workspace_bytes(shape), expected_bytes(shape))
        << shape.m << " x " << shape.n << " x " << shape.k;
  }
}

/// A layer at odd addresses, with zero points, whose bytes of scratch memory are looked at.
class ProductScratchUse : public testing::Test {
 protected:
  ProductScratchUse() { set_device_order(0); }

  /// Bytes from the begin to the last that was written.
  static std::size_t used(const GemmShape& shape, Format format, std::size_t bytes) {
    const Where where{.x = 1, .w = 1};
    const Layer layer = some_layer(shape, variant_of(format == Format::kInt8 ? 15 : 3));
    const PlacedLayer placed(layer, DType::kF32, where);
    const Placed y(std::vector<float>(static_cast<std::size_t>(shape.m * shape.n)));
    const std::size_t after = 4096;
    const DeviceMemory memory(std::vector<std::byte>(bytes + after, kUntouched));
    gpu::Multiplier multiplier({nullptr, 0, false, 0}, std::source_location::current());
    const auto type = format == Format::kInt8 ? gpu::NumberType::kInt8 : gpu::NumberType::kE4M3;
    const DeviceQuantParams x = placed.x_params();
    const DeviceQuantParams w = placed.w_params();
    const auto scales = [](const DeviceQuantParams& params) {
      return gpu::RowScales{params.scale.data(),
                            params.zero_point.empty() ? nullptr : params.zero_point.data(), true};
    };
    gpu::LinearLayer linear{};
    linear.product = {shape, placed.x().data(), placed.w().data(), type, type};
    linear.x = scales(x);
    linear.w = scales(w);
    linear.dtype = DType::kF32;
    linear.y = y.as<void>();
    const gpu::LaunchTarget target{4, std::size_t{48} << 10, device_under_test().stream, nullptr,
                                   std::source_location::current()};
    gpu::launch_linear(linear, {memory.as<void>(), bytes}, multiplier, target);
    EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess);
    EXPECT_EQ(simt::fault(), "");
    const auto content = memory.content<std::byte>();
    const auto last = std::find_if(content.rbegin(), content.rend(),
                                   [](std::byte byte) { return byte != kUntouched; });
    return static_cast<std::size_t>(content.rend() - last);
  }
};

TEST_F(ProductScratchUse, EndsWhereItIsSaidTo) {
  std::vector<GemmShape> shapes = {{131, 257, 40}, {300, 20, 100}, {20, 300, 100}, {2, 3, 131'072}};
  for (std::int64_t i = 0; i < (kSanitized ? 20 : 210); ++i) {
    shapes.push_back({1 + i % 70, 1 + (i * 11 + i / 70) % 70, 1 + (i * 17 + 3 * (i / 70)) % 70});
  }
  for (const GemmShape& shape : shapes) {
    if (kThreadSanitized && shape.k > 1000) continue;
    const std::size_t said = product_workspace_bytes(shape);
    const std::size_t most =
        std::max(used(shape, Format::kInt8, said), used(shape, Format::kE4M3, said));
    ASSERT_EQ(rounded_up(static_cast<std::int64_t>(most), kAlignment), said)
        << shape.m << " x " << shape.n << " x " << shape.k;
  }
}

/// The smallest pieces that a context must have memory for.
TEST_F(ProductScratchUse, OfTheSmallestPiecesEndsThereToo) {
  for (const GemmShape& shape :
       {GemmShape{100, 90, 48}, GemmShape{65, 70, 33}, GemmShape{33, 17, 5}, GemmShape{5, 200, 7},
        GemmShape{49, 15, 64}}) {
    const gpu::CodeProduct product{shape, reinterpret_cast<const std::uint8_t*>(1),
                                   reinterpret_cast<const std::uint8_t*>(1), gpu::NumberType::kInt8,
                                   gpu::NumberType::kInt8};
    const std::size_t least = gpu::least_product_scratch_bytes(product, nullptr);
    EXPECT_LE(used(shape, Format::kInt8, least), least)
        << shape.m << " x " << shape.n << " x " << shape.k;
  }
}

/// Where int8 takes as much as FP8 would, for its sums of codes.
TEST_F(ProductScratchUse, OfOneByteLessIsSeveralPieces) {
  for (const GemmShape& shape :
       {GemmShape{112, 96, 48}, GemmShape{64, 80, 33}, GemmShape{48, 32, 64}}) {
    const Layer layer = some_layer(shape, variant_of(31));
    const auto launches = [&](std::size_t bytes) {
      const DeviceContext context({.workspace_bytes = bytes, .tunes_products = false});
      device_outputs(layer, DType::kF32, {1, 1, 0, false, &context});
      simt::reset_counters();
      device_outputs(layer, DType::kF32, {1, 1, 0, false, &context});
      return simt::counters().launches;
    };
    const std::size_t whole = product_workspace_bytes(shape);
    EXPECT_GT(launches(whole - 1), launches(whole));
  }
}

}  // namespace
}  // namespace cuqat::test
