// Files of saved collectors (`--state`). All numbers are little-endian.
//
//   magic "CUQATST1", number of tensors u64,
//   for each tensor, in ascending order of the names: bytes of the name u64, the name,
//     bytes of the collector u64, the collector as CalibrationCollector::save() gives it,
//   FNV-1a (64 bits) of everything before.
//
// The same observations give the same bytes, whatever their order.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/output.hpp"
#include "cuqat/calibration.hpp"
#include "io/mapped_file.hpp"

namespace cuqat::cli {

/// Writes a state file tensor by tensor.
class StateWriter {
 public:
  StateWriter(Output& output, std::size_t num_tensors);
  /// `state` is what the collector's save() gives. In ascending order of the names.
  void add(std::string_view name, std::span<const std::byte> state);
  void finish();

 private:
  void put(std::span<const std::byte> bytes);
  void put_number(std::uint64_t number);

  Output& output_;
  std::uint64_t checksum_;
};

/// State files, added up by name as they are asked for.
class StateFiles {
 public:
  /// @throws FileError for a file that is unreadable or damaged.
  explicit StateFiles(std::span<const std::string> paths);

  /// Sorted.
  [[nodiscard]] std::vector<std::string> names() const;

  /// Everything that the files know of a tensor.
  /// @throws FileError for a damaged collector, and for collectors that cannot be added.
  [[nodiscard]] CalibrationCollector load(const std::string& name) const;

 private:
  struct Part {
    std::size_t file = 0;
    std::span<const std::byte> bytes;
  };
  void index(std::size_t file);

  std::vector<io::MappedFile> files_;
  std::map<std::string, std::vector<Part>> parts_;
};

/// True where concatenating batches would change the number of scales, so that they cannot be
/// answered together: channels along the first axis, and groups.
bool needs_one_piece(const Granularity& granularity, std::size_t rank) noexcept;

}  // namespace cuqat::cli
