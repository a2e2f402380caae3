// Reads the arrays of a safetensors file for tests. It shares no code with src/io, which other
// tests judge, and remembers which arrays have been read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <vector>

namespace cuqat::test {

struct GoldenArray {
  std::string dtype;  ///< As in the header: "F64", "I8", ...
  std::vector<std::int64_t> shape;
  std::span<const std::byte> bytes;  ///< Valid while the file object lives.
};

class GoldenFile {
 public:
  /// @throws std::runtime_error where the file cannot be read or is malformed.
  explicit GoldenFile(const std::filesystem::path& path);
  GoldenFile(const GoldenFile&) = delete;
  GoldenFile& operator=(const GoldenFile&) = delete;

  /// All arrays, in the order of the header.
  [[nodiscard]] const std::vector<std::string>& names() const noexcept { return names_; }
  [[nodiscard]] bool contains(const std::string& name) const { return arrays_.contains(name); }

  /// @throws std::runtime_error where there is no such array, and for f64, i64 and i8 where it is
  ///         of another type.
  const GoldenArray& array(const std::string& name);
  std::vector<double> f64(const std::string& name);
  std::vector<std::int64_t> i64(const std::string& name);
  std::vector<std::int8_t> i8(const std::string& name);

  /// Arrays that none of the above has been asked for.
  [[nodiscard]] std::vector<std::string> unread() const;

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::string> names_;
  std::map<std::string, GoldenArray> arrays_;
  std::set<std::string> read_;
};

}  // namespace cuqat::test
