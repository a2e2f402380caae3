// Where the program writes: standard output and files that appear whole or not at all.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/error.hpp"
#include "io/atomic_file.hpp"

namespace cuqat::cli {

/// The path that stands for standard output.
inline constexpr std::string_view kStandardOutput = "-";

/// A buffered output. A reader that closes standard output's pipe has seen enough: what comes
/// after is dropped without an error.
class Output {
 public:
  /// @throws UsageError for a path that cannot be written.
  explicit Output(const std::string& path);

  /// @throws OutputError.
  void write(std::string_view text);
  void write(std::span<const std::byte> bytes);

  /// Flushes; a file appears under its name.
  /// @throws OutputError.
  void commit();

 private:
  void flush();
  void write_to_standard_output(std::string_view text);

  std::optional<io::AtomicFile> file_;  // Absent: standard output.
  std::string buffer_;
  bool closed_ = false;  // Standard output's reader is gone.
};

/// Refuses an output that is one of the inputs under whatever name.
/// @throws UsageError.
void refuse_overwriting(std::string_view option, const std::string& output,
                        const std::vector<std::string>& inputs);

/// Writes to standard output at once.
/// @throws OutputError.
void print(std::string_view text);

/// Writes one line to standard error, "cuqat: <kind>: <message>".
void print_diagnostic(std::string_view kind, std::string_view message) noexcept;

/// Whether two outputs are one, under whatever names.
bool are_one_output(const std::string& one, const std::string& other);

/// Whether to style what goes to standard output: on a terminal, and NO_COLOR is not set.
bool output_is_styled() noexcept;

/// Runs what opens a file to write, with io's errors as UsageError.
template <typename Action>
auto opening(Action&& action) {
  try {
    return action();
  } catch (const io::FileError& error) {
    throw UsageError(error.what());
  }
}

/// Runs what writes a file, with io's errors as OutputError.
template <typename Action>
auto writing(Action&& action) {
  try {
    return action();
  } catch (const io::FileError& error) {
    throw OutputError(error.what());
  }
}

}  // namespace cuqat::cli
