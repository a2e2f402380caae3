// Output files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

#include "io/error.hpp"

namespace cuqat::io {

/// A file written beside its final place and renamed onto it by commit(). Destroyed before that, it
/// is removed, and what was there before stays. Where the file system has files without a name
/// (O_TMPFILE), it has none until commit(): a process that is killed leaves nothing.
///
/// A symbolic link is followed: its target is replaced. A path that names a pipe or a character
/// device (/dev/stdout) is written directly: there is nothing to rename.
class AtomicFile {
 public:
  /// Creates the temporary file, in the directory of `path`.
  /// @throws FileError for a directory that is missing or not writable, or a path that is one.
  explicit AtomicFile(const std::string& path);
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;
  ~AtomicFile();

  /// Appends. Unbuffered: give it large pieces.
  /// @throws FileError where the system does not take all of it (no space, a quota, a closed pipe).
  void write(std::span<const std::byte> data);
  void write(std::string_view text) { write(std::as_bytes(std::span(text))); }

  /// Flushes to the disk and renames. Nothing may be written afterwards.
  /// @throws FileError; what was there before is then still there.
  void commit();

 private:
  void create_temporary();
  /// create(a name beside the target) until it does not fail because there is such a file.
  /// @throws FileError where it fails otherwise.
  template <typename Create>
  void take_name(const Create& create);
  void discard() noexcept;
  [[noreturn]] void fail(std::string_view what) const;

  std::string path_;            // As the caller named it, for messages.
  std::string target_path_;     // With symbolic links resolved.
  std::string temporary_path_;  // Empty where it has no name, and where target_path_ is written.
  bool is_unnamed_ = false;
  int descriptor_ = -1;
};

/// Writes a whole text file.
/// @throws FileError.
void write_text_file(const std::string& path, std::string_view text);

}  // namespace cuqat::io
