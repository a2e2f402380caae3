// How a product of codes is cut into pieces that the scratch memory holds.
#pragma once

#include <cstddef>
#include <cstdint>

#include "pack.cuh"
#include "products.hpp"

namespace cuqat::gpu {

/// Rows of a piece are multiples of this, which is also the least.
inline constexpr std::int64_t kRowsUnit = 32;
/// Numbers of codes that cuBLASLt reads at once: k and what rows begin at.
inline constexpr std::int64_t kDepthUnit = 16;
/// Past this many int8 rows any number of them is taken as it is.
inline constexpr std::int64_t kFewRows = 16;

/// How a product is cut, and what of it is copied.
struct Cut {
  std::int64_t all_rows;
  std::int64_t rows;     ///< Of a piece; the last may have fewer, or kFewRows more.
  std::int64_t outputs;  ///< Of a piece; the last may have fewer.
  std::int64_t depth;    ///< Inputs of a part, the last of which may have fewer.
  bool is_fp8;
  bool copies_x;
  bool copies_w;
  bool is_deep;
  bool writes_sums;  ///< To scratch memory, from where they become y.
  bool sums_codes;   ///< Of rows: what zero points are multiplied with.

  /// Few rows left over cannot be padded where they lie: they belong to the piece before.
  [[nodiscard]] bool keeps_few_together() const { return !copies_x || !writes_sums; }
  [[nodiscard]] std::int64_t padded_rows(std::int64_t count) const {
    if (count <= kFewRows) return kRowsUnit;
    return is_fp8 ? round_up(count, kDepthUnit) : count;
  }
  [[nodiscard]] std::int64_t padded_outputs(std::int64_t count) const {
    return round_up(count, is_fp8 ? kDepthUnit : kPackElements);
  }
};

/// Where a piece has its parts, from the begin of the scratch memory on.
struct Places {
  std::size_t x = 0;
  std::size_t w = 0;
  std::size_t sums = 0;       ///< int32 or f32.
  std::size_t deep_sums = 0;  ///< int64.
  std::size_t x_row_sums = 0;
  std::size_t w_row_sums = 0;
  std::size_t end = 0;
};

Places places(const Cut& cut);

/// In one piece. `y` is that of int8_gemm, or null.
Cut uncut(const CodeProduct& product, const std::int32_t* y);

/// Pieces that fit, nearly as few as can be; the smallest where nothing does.
Cut cut_to(Cut cut, std::size_t bytes);

}  // namespace cuqat::gpu
