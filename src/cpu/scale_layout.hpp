// Which element has which scale, for every granularity in one form: the tensor is rows, a row is
// runs, a run shares a scale.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cpu/kernels.hpp"
#include "host/operation_table.hpp"

namespace cuqat::cpu {

/// Run r of row i has scale (i * runs_per_row + r) % num_scales. The last run of a row may be
/// shorter than the others.
struct ScaleLayout {
  std::int64_t count;
  std::int64_t row_length;
  std::int64_t run_length;
  std::int64_t runs_per_row;
  std::int64_t num_scales;

  explicit ScaleLayout(const detail::ScaledTensor& tensor);

  /// All elements share one scale.
  [[nodiscard]] bool is_single() const { return num_scales == 1; }
  /// Rows repeat the same scales.
  [[nodiscard]] bool is_periodic() const { return num_scales == runs_per_row; }
  /// These elements, a run or a part of one, are all that have its scale.
  [[nodiscard]] bool is_whole_run(std::int64_t first, std::int64_t length) const {
    if (is_periodic() && num_rows() > 1) return false;
    const std::int64_t in_row = first % row_length;
    return in_row % run_length == 0 && (length == run_length || in_row + length == row_length);
  }
  [[nodiscard]] std::int64_t num_rows() const { return row_length == 0 ? 0 : count / row_length; }
};

/// body(first, length, scale index) for the runs, or parts of runs, in [begin, end).
template <typename Body>
void for_each_run(const ScaleLayout& layout, std::int64_t begin, std::int64_t end,
                  const Body& body) {
  std::int64_t row = begin / layout.row_length;
  std::int64_t in_row = begin % layout.row_length;
  std::int64_t run = in_row / layout.run_length;
  std::int64_t index = (row * layout.runs_per_row + run) % layout.num_scales;
  for (std::int64_t first = begin; first < end;) {
    const std::int64_t run_end = std::min((run + 1) * layout.run_length, layout.row_length);
    const std::int64_t length = std::min(run_end - in_row, end - first);
    body(first, length, index);
    first += length;
    in_row += length;
    if (in_row == run_end) ++run, ++index;
    if (in_row == layout.row_length) in_row = 0, run = 0;
    if (index == layout.num_scales) index = 0;
  }
}

/// The quantizer as the kernels take it.
TileQuantizer tile_quantizer(const detail::ScaledTensor& tensor);

/// Element `i` of an array of this dtype.
inline const void* element(DType dtype, const void* base, std::int64_t i) {
  return static_cast<const std::byte*>(base) + static_cast<std::size_t>(i) * dtype_bytes(dtype);
}
inline void* element(DType dtype, void* base, std::int64_t i) {
  return static_cast<std::byte*>(base) + static_cast<std::size_t>(i) * dtype_bytes(dtype);
}

/// One scale of a tensor, as the kernels take it and as a number.
TileScale single_scale(const detail::ScaledTensor& tensor, std::int64_t index);
double scale_value(const detail::ScaledTensor& tensor, std::int64_t index);

/// Scales written out for each element of a tile.
class ScaleBuffer {
 public:
  /// The scales of elements [begin, begin + length), length <= kTile. Valid until the next call.
  TileScale tile(const detail::ScaledTensor& tensor, const ScaleLayout& layout, std::int64_t begin,
                 std::int64_t length);

 private:
  template <typename C>
  TileScale expand(const detail::ScaledTensor& tensor, const ScaleLayout& layout,
                   std::int64_t begin, std::int64_t length);

  alignas(64) std::byte scale_[kTile * sizeof(double)];
  alignas(64) std::int32_t zero_point_[kTile];
};

}  // namespace cuqat::cpu
