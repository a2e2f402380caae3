// A named tensor of a file, and the element types that the safetensors format knows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cuqat::io {

/// What a safetensors header says of a tensor.
struct TensorInfo {
  std::string name;
  std::string dtype;                ///< As in the file: "F32", "BF16", "I8", "F8_E4M3" ...
  std::vector<std::int64_t> shape;  ///< Outermost extent first; empty for a scalar.
};

/// A tensor and its bytes, row-major, little-endian, at any alignment.
struct TensorEntry : TensorInfo {
  std::span<const std::byte> data;
};

/// Bits of one element of a safetensors dtype, or nothing for a name that the format lacks.
std::optional<int> safetensors_dtype_bits(std::string_view dtype) noexcept;

/// Elements of a shape, or nothing where an extent is negative or the product of the extents that
/// are not 0 passes 2^63 - 1 (so that a 0 among them hides no overflow).
std::optional<std::int64_t> checked_count(std::span<const std::int64_t> shape) noexcept;

/// Bytes of `count` elements of `bits` each, or nothing where they pass 2^63 - 1 or are no whole
/// number of bytes.
std::optional<std::uint64_t> checked_bytes(std::int64_t count, int bits) noexcept;

}  // namespace cuqat::io
