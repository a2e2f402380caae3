#include "io/npy.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <utility>

#include "io/npy_header.hpp"
#include "io/tensor_entry.hpp"

namespace cuqat::io {
namespace {

static_assert(std::endian::native == std::endian::little, "arrays are used as they lie in files");

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::int64_t kTile = 32;

std::string_view as_text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::uint64_t little_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  return value;
}

// Splits the file into header text and data, from magic, version and header length.
std::pair<std::string_view, std::span<const std::byte>> split(std::span<const std::byte> bytes,
                                                              const std::string& file) {
  if (as_text(bytes).starts_with("PK\x03\x04")) {
    throw FileError(file, "is a zip archive (.npz); unpack it and give its .npy files");
  }
  if (!is_npy(bytes)) throw FileError(file, "does not begin as a .npy file (\\x93NUMPY)");
  bytes = bytes.subspan(kMagic.size());
  if (bytes.size() < 2) throw FileError(file, "ends inside its version");
  const int major = std::to_integer<int>(bytes[0]);
  const int minor = std::to_integer<int>(bytes[1]);
  if (major < 1 || major > 3 || minor != 0) {
    throw FileError(file, "has version " + std::to_string(major) + "." + std::to_string(minor) +
                              "; 1.0, 2.0 and 3.0 are supported");
  }
  bytes = bytes.subspan(2);
  const std::size_t length_bytes = major == 1 ? 2 : 4;
  if (bytes.size() < length_bytes) throw FileError(file, "ends inside its header length");
  const std::uint64_t length = little_endian(bytes.first(length_bytes));
  bytes = bytes.subspan(length_bytes);
  if (length > kMaxNpyHeader) {
    throw FileError(file, "header length " + std::to_string(length) + " exceeds the limit " +
                              std::to_string(kMaxNpyHeader));
  }
  if (length > bytes.size()) {
    throw FileError(file, "header length " + std::to_string(length) + " exceeds the " +
                              std::to_string(bytes.size()) + " bytes that follow it");
  }
  const auto header_bytes = static_cast<std::size_t>(length);
  return {as_text(bytes.first(header_bytes)), bytes.subspan(header_bytes)};
}

DType parse_descr(const std::string& descr, const NpyOptions& options, const std::string& file) {
  const auto fail = [&](const std::string& problem) {
    throw FileError(file, "element type " + in_quotes(descr) + " " + problem);
  };
  const char order = descr.empty() ? '\0' : descr[0];
  const std::string type = std::string("<>=|").find(order) == std::string::npos || descr.empty()
                               ? descr
                               : descr.substr(1);
  const bool is_native = order == '<' || order == '=';
  if (type.starts_with('O')) fail("holds Python objects (pickle), which are never read");
  if (type == "V2" && (is_native || order == '|')) {
    if (!options.untyped) {
      fail("does not say what it holds; NumPy saves bfloat16 so: read it with --npy-dtype bf16");
    }
    if (dtype_bytes(*options.untyped) != 2) {
      fail("cannot be read as " + std::string(to_string(*options.untyped)));
    }
    return *options.untyped;
  }
  const bool is_float = type == "f2" || type == "f4" || type == "f8";
  if (is_float && order == '>') fail("is big-endian; only little-endian is supported");
  if (!is_float || !is_native) {
    fail("is not supported; it must be <f2, <f4, <f8, or <V2 with --npy-dtype bf16");
  }
  return type == "f2" ? DType::kF16 : type == "f4" ? DType::kF32 : DType::kF64;
}

// Writes the matrix of the first and the last axis, at one place of the axes between them, in tiles
// so that neither side leaves the cache.
template <std::size_t kBytes>
void transpose_plane(const std::byte* source, std::int64_t source_stride, std::byte* target,
                     std::int64_t target_stride, std::int64_t rows, std::int64_t columns) {
  for (std::int64_t row0 = 0; row0 < rows; row0 += kTile) {
    for (std::int64_t column0 = 0; column0 < columns; column0 += kTile) {
      const std::int64_t row_end = row0 + std::min(kTile, rows - row0);
      const std::int64_t column_end = column0 + std::min(kTile, columns - column0);
      for (std::int64_t row = row0; row < row_end; ++row) {
        for (std::int64_t column = column0; column < column_end; ++column) {
          std::memcpy(target + (row * target_stride + column) * std::int64_t{kBytes},
                      source + (row + column * source_stride) * std::int64_t{kBytes}, kBytes);
        }
      }
    }
  }
}

template <std::size_t kBytes>
void to_c_order(const std::byte* source, std::byte* target, std::span<const std::int64_t> extents) {
  const std::int64_t rows = extents.front();
  const std::int64_t columns = extents.back();
  const auto middle = extents.subspan(1, extents.size() - 2);
  std::int64_t num_planes = 1;
  for (const std::int64_t extent : middle) num_planes *= extent;
  for (std::int64_t plane = 0; plane < num_planes; ++plane) {
    // `plane` counts the middle axes in Fortran order, the first of them fastest.
    std::int64_t rest = plane;
    std::int64_t target_plane = 0;
    std::int64_t target_step = num_planes;
    for (const std::int64_t extent : middle) {
      target_step /= extent;
      target_plane += rest % extent * target_step;
      rest /= extent;
    }
    transpose_plane<kBytes>(source + plane * rows * std::int64_t{kBytes}, rows * num_planes,
                            target + target_plane * columns * std::int64_t{kBytes},
                            num_planes * columns, rows, columns);
  }
}

std::vector<std::byte> copy_to_c_order(std::span<const std::byte> data, DType dtype,
                                       std::span<const std::int64_t> extents) {
  std::vector<std::byte> result(data.size());
  if (data.empty()) return result;
  switch (dtype_bytes(dtype)) {
    case 2:
      to_c_order<2>(data.data(), result.data(), extents);
      break;
    case 4:
      to_c_order<4>(data.data(), result.data(), extents);
      break;
    default:
      to_c_order<8>(data.data(), result.data(), extents);
      break;
  }
  return result;
}

}  // namespace

bool is_npy(std::span<const std::byte> bytes) noexcept {
  return as_text(bytes).starts_with(kMagic);
}

NpyFile NpyFile::open(const std::string& path, const NpyOptions& options) {
  return open(MappedFile::open(path), options);
}

NpyFile NpyFile::open(MappedFile mapped, const NpyOptions& options) {
  NpyFile file;
  file.display_name_ = mapped.display_name();
  file.parse_bytes(mapped.bytes(), options);
  file.file_ = std::move(mapped);
  return file;
}

NpyFile NpyFile::parse(std::span<const std::byte> bytes, std::string display_name,
                       const NpyOptions& options) {
  NpyFile file;
  file.display_name_ = std::move(display_name);
  file.parse_bytes(bytes, options);
  return file;
}

void NpyFile::parse_bytes(std::span<const std::byte> bytes, const NpyOptions& options) {
  const auto [text, data] = split(bytes, display_name_);
  const NpyHeader header = parse_npy_header(text, display_name_);
  const DType dtype = parse_descr(header.descr, options, display_name_);
  const std::optional<std::int64_t> count = checked_count(header.shape);
  if (!count) {
    throw FileError(display_name_,
                    "the product of its extents exceeds the limit 9223372036854775807");
  }
  const auto needed = checked_bytes(*count, static_cast<int>(dtype_bytes(dtype) * 8));
  if (!needed || *needed != data.size()) {
    throw FileError(display_name_,
                    "holds " + std::to_string(data.size()) + " bytes of data; " +
                        std::to_string(*count) + " elements of " + header.descr + " take " +
                        (needed ? std::to_string(*needed) : std::string("more than 2^63")));
  }
  fortran_order_ = header.fortran_order;
  const std::byte* elements = data.data();
  if (fortran_order_ && header.shape.size() > 1) {
    c_order_ = copy_to_c_order(data, dtype, header.shape);
    elements = c_order_.data();
  }
  view_ = ConstTensorView(elements, dtype, Shape(std::span(header.shape)));
}

}  // namespace cuqat::io
