// Reading safetensors files: an 8-byte little-endian header length, a JSON header, the tensors.
// https://huggingface.co/docs/safetensors
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cuqat/tensor_view.hpp"
#include "io/error.hpp"
#include "io/mapped_file.hpp"
#include "io/tensor_entry.hpp"

namespace cuqat::io {

/// The size of a safetensors file from its first bytes; nothing before its header is whole.
/// @throws FileError, naming `file`, for a header that cannot be right.
std::optional<std::size_t> safetensors_size(std::span<const std::byte> begin,
                                            const std::string& file);

/// Largest header that is read, the format's own limit.
inline constexpr std::size_t kMaxSafetensorsHeader = 100'000'000;

/// A checked safetensors file. Everything is verified before an object exists: every tensor's bytes
/// lie in the file, their number is what dtype and shape ask for, and together they cover the file
/// exactly. Allocates no more than the header's size and about 100 MB; the tensors' bytes are never
/// copied. Limits: 262 144 tensors, 65 536 entries of metadata, rank 64.
class SafetensorsFile {
 public:
  /// Maps the file and keeps it mapped; "-" is standard input.
  /// @throws FileError for an unreadable file and anything that the format does not allow.
  static SafetensorsFile open(const std::string& path);
  static SafetensorsFile open(MappedFile file);

  /// Parses bytes that the caller keeps alive.
  /// @throws FileError as open.
  static SafetensorsFile parse(std::span<const std::byte> bytes, std::string display_name);

  /// In the header's order.
  [[nodiscard]] const std::vector<TensorEntry>& tensors() const noexcept { return tensors_; }
  [[nodiscard]] const std::map<std::string, std::string>& metadata() const noexcept {
    return metadata_;
  }
  /// The tensor of this name, or null.
  [[nodiscard]] const TensorEntry* find(std::string_view name) const noexcept;
  [[nodiscard]] const std::string& display_name() const noexcept { return display_name_; }

  /// One of this file's tensors to compute with; nothing where its dtype is none of F64, F32, F16
  /// and BF16.
  /// @throws FileError for a rank above Shape::kMaxRank.
  [[nodiscard]] std::optional<ConstTensorView> view(const TensorEntry& tensor) const;

  /// Gives back the memory of one of this file's tensors; its bytes stay readable.
  void release(const TensorEntry& tensor) const noexcept;

 private:
  SafetensorsFile() = default;
  void parse_bytes(std::span<const std::byte> bytes);
  void index_names();

  std::string display_name_;
  std::optional<MappedFile> file_;
  std::vector<TensorEntry> tensors_;
  std::vector<std::size_t> by_name_;  // Indices into tensors_, sorted by name.
  std::map<std::string, std::string> metadata_;
};

}  // namespace cuqat::io
