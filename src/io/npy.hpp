// Reading NumPy's .npy files, versions 1 to 3.
// https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cuqat/tensor_view.hpp"
#include "io/error.hpp"
#include "io/mapped_file.hpp"

namespace cuqat::io {

/// Largest header that is read.
inline constexpr std::size_t kMaxNpyHeader = 64 * 1024;

/// How files that do not name their element type are read.
struct NpyOptions {
  /// NumPy saves bfloat16 as two bytes without a type ("<V2"). Such a file is refused unless this
  /// says kBF16. It changes nothing for files that name a type.
  std::optional<DType> untyped;
};

/// True for bytes that begin as every .npy file does.
bool is_npy(std::span<const std::byte> bytes) noexcept;

/// A checked .npy file of little-endian f2, f4 or f8. Nothing in it is executed: object arrays are
/// refused. A C-order array stays in the file. A Fortran-order array of more than one axis is
/// copied into C order, which allocates the size of its data.
class NpyFile {
 public:
  /// Maps the file and keeps it mapped; "-" is standard input.
  /// @throws FileError for an unreadable file, another element type, a rank above Shape::kMaxRank,
  ///         and anything that the format does not allow.
  static NpyFile open(const std::string& path, const NpyOptions& options = {});
  static NpyFile open(MappedFile file, const NpyOptions& options = {});

  /// Parses bytes that the caller keeps alive.
  /// @throws FileError as open.
  static NpyFile parse(std::span<const std::byte> bytes, std::string display_name,
                       const NpyOptions& options = {});

  /// The array in C order, at any alignment. Valid as long as this object (moved or not) lives.
  [[nodiscard]] const ConstTensorView& view() const noexcept { return view_; }
  /// True where the file's elements lie in Fortran order.
  [[nodiscard]] bool fortran_order() const noexcept { return fortran_order_; }
  [[nodiscard]] const std::string& display_name() const noexcept { return display_name_; }

 private:
  NpyFile() = default;
  void parse_bytes(std::span<const std::byte> bytes, const NpyOptions& options);

  std::string display_name_;
  std::optional<MappedFile> file_;
  std::vector<std::byte> c_order_;  // Where a Fortran-order array was copied to.
  ConstTensorView view_;
  bool fortran_order_ = false;
};

}  // namespace cuqat::io
