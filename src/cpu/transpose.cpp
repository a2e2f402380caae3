// Codes and their transpose from one read of x: a panel of it is quantized into a buffer in L1,
// which it leaves in both orders.
#include <cstring>

#include "cpu/operations.hpp"
#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {
namespace {

/// A row of the transpose gets whole cache lines of a panel; the panel and what it is made from
/// stay in L1.
constexpr std::int64_t kPanelRows = 64;
constexpr std::int64_t kPanelColumns = 256;

struct Panel {
  std::int64_t first_row;
  std::int64_t rows;
  std::int64_t first_column;
  std::int64_t columns;
};

/// Byte j of row i to byte i of row j: blocks of 4, 2 and 1 bytes change places.
void transpose_8x8(std::uint64_t (&row)[8]) {
  constexpr std::uint64_t kLow[] = {0x0000'0000'ffff'ffff, 0x0000'ffff'0000'ffff,
                                    0x00ff'00ff'00ff'00ff};
  for (int level = 0; level < 3; ++level) {
    const int distance = 4 >> level;
    for (int i = 0; i < 8; ++i) {
      if ((i & distance) != 0) continue;
      std::uint64_t& upper = row[i];
      std::uint64_t& lower = row[i + distance];
      const std::uint64_t change = (upper >> 8 * distance ^ lower) & kLow[level];
      lower ^= change;
      upper ^= change << 8 * distance;
    }
  }
}

/// `panel` has its rows one after another; those of `transposed` are `stride` bytes apart.
void transpose_panel(const std::uint8_t* panel, std::int64_t rows, std::int64_t columns,
                     std::uint8_t* transposed, std::int64_t stride) {
  const std::int64_t whole_rows = rows / 8 * 8;
  const std::int64_t whole_columns = columns / 8 * 8;
  for (std::int64_t column = 0; column < whole_columns; column += 8) {
    for (std::int64_t row = 0; row < whole_rows; row += 8) {
      std::uint64_t block[8];
      for (std::int64_t i = 0; i < 8; ++i) {
        std::memcpy(&block[i], panel + (row + i) * columns + column, 8);
      }
      transpose_8x8(block);
      for (std::int64_t i = 0; i < 8; ++i) {
        std::memcpy(transposed + (column + i) * stride + row, &block[i], 8);
      }
    }
  }
  for (std::int64_t column = 0; column < columns; ++column) {
    const std::int64_t first = column < whole_columns ? whole_rows : 0;
    for (std::int64_t row = first; row < rows; ++row) {
      transposed[column * stride + row] = panel[row * columns + column];
    }
  }
}

}  // namespace

void quantize_transposed(const Kernels& kernels, const detail::ScaledTensor& tensor, const void* x,
                         std::uint8_t* codes, std::uint8_t* codes_transposed) {
  const std::int64_t rows = tensor.shape[0];
  const std::int64_t columns = tensor.shape[1];
  if (rows == 0 || columns == 0) return;
  const ScaleLayout scales(tensor);
  const TileQuantizer quantizer = tile_quantizer(tensor);
  const std::int64_t width = std::min(columns, kPanelColumns);
  const std::int64_t panels_across = (columns - 1) / width + 1;
  const std::int64_t panels_down = (rows - 1) / kPanelRows + 1;
  for_each_chunk(
      panels_across * panels_down, kChunk / (kPanelRows * width), tensor.num_threads,
      [&](std::int64_t first, std::int64_t last) {
        ScaleBuffer buffer;
        alignas(64) std::uint8_t quantized[kPanelRows * kPanelColumns];
        const auto quantize_run = [&](std::int64_t begin, std::int64_t n, std::uint8_t* to) {
          for (std::int64_t i = 0; i < n; i += kTile) {
            const std::int64_t length = std::min(n - i, kTile);
            kernels.quantize(quantizer, buffer.tile(tensor, scales, begin + i, length),
                             element(tensor.dtype, x, begin + i), to + i, length);
          }
          if (codes != nullptr) std::memcpy(codes + begin, to, static_cast<std::size_t>(n));
        };
        for (std::int64_t index = first; index < last; ++index) {
          Panel panel{index / panels_across * kPanelRows, 0, index % panels_across * width, 0};
          panel.rows = std::min(rows - panel.first_row, kPanelRows);
          panel.columns = std::min(columns - panel.first_column, width);
          // Whole rows lie one after another.
          const std::int64_t rows_of_run = panel.columns == columns ? panel.rows : 1;
          for (std::int64_t row = 0; row < panel.rows; row += rows_of_run) {
            quantize_run((panel.first_row + row) * columns + panel.first_column,
                         rows_of_run * panel.columns, quantized + row * panel.columns);
          }
          transpose_panel(quantized, panel.rows, panel.columns,
                          codes_transposed + panel.first_column * rows + panel.first_row, rows);
        }
      });
}

}  // namespace cuqat::cpu
