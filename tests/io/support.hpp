// What the tests of src/io share: files made in memory, fixtures, scratch folders.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cuqat/tensor_view.hpp"
#include "io/error.hpp"

namespace cuqat::io::testing {

using Bytes = std::vector<std::byte>;

/// The bytes of a string, in a buffer of their exact size.
Bytes bytes_of(std::string_view text);
std::string text_of(std::span<const std::byte> bytes);

/// A safetensors file with this header, whatever it is, and this much data.
Bytes safetensors_bytes(std::string_view header, std::size_t data_bytes);
/// The same with a length field that need not be true.
Bytes safetensors_bytes(std::uint64_t length, std::string_view header, std::size_t data_bytes);

/// A .npy file of version 1.0 with this header, whatever it is, and this much data.
Bytes npy_bytes(std::string_view header, std::size_t data_bytes);

std::filesystem::path fixture_path(const std::string& name);
Bytes read_file(const std::filesystem::path& path);
void write_file(const std::filesystem::path& path, std::string_view text);

/// The elements of a view, as doubles.
std::vector<double> elements(const ConstTensorView& view);
/// What make_fixtures.py puts into `count` elements.
std::vector<double> fixture_values(std::int64_t count);
std::vector<std::int64_t> extents(const ConstTensorView& view);

/// The problem that `action` reports for `file`, without the file's name. A test failure where it
/// throws nothing or something else, or where the message is not one printable line.
template <typename Action>
std::string problem_of(Action&& action, const std::string& file = "file") {
  try {
    action();
  } catch (const FileError& error) {
    const std::string_view message = error.what();
    EXPECT_EQ(error.path(), file);
    EXPECT_TRUE(message.starts_with(file + ": ")) << message;
    for (const char c : message) {
      EXPECT_FALSE(c >= 0 && (c < ' ' || c == 0x7f)) << message;
    }
    if (!message.starts_with(file + ": ")) return std::string(message);
    return std::string(message.substr(file.size() + 2));
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

/// A folder that is removed with everything in it.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;

  [[nodiscard]] std::string file(const std::string& name) const { return (path_ / name).string(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  /// The names of what lies in it, sorted.
  [[nodiscard]] std::vector<std::string> names() const;

 private:
  std::filesystem::path path_;
};

/// While it lives, root is another user, so that permissions count. Other users stay who they are.
class WithoutRoot {
 public:
  WithoutRoot();
  ~WithoutRoot();
  WithoutRoot(const WithoutRoot&) = delete;
  WithoutRoot& operator=(const WithoutRoot&) = delete;

 private:
  bool changed_ = false;
};

}  // namespace cuqat::io::testing
