// Reductions over short runs that repeat row by row (a channel on the last axes): neighbouring
// elements belong to different scales, so the loops run along the row and keep one partial result
// for each column.
#pragma once

#include "cpu/parallel.hpp"
#include "cpu/scale_layout.hpp"

namespace cuqat::cpu {

/// Runs shorter than this are reduced by columns.
inline constexpr std::int64_t kShortRun = 64;

inline bool reduces_by_columns(const ScaleLayout& layout) {
  return !layout.is_single() && layout.is_periodic() && layout.run_length < kShortRun;
}

/// A strip of columns in some rows.
struct Strip {
  std::int64_t first_row;
  std::int64_t rows;
  std::int64_t first_column;
  std::int64_t columns;
};

/// Scale of a column. Columns past the row's end belong to the rows that follow.
inline std::int64_t scale_of_column(const ScaleLayout& layout, std::int64_t column) {
  return column % layout.row_length / layout.run_length;
}

/// body(strip, stride) for strips that cover the tensor. Short rows are joined, so that a strip is
/// worth a vector loop; what the joining leaves over comes as one row of fewer columns.
template <typename Body>
void for_each_strip(const ScaleLayout& layout, std::int64_t max_rows, int num_threads,
                    const Body& body) {
  const std::int64_t joined = std::max<std::int64_t>(kMaxColumns / 2 / layout.row_length, 1);
  const std::int64_t width = layout.row_length * joined;
  const std::int64_t rows = layout.count / width;
  const std::int64_t strips = (width + kMaxColumns - 1) / kMaxColumns;
  const std::int64_t block =
      std::clamp<std::int64_t>(4 * kChunk / std::min(width, kMaxColumns), 1, max_rows);
  const std::int64_t blocks = (rows + block - 1) / block;
  for_each_chunk(strips * blocks, 1, num_threads, [&](std::int64_t item, std::int64_t) {
    const std::int64_t first_column = item % strips * kMaxColumns;
    const std::int64_t first_row = item / strips * block;
    body(Strip{first_row, std::min(rows - first_row, block), first_column,
               std::min(width - first_column, kMaxColumns)},
         width);
  });
  const std::int64_t left = layout.count - rows * width;
  if (left > 0) body(Strip{rows, 1, 0, left}, width);
}

}  // namespace cuqat::cpu
