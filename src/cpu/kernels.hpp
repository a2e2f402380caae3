// The loops of the CPU backend, as the drivers see them. Their sources (kernels/) are compiled once
// per instruction set, each into a namespace of its own. This header therefore holds plain data and
// declarations only: nothing that could leave a weak symbol compiled for the wrong processor.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuqat/format.hpp"

namespace cuqat::cpu {

/// Elements that an element-wise kernel is given at most. A multiple of 64, so that the tiles of a
/// tensor start at whole words of the clip mask; small enough for input, output and scales in L1.
constexpr std::int64_t kTile = 2048;

/// Terms of a chunk of the fixed-order sum, and its lanes (docs/numerics.md).
constexpr std::int64_t kSumChunk = 4096;
constexpr std::int64_t kSumLanes = 32;

/// Channels that learned_scale_columns is given at most.
constexpr std::int64_t kSumColumns = 128;

/// Elements whose squared errors, 51 bits each, can be added in 64 bits.
constexpr std::int64_t kErrorBlock = 4096;

/// Columns that the column kernels are given at most.
constexpr std::int64_t kMaxColumns = 1024;

/// Counters of a key, side by side; element i counts in number i % kKeyCounters. One counter would
/// make equal neighbours, as ReLU's zeros are, wait for each other's increments; more take more of
/// the L1 cache, and apart they would take more of its lines.
constexpr std::size_t kKeyCounters = 4;
constexpr std::size_t kKeys = 65'536;

/// The quantizer of a call and the type of its tensors.
struct TileQuantizer {
  DType dtype;
  Format format;
  Rounding rounding;
  bool saturate;
  std::int32_t low;
  std::int32_t high;
};

/// The scales of a tile, in the compute type: one for all elements, or one for each.
struct TileScale {
  const void* scale;
  const std::int32_t* zero_point;
  bool per_element;
};

/// Statistics of finite and special elements. Extrema as in cuqat::Statistics, of either zero sign.
struct PartialStatistics {
  std::int64_t nan;
  std::int64_t pos_inf;
  std::int64_t neg_inf;
  std::int64_t zeros;
  double min;
  double max;
};

/// The same for columns; extrema in the compute type, +infinity and -infinity where none was seen.
struct ColumnStatistics {
  void* min;
  void* max;
  std::uint32_t* nan;
  std::uint32_t* pos_inf;
  std::uint32_t* neg_inf;
  std::uint32_t* zeros;
};

/// Reciprocals of the units of the squared errors.
struct ErrorUnits {
  double rounding;
  double amax;
};

struct PartialError {
  std::int64_t count;
  std::int64_t clipped;
  std::uint64_t rounding;
  std::uint64_t clipping;
  std::uint64_t signal;
};

/// The same for columns.
struct ColumnErrors {
  const double* rounding_unit;
  const double* amax_unit;
  std::uint64_t* count;
  std::uint64_t* clipped;
  std::uint64_t* rounding;
  std::uint64_t* clipping;
  std::uint64_t* signal;
};

/// A linear histogram: bin = floor(x / amax * bins_per_amax) + offset, in real numbers for f32 and
/// narrower, as docs/numerics.md says for f64.
struct LinearBins {
  double amax;
  double bins_per_amax;
  std::int32_t offset;
  std::int32_t last;     ///< Largest bin.
  std::int32_t skipped;  ///< What an element outside gets.
  bool magnitude;        ///< Bins of |x|.
  bool amax_is_f32;      ///< amax is exactly an f32 number.
};

/// Elements whose leading bits, without the bits that `keep` clears, are `prefix`.
struct PrefixMatch {
  std::uint64_t keep;
  std::uint64_t prefix;
  int shift;  ///< Bits below the prefix; at least 16.
};

/// A product of some rows of x, [rows, inputs], and of some columns of a matrix whose rows are
/// `w_stride` long. All are f32, or all f64.
struct ProductTile {
  const void* x;
  std::int64_t rows;
  std::int64_t inputs;
  const void* w;
  std::int64_t w_stride;
  std::int64_t outputs;
};

/// A row of outputs of an integer product: y = (x_scale * w_scale) * t + bias with
/// t = sum + x_zero_point * w_term - w_zero_point * x_sum.
struct Int8Outputs {
  std::int64_t n;
  bool narrow;         ///< Every t fits into int32.
  const void* sums;    ///< int32 where narrow, else int64.
  const void* w_term;  ///< The same: k * w_zero_point - sum of w, for each output.
  const std::int32_t* w_zero_point;
  const void* w_scale;
  const void* bias;  ///< Or null.
  bool w_per_output;
  std::int32_t x_zero_point;
  std::int64_t x_sum;
  double x_scale;  ///< A number of the compute type.
};

/// The kernels of one instruction set. Pointers to tensors may have any alignment. Outputs may be
/// inputs where the public functions allow it.
struct Kernels {
  void (*quantize)(const TileQuantizer&, const TileScale&, const void* x, std::uint8_t* codes,
                   std::int64_t n);
  void (*dequantize)(const TileQuantizer&, const TileScale&, const std::uint8_t* codes, void* y,
                     std::int64_t n);
  /// n codes of a byte to (n + 1) / 2 bytes, and back.
  void (*pack_nibbles)(const std::uint8_t* codes, std::uint8_t* packed, std::int64_t n);
  void (*unpack_nibbles)(const std::uint8_t* packed, std::uint8_t* codes, std::int64_t n);
  /// clip_mask may be null.
  void (*fake_quantize)(const TileQuantizer&, const TileScale&, const void* x, void* y,
                        std::uint8_t* clip_mask, std::int64_t n);
  void (*backward)(const TileQuantizer&, const TileScale&, const void* dy, const void* x, void* dx,
                   std::int64_t n);
  void (*backward_from_mask)(std::size_t element_bytes, const void* dy,
                             const std::uint8_t* clip_mask, void* dx, std::int64_t n);
  /// At most kSumChunk elements of one scale; writes the two sums of the chunk. dzero_point may be
  /// null.
  void (*learned_scale)(const TileQuantizer&, const TileScale&, const void* dy, const void* x,
                        void* dx, std::int64_t n, double* dscale, double* dzero_point);
  /// At most kSumColumns channels by kSumChunk rows, `stride` elements apart; one scale and one sum
  /// for each channel.
  void (*learned_scale_columns)(const TileQuantizer&, const TileScale&, const void* dy,
                                const void* x, void* dx, std::int64_t rows, std::int64_t columns,
                                std::int64_t stride, double* dscale, double* dzero_point);
  /// The fixed-order sum of at most kSumChunk terms.
  double (*sum_chunk)(const double* terms, std::int64_t n);
  /// At most kTile elements.
  PartialStatistics (*statistics)(DType, const void* x, std::int64_t n);
  void (*statistics_columns)(DType, const void* x, std::int64_t rows, std::int64_t columns,
                             std::int64_t stride, const ColumnStatistics&);
  /// At most kErrorBlock elements of one scale.
  PartialError (*quantization_error)(const TileQuantizer&, const TileScale&, const ErrorUnits&,
                                     const void* x, std::int64_t n);
  /// At most kErrorBlock rows; one scale for each column. Adds.
  void (*quantization_error_columns)(const TileQuantizer&, const TileScale&, const void* x,
                                     std::int64_t rows, std::int64_t columns, std::int64_t stride,
                                     const ColumnErrors&);
  /// Adds the keys of fewer than 2^32 elements to kKeys * kKeyCounters counters.
  void (*count_keys)(std::size_t element_bytes, const void* x, std::int64_t n,
                     std::uint32_t* counters);
  void (*linear_bins)(DType, const LinearBins&, const void* x, std::int64_t n, std::int32_t* bins);
  /// Counts the 16 bits after the prefix of the elements (4 or 8 bytes) that match it.
  void (*count_matching)(std::size_t element_bytes, const PrefixMatch&, const void* x,
                         std::int64_t n, std::uint64_t* counts);
  /// y = x / scale or x * scale.
  void (*scale_elements)(DType, const TileScale&, const void* x, void* y, std::int64_t n,
                         bool divides);
  /// Adds the product to y of [rows, outputs], one input after the other. f32 or f64.
  void (*product_tile)(DType, const ProductTile&, void* y);
  /// Of at most kMaxInt32Depth codes.
  std::int32_t (*int8_dot)(const std::int8_t* x, const std::int8_t* w, std::int64_t n);
  std::int64_t (*int8_sum)(const std::int8_t* codes, std::int64_t n);
  void (*int8_outputs)(DType, const Int8Outputs&, void* y);
  /// Copies past the caches. stream_fence orders the copies before what this thread writes later.
  void (*stream)(void* to, const void* from, std::size_t bytes);
  void (*stream_fence)();
};

namespace baseline {
const Kernels& kernels() noexcept;
}
namespace v3 {
const Kernels& kernels() noexcept;
}
namespace v4 {
const Kernels& kernels() noexcept;
}

}  // namespace cuqat::cpu
