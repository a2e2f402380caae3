// Writing safetensors files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "io/atomic_file.hpp"
#include "io/tensor_entry.hpp"

namespace cuqat::io {

/// Writes a safetensors file tensor by tensor, so that all of them need never be in memory at once.
/// The same calls give the same bytes: tensors in the order given, metadata sorted by key.
/// The file appears under its name at commit(), whole; without commit() nothing is left behind.
///
/// The format has no padding between tensors: give those of larger elements first and every tensor
/// is aligned for readers that map the file.
class SafetensorsWriter {
 public:
  /// Writes the header.
  /// @throws InvalidArgument for a name that is repeated, reserved or not UTF-8, an unknown dtype,
  ///         a shape that is negative or too large; FileError where the file cannot be written.
  SafetensorsWriter(const std::string& path, std::span<const TensorInfo> tensors,
                    const std::map<std::string, std::string>& metadata = {});

  /// Writes the next tensor's bytes, row-major and little-endian.
  /// @throws InvalidArgument for another number of bytes than its dtype and shape ask for, or where
  ///         every tensor has been written; FileError.
  void append(std::span<const std::byte> data);

  /// @throws InvalidArgument where tensors are missing; FileError.
  void commit();

 private:
  struct Pending {
    std::string name;
    std::uint64_t bytes = 0;
  };
  std::vector<Pending> tensors_;
  std::size_t num_written_ = 0;
  std::optional<AtomicFile> file_;  // Created once the arguments have been checked.
};

/// Writes tensors that are in memory already, straight from their spans.
/// @throws as SafetensorsWriter.
void write_safetensors(const std::string& path, std::span<const TensorEntry> tensors,
                       const std::map<std::string, std::string>& metadata = {});

}  // namespace cuqat::io
