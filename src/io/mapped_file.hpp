// A whole file as bytes in memory.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <utility>

#include "io/error.hpp"

namespace cuqat::io {

/// The bytes of a file, mapped where it is a regular file, so that one larger than memory works.
/// Pipes and standard input are read to their end into memory.
///
/// The bytes stay where they are when the object is moved. A mapped file that another process
/// shortens meanwhile raises SIGBUS when the lost part is read, as with every mapping.
class MappedFile {
 public:
  /// The size of the whole file as its first bytes tell it; nothing where they do not yet.
  /// @throws FileError for bytes that begin no such file.
  using SizeOf = std::function<std::optional<std::size_t>(std::span<const std::byte> begin,
                                                          const std::string& display_name)>;

  /// Opens a file to read; "-" is standard input. What cannot be mapped (a pipe) is read to its
  /// end, or to the first byte past the size that `size_of` tells.
  /// @throws FileError for a file that is missing, unreadable, a directory or a device.
  static MappedFile open(const std::string& path, const SizeOf& size_of = {});

  /// Reads a descriptor in that way. The descriptor stays open.
  /// @throws FileError where reading fails or memory runs out.
  static MappedFile read_all(int descriptor, std::string display_name, const SizeOf& size_of = {});

  MappedFile(MappedFile&& other) noexcept { swap(other); }
  MappedFile& operator=(MappedFile&& other) noexcept {
    MappedFile(std::move(other)).swap(*this);
    return *this;
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  /// The path, or "standard input": for messages.
  [[nodiscard]] const std::string& display_name() const noexcept { return display_name_; }

  /// Gives back the memory of whole pages inside [offset, offset + length), which holds down the
  /// resident size while a huge file is walked. The bytes stay readable: they are fetched again.
  void release(std::size_t offset, std::size_t length) const noexcept;

 private:
  MappedFile() = default;
  void swap(MappedFile& other) noexcept;
  void map(int descriptor, std::size_t size);

  std::string display_name_;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t mapped_bytes_ = 0;  // Of the mapping that data_ begins; 0: there is none.
  bool file_backed_ = false;      // The system can fetch a dropped page again.
};

}  // namespace cuqat::io
