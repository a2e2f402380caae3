// Tensors of more elements than an int counts, of which memory has few pages: what a kernel reads
// is zeros but for their ends.
#include <gtest/gtest.h>

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "cuqat/device_fake_quant.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/format.hpp"
#include "dispatch.hpp"
#include "learned_scale.cuh"
#include "pack.cuh"
#include "quantize_pack.cuh"
#include "support/device_orders.hpp"
#include "support/sanitizer.hpp"
#include "transpose.cuh"

namespace cuqat::test {
namespace {

/// Zeros, a page of memory for each that is written.
class SparseMemory {
 public:
  explicit SparseMemory(std::size_t bytes) : bytes_(bytes) {
    void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at != MAP_FAILED) memory_ = at;
  }
  ~SparseMemory() {
    if (memory_ != nullptr) munmap(memory_, bytes_);
  }
  SparseMemory(const SparseMemory&) = delete;
  SparseMemory& operator=(const SparseMemory&) = delete;

  template <typename T>
  [[nodiscard]] T* as() const {
    return static_cast<T*>(memory_);
  }

 private:
  void* memory_ = nullptr;
  std::size_t bytes_;
};

constexpr std::int64_t kPastInt = (std::int64_t{1} << 31) + 1'000;

/// In place only what the mask says is written, wherever it is.
TEST(SparseTensors, AreClearedInPlaceWhereTheMaskSays) {
  if (kSanitized) GTEST_SKIP() << "the loop over the mask takes a minute under sanitizers";
  set_device_order(0);
  const SparseMemory gradients(static_cast<std::size_t>(kPastInt) * sizeof(std::uint16_t));
  const SparseMemory mask(clip_mask_bytes(kPastInt));
  auto* const dx = gradients.as<std::uint16_t>();
  ASSERT_NE(dx, nullptr);
  ASSERT_NE(mask.as<void>(), nullptr);
  const std::vector<std::int64_t> clipped = {3, (std::int64_t{1} << 31) + 5, kPastInt - 1};
  for (const std::int64_t i : clipped) {
    mask.as<std::uint8_t>()[i / 8] = static_cast<std::uint8_t>(1u << i % 8);
    dx[i] = 0x3f80;
    dx[i - 1] = 0x4000;
  }
  DeviceContext::Options options;
  options.check_pointers = false;
  const DeviceContext context(options);
  const DeviceTensorView view(dx, DType::kBF16, Shape{kPastInt});
  fake_quantize_backward(
      view, {mask.as<const std::uint8_t>(), static_cast<std::int64_t>(clip_mask_bytes(kPastInt))},
      view, context, device_under_test().stream);
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  for (const std::int64_t i : clipped) {
    EXPECT_EQ(dx[i], 0) << i;
    EXPECT_EQ(dx[i - 1], 0x4000) << i;
  }
}

/// A thread's rows of the last tile of a matrix: where they are read.
TEST(SparseTensors, AreTransposedFromWhereTheirRowsLie) {
  using Quantizer8 = scalar::ElementQuantizer<Format::kInt8, Rounding::kNearestEven>;
  constexpr std::int64_t kColumns = 8'192;
  constexpr std::int64_t kRows = kPastInt / kColumns + 4;
  const SparseMemory matrix(static_cast<std::size_t>(kRows * kColumns) * sizeof(bfloat16));
  auto* const x = matrix.as<bfloat16>();
  ASSERT_NE(x, nullptr);
  gpu::TileLayout layout{};
  layout.rows = kRows;
  layout.columns = kColumns;
  const std::int64_t first_row = kRows - gpu::kRowsOfThread;
  const std::int64_t first_column = kColumns - 8;
  for (std::int64_t row = first_row; row < kRows; ++row) {
    for (std::int64_t column = first_column; column < kColumns; ++column) {
      const auto number = static_cast<float>(8 * (row - first_row) + column - first_column);
      x[row * kColumns + column] = {
          static_cast<std::uint16_t>(scalar::to_bits(number) >> 16)};  // small whole numbers
    }
  }
  gpu::DeviceScaledTensor tensor{};
  const float one = 1.0f;
  tensor.dtype = DType::kBF16;
  tensor.shape = Shape{kRows, kColumns};
  tensor.num_scales = 1;
  tensor.scale = &one;
  const auto quantizer = scalar::make_element_quantizer<Quantizer8>(Quantizer{});
  const gpu::PackScales<bfloat16, Quantizer8> scales(quantizer, gpu::scale_map(tensor));
  const gpu::detail::CodeRows rows =
      gpu::detail::quantize_rows(layout, first_row, first_column, scales, x, nullptr);
  for (int column = 0; column < 8; ++column) {
    const std::uint32_t word = rows.column(column);
    for (unsigned row = 0; row < 4; ++row) {
      EXPECT_EQ(word >> (8 * row) & 0xffu, 8 * row + static_cast<unsigned>(column));
    }
  }
}

constexpr std::int64_t kPast32Bits = (std::int64_t{1} << 32) + 16;

/// A pack of bytes, by each of the two ways.
TEST(SparseTensors, ArePackedPast32Bits) {
  const SparseMemory memory(static_cast<std::size_t>(kPast32Bits) + 64);
  auto* const bytes = memory.as<std::uint8_t>();
  ASSERT_NE(bytes, nullptr);
  gpu::Pack<std::uint8_t> pack{};
  for (int i = 0; i < gpu::kPackElements; ++i) {
    pack.element[i] = static_cast<std::uint8_t>(i + 1);
  }
  const auto expect_there = [&](std::int64_t first, int begin, int end) {
    for (int i = 0; i < gpu::kPackElements; ++i) {
      EXPECT_EQ(bytes[first + i], i >= begin && i < end ? i + 1 : 0) << i;
      EXPECT_EQ(bytes[first - kPast32Bits + 16 + i], 0) << i;
    }
  };
  gpu::store_pack(bytes, gpu::WholePack{kPast32Bits}, pack);
  expect_there(kPast32Bits, 0, 8);
  gpu::store_pack(bytes, gpu::PackSpan{kPast32Bits + 16, 2, 7}, pack);
  expect_there(kPast32Bits + 16, 2, 7);
  gpu::store_pack(bytes, gpu::PackSpan{kPast32Bits + 32, 0, 8}, pack);
  expect_there(kPast32Bits + 32, 0, 8);
  EXPECT_EQ(gpu::load_pack<std::uint8_t>(bytes, gpu::WholePack{kPast32Bits}).element[3], 4);
  EXPECT_EQ((gpu::load_pack<std::uint8_t>(bytes, gpu::PackSpan{kPast32Bits, 0, 4}).element[3]), 4);
  // Two codes in a byte.
  EXPECT_EQ(gpu::nibbles_at(bytes, gpu::WholePack{2 * kPast32Bits}), bytes + kPast32Bits);
  EXPECT_EQ(gpu::nibbles_at(bytes, (gpu::PackSpan{2 * kPast32Bits, 0, 3})), bytes + kPast32Bits);
}

/// A learned scale's dx.
TEST(SparseTensors, HaveTheirGradientsPast32Bits) {
  using Quantizer8 = scalar::ElementQuantizer<Format::kInt8, Rounding::kNearestEven>;
  const SparseMemory memory(static_cast<std::size_t>(kPast32Bits + 8) * sizeof(bfloat16));
  auto* const dx = memory.as<std::uint16_t>();
  ASSERT_NE(dx, nullptr);
  const float one = 1.0f;
  gpu::DeviceScaledTensor tensor{};
  tensor.dtype = DType::kBF16;
  tensor.shape = Shape{kPast32Bits + 8};
  tensor.num_scales = 1;
  tensor.scale = &one;
  const auto quantizer = scalar::make_element_quantizer<Quantizer8>(Quantizer{});
  const gpu::ElementGradients<bfloat16, Quantizer8> gradients(gpu::scale_map(tensor), 0, quantizer);
  gpu::GradientSums sums{};
  gradients.add_to(sums, bfloat16{0x3f80}, 0x4000, dx, kPast32Bits);
  EXPECT_EQ(dx[kPast32Bits], 0x4000);
  EXPECT_EQ(dx[16], 0);
}

/// The column of a transpose lies behind as many rows as there are columns before it.
__global__ void store_columns_kernel(gpu::TileLayout layout, std::int64_t first_column,
                                     std::uint8_t* codes_transposed) {
  auto& tile = gpu::shared_storage<gpu::TransposedTile>();
  for (int i = static_cast<int>(threadIdx.x); i < gpu::kTileColumns * gpu::kTileRows;
       i += gpu::kTileThreads) {
    tile.at<std::uint8_t>(i / gpu::kTileRows, i % gpu::kTileRows) =
        static_cast<std::uint8_t>(i / gpu::kTileRows + 1);
  }
  __syncthreads();
  gpu::detail::store_columns<std::uint8_t>(layout, 0, first_column, tile, codes_transposed);
}

TEST(SparseTensors, HaveTheColumnsOfTheirTransposePast32Bits) {
  gpu::TileLayout layout{};
  layout.rows = (std::int64_t{1} << 30) + 3;
  layout.columns = 6;
  const SparseMemory memory(static_cast<std::size_t>(layout.rows * layout.columns));
  auto* const codes = memory.as<std::uint8_t>();
  ASSERT_NE(codes, nullptr);
  set_device_order(0);
  const cudaLaunchConfig_t config{
      1, gpu::kTileThreads, sizeof(gpu::TransposedTile), device_under_test().stream, nullptr, 0};
  ASSERT_EQ(cudaLaunchKernelEx(&config, store_columns_kernel, layout, std::int64_t{4}, codes),
            cudaSuccess);
  ASSERT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  for (const std::int64_t row : {0, 1, 17}) {
    EXPECT_EQ(codes[4 * layout.rows + row], 1) << row;
    EXPECT_EQ(codes[5 * layout.rows + row], 2) << row;
    EXPECT_EQ(codes[row], 0) << row;
  }
}

}  // namespace
}  // namespace cuqat::test
