#include "cli/output.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "cli/ranks.hpp"
#include "cli/text.hpp"

namespace cuqat::cli {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 16;

// What is left unwritten is lost: there is nowhere to complain about standard error.
void write_to_standard_error(std::string_view text) noexcept {
  while (!text.empty()) {
    const ssize_t written = ::write(STDERR_FILENO, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written == 0 || errno != EINTR) {
      return;
    }
  }
}

}  // namespace

Output::Output(const std::string& path) {
  if (path != kStandardOutput) opening([&] { file_.emplace(path); });
}

void Output::write(std::string_view text) {
  if (buffer_.size() + text.size() > kBufferBytes) flush();
  if (text.size() < kBufferBytes) {
    buffer_ += text;
  } else if (file_) {
    writing([&] { file_->write(text); });
  } else {
    write_to_standard_output(text);
  }
}

void Output::write(std::span<const std::byte> bytes) {
  write(std::string_view(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

void Output::commit() {
  flush();
  if (file_) writing([&] { file_->commit(); });
}

void Output::flush() {
  if (file_) {
    writing([&] { file_->write(buffer_); });
  } else {
    write_to_standard_output(buffer_);
  }
  buffer_.clear();
}

void Output::write_to_standard_output(std::string_view text) {
  while (!text.empty() && !closed_) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
    if (written > 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (written < 0 && errno == EPIPE) {
      closed_ = true;
    } else if (written == 0 || errno != EINTR) {
      throw OutputError(io::system_problem("standard output: cannot write", errno));
    }
  }
}

void refuse_overwriting(std::string_view option, const std::string& output,
                        const std::vector<std::string>& inputs) {
  for (const std::string& input : inputs) {
    std::error_code no_such_file;
    if (std::filesystem::equivalent(output, input, no_such_file)) {
      throw UsageError(std::string(option) + ": " + io::in_quotes(output) + " is the input " +
                       io::in_quotes(input));
    }
  }
}

bool are_one_output(const std::string& one, const std::string& other) {
  if (one == other) return true;
  if (one == kStandardOutput || other == kStandardOutput) return false;
  const auto resolved = [](const std::string& path) {
    std::error_code unresolvable;
    const auto absolute = std::filesystem::absolute(path, unresolvable);
    return std::filesystem::weakly_canonical(absolute, unresolvable);
  };
  const std::filesystem::path target = resolved(one);
  return !target.empty() && target == resolved(other);
}

void print(std::string_view text) {
  Output output{std::string(kStandardOutput)};
  output.write(text);
  output.commit();
}

void print_diagnostic(std::string_view kind, std::string_view message) noexcept {
  try {
    write_to_standard_error("cuqat: " + std::string(kind) + ": " + printable(message) + "\n");
  } catch (...) {
    write_to_standard_error("cuqat: error: out of memory\n");
  }
}

bool output_is_styled() noexcept {
  // A launcher gives its processes a terminal wherever its own output goes.
  if (is_launched_by_mpi()) return false;
  const char* no_color = std::getenv("NO_COLOR");
  return isatty(STDOUT_FILENO) != 0 && (no_color == nullptr || *no_color == '\0');
}

}  // namespace cuqat::cli
