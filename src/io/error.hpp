// What goes wrong with files.
#pragma once

#include <string>
#include <string_view>

#include "cuqat/error.hpp"

namespace cuqat::io {

/// A file that cannot be read or written, or does not hold what it should. what() is one printable
/// line, "<file>: <what is wrong, with the value and the limit>", whatever bytes the file holds.
class FileError : public DataError {
 public:
  FileError(std::string_view path, std::string_view problem);
  /// The file as the caller named it.
  [[nodiscard]] const std::string& path() const noexcept { return path_; }

 private:
  std::string path_;
};

/// `text` in double quotes with control characters and bytes that are not UTF-8 escaped, cut after
/// some 100 bytes: names and tokens from a file, made fit for a message.
std::string in_quotes(std::string_view text);

/// "<what>: <the system's reason>", for an errno.
std::string system_problem(std::string_view what, int error_number);

}  // namespace cuqat::io
