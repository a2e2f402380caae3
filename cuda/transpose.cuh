// Codes of a matrix and of its transpose from one read.
//
// A block owns a tile of 128 rows by 64 columns, a thread eight columns of four rows: it writes the
// codes of these rows as they come, eight bytes each, and puts the four codes of each column into
// shared memory as a word. From there the block writes the tile's columns, which are 128 bytes each
// of the transpose, by the widest stores that all columns allow.
//
// A column's 16-byte parts are exchanged in shared memory by a number that differs from one group
// of eight columns to the next. So the 32 words that a warp writes at a time are in 32 banks, and
// so is each 128 bytes that eight of its lanes read.
//
// Bytes moved an element: sizeof(T) + 2, or sizeof(T) + 1 where only the transpose is wanted. Bound
// by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "quantize_pack.cuh"
#include "shared_storage.cuh"

namespace cuqat::gpu {

inline constexpr int kTileRows = 128;
inline constexpr int kTileColumns = 64;
inline constexpr int kRowsOfThread = 4;
inline constexpr int kPacksOfTileRow = kTileColumns / kPackElements;
inline constexpr int kTileThreads = kPacksOfTileRow * (kTileRows / kRowsOfThread);

/// A matrix cut into tiles, numbered row by row.
struct TileLayout {
  std::int64_t rows;
  std::int64_t columns;
  std::int64_t num_tiles;
  std::int64_t tiles_across;
  Divider by_tiles_across;
  int column_alignment;  ///< 16, 4 or 1: bytes that all columns of the transpose are aligned to.
};

/// A tile's codes in shared memory, column by column.
struct TransposedTile {
  alignas(16) unsigned char code[kTileColumns][kTileRows];

  /// Words have at most 16 bytes; `row` is a multiple of as many.
  template <typename Word>
  __device__ Word& at(int column, int row) {
    const int exchange = column / kPackElements * 16;
    return *reinterpret_cast<Word*>(&code[column][row ^ exchange]);
  }
};

namespace detail {

/// A thread's codes: eight bytes of each row, as words.
struct CodeRows {
  Word8 row[kRowsOfThread];

  /// The codes of a column, the first row's in the low byte.
  __device__ std::uint32_t column(int i) const {
    std::uint32_t word = 0;
#pragma unroll
    for (int j = 0; j < kRowsOfThread; ++j) {
      word |= (row[j].part[i / 4] >> (i % 4 * 8) & 0xffu) << (8 * j);
    }
    return word;
  }
};

/// min(count, limit), for a limit that an int holds.
__device__ inline int at_most(std::int64_t count, int limit) {
  return count < limit ? static_cast<int>(count) : limit;
}

/// Reads and quantizes the thread's part of a tile, which may lie past the matrix's end, and writes
/// its codes unless `codes` is null.
template <typename Scales>
__device__ inline CodeRows quantize_rows(const TileLayout& layout, std::int64_t first_row,
                                         std::int64_t first_column, const Scales& scales,
                                         const void* x, std::uint8_t* codes) {
  using T = typename Scales::Element;
  // With four packs of a 16-bit type a third block would not fit on a multiprocessor (sm_90), which
  // loads while the others store.
  constexpr int kInFlight = sizeof(T) < 8 ? 2 : 1;
  const int length = at_most(layout.columns - first_column, kPackElements);
  const int num_rows = length > 0 ? at_most(layout.rows - first_row, kRowsOfThread) : 0;
  const std::int64_t begin = first_row * layout.columns + first_column;
  const auto span = [&](int row) { return PackSpan{begin + row * layout.columns, 0, length}; };
  CodeRows result{};
  const auto finish = [&](int row, const Pack<std::uint8_t>& row_codes) {
    if (codes != nullptr) store_pack(codes, span(row), row_codes);
      // Row by row: a register cannot be chosen at run time.
#pragma unroll
    for (int i = 0; i < kRowsOfThread; ++i) {
      if (i == row) result.row[i] = __builtin_bit_cast(Word8, row_codes);
    }
  };
  std::uint32_t left = 0;
#pragma unroll
  for (int first = 0; first < kRowsOfThread; first += kInFlight) {
    Pack<T> packs[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (first + i < num_rows) packs[i] = load_pack<T>(x, span(first + i));
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const int row = first + i;
      if (row >= num_rows) continue;
      Pack<std::uint8_t> row_codes;
      if (quantize_quickly(scales, span(row), packs[i], row_codes)) {
        finish(row, row_codes);
      } else {
        left |= 1u << row;
      }
    }
  }
  for_each_bit(left, [&](int row) {
    finish(row, quantize_elements(scales, span(row), load_pack<T>(x, span(row))));
  });
  return result;
}

/// Writes the columns of a tile. Word is no larger than the columns' alignment.
template <typename Word>
__device__ inline void store_columns(const TileLayout& layout, std::int64_t first_row,
                                     std::int64_t first_column, TransposedTile& tile,
                                     std::uint8_t* codes_transposed) {
  constexpr int kCodes = static_cast<int>(sizeof(Word));
  constexpr int kWordsOfColumn = kTileRows / kCodes;
#pragma unroll 1
  for (int word = static_cast<int>(threadIdx.x); word < kTileColumns * kWordsOfColumn;
       word += kTileThreads) {
    const int in_tile = word / kWordsOfColumn;
    const int row = word % kWordsOfColumn * kCodes;
    const std::int64_t column = first_column + in_tile;
    if (column >= layout.columns || first_row + row >= layout.rows) continue;
    std::uint8_t* const to = codes_transposed + column * layout.rows + first_row + row;
    *reinterpret_cast<Word*>(to) = tile.at<Word>(in_tile, row);
  }
}

}  // namespace detail

/// Blocks have kTileThreads threads. codes may be null.
template <typename Scales>
__global__ void quantize_transposed_kernel(TileLayout layout, ScaleMap map,
                                           typename Scales::Quantizer quantizer, const void* x,
                                           std::uint8_t* codes, std::uint8_t* codes_transposed) {
  const Scales scales(quantizer, map);
  auto& tile = shared_storage<TransposedTile>();
  const int column = static_cast<int>(threadIdx.x) % kPacksOfTileRow * kPackElements;
  const int row = static_cast<int>(threadIdx.x) / kPacksOfTileRow * kRowsOfThread;
  for (std::int64_t number = blockIdx.x; number < layout.num_tiles; number += gridDim.x) {
    const std::int64_t down = layout.by_tiles_across(number);
    const std::int64_t first_row = down * kTileRows;
    const std::int64_t first_column = (number - down * layout.tiles_across) * kTileColumns;
    const auto mine =
        detail::quantize_rows(layout, first_row + row, first_column + column, scales, x, codes);
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      tile.at<std::uint32_t>(column + i, row) = mine.column(i);
    }
    __syncthreads();
    if (layout.column_alignment == 16) {
      detail::store_columns<Word16>(layout, first_row, first_column, tile, codes_transposed);
    } else if (layout.column_alignment == 4) {
      detail::store_columns<std::uint32_t>(layout, first_row, first_column, tile, codes_transposed);
    } else {
      detail::store_columns<std::uint8_t>(layout, first_row, first_column, tile, codes_transposed);
    }
    __syncthreads();  // before the next tile takes the memory
  }
}

}  // namespace cuqat::gpu
