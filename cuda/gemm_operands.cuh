// What products of codes take besides the products: operands as cuBLASLt wants them, sums of rows,
// and sums of parts.
//
// Bytes moved: copies 2 a code, sums of rows 1 a code, sums of parts 4 to 20 a sum. Bound by
// memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "for_each_index.cuh"
#include "pack.cuh"
#include "scale_map.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

/// Some rows and columns of a matrix of codes.
struct CodeBlock {
  const std::uint8_t* codes;
  std::int64_t stride;
  std::int64_t rows;
  std::int64_t columns;
};

/// The part of row `row` that begins with pack `pack`; zeros past the block.
__device__ inline Pack<std::uint8_t> load_codes(const CodeBlock& block, std::int64_t row,
                                                std::int64_t pack) {
  const std::int64_t first = pack * kPackElements;
  const std::int64_t left = row < block.rows ? block.columns - first : 0;
  const int end = left < 0 ? 0 : left < kPackElements ? static_cast<int>(left) : kPackElements;
  return load_pack<std::uint8_t>(block.codes, PackSpan{row * block.stride + first, 0, end});
}

/// A thread copies packs. The copy's rows follow each other, and are 16-byte aligned; what is past
/// the block is 0.
__global__ void pad_codes_kernel(CodeBlock from, std::int64_t num_packs, Divider by_row,
                                 std::int64_t packs_per_row, std::uint8_t* to) {
  for_each_index(num_packs, [&](std::int64_t i) {
    const std::int64_t row = by_row(i);
    store_pack(to, WholePack{i * kPackElements}, load_codes(from, row, i - row * packs_per_row));
  });
}

/// A warp adds a row.
__global__ void code_sums_kernel(CodeBlock block, std::int64_t* sums) {
  constexpr int kOnes = 0x01010101;
  const std::int64_t num_packs = (block.columns + kPackElements - 1) / kPackElements;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  for_each_index(block.rows * kWarpThreads, [&](std::int64_t i) {
    const std::int64_t row = i / kWarpThreads;
    long long sum = 0;
    for (std::int64_t pack = lane; pack < num_packs; pack += kWarpThreads) {
      const Pack<std::uint8_t> codes = load_codes(block, row, pack);
      const Word8 words = *reinterpret_cast<const Word8*>(&codes);
      const int first = __dp4a(static_cast<int>(words.part[0]), kOnes, 0);
      sum += __dp4a(static_cast<int>(words.part[1]), kOnes, first);
    }
#pragma unroll
    for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
      sum += __shfl_xor_sync(kWholeWarp, sum, distance);
    }
    if (lane == 0) sums[row] = sum;
  });
}

/// sums = part, or sums += part.
template <bool kIsFirst>
__global__ void add_part_kernel(std::int64_t n, const std::int32_t* part, std::int64_t* sums) {
  for_each_index(n, [&](std::int64_t i) { sums[i] = (kIsFirst ? 0 : sums[i]) + part[i]; });
}

/// Rows that lie `stride` sums apart, one after the other.
__global__ void gather_rows_kernel(std::int64_t rows, std::int64_t columns, std::int64_t stride,
                                   Divider by_row, const std::int32_t* from, std::int32_t* to,
                                   std::int64_t to_stride) {
  for_each_index(rows * columns, [&](std::int64_t i) {
    const std::int64_t row = by_row(i);
    const std::int64_t column = i - row * columns;
    to[row * to_stride + column] = from[row * stride + column];
  });
}

}  // namespace cuqat::gpu
