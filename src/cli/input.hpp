// Input files as named tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <regex>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "cli/options.hpp"
#include "cuqat/backend.hpp"
#include "cuqat/tensor_view.hpp"
#include "io/npy.hpp"
#include "io/safetensors.hpp"

namespace cuqat::cli {

/// The regular expression of --match.
class NameFilter {
 public:
  /// @throws UsageError for what is no regular expression.
  explicit NameFilter(const std::string& pattern);
  /// @throws DataError for a name that is too long to match.
  [[nodiscard]] bool matches(const std::string& name) const;

 private:
  std::regex pattern_;
};

/// A tensor, in one file or in several as batches.
struct InputTensor {
  struct Batch {
    std::size_t file = 0;                 ///< Index among the files.
    std::size_t index = 0;                ///< Among the file's tensors.
    std::vector<std::int64_t> shape;      ///< As in the file.
    std::optional<ConstTensorView> view;  ///< Absent where the dtype cannot be computed with.
  };
  std::string name;
  std::string dtype;
  std::vector<Batch> batches;

  [[nodiscard]] bool is_real() const noexcept { return batches.front().view.has_value(); }
  /// For a tensor that is_real().
  [[nodiscard]] std::vector<ConstTensorView> views() const;
  [[nodiscard]] std::int64_t bytes() const noexcept;
  /// The batches concatenated along the first axis; [count] where the other extents differ.
  [[nodiscard]] std::vector<std::int64_t> shape() const;
};

/// Finite elements in `num_bins` equal bins over [-amax, amax]; empty where amax is 0.
std::vector<std::uint64_t> signed_histogram(std::span<const ConstTensorView> batches, double amax,
                                            std::size_t num_bins, const HostOptions& host);

/// Open files and the tensors in them, by name.
class InputFiles {
 public:
  /// Opens every file and keeps it mapped.
  /// @throws UsageError for a bad regular expression; FileError for a damaged file, a tensor with
  ///         two dtypes, and where no tensor matches.
  explicit InputFiles(const InputSettings& settings);

  /// Sorted by name.
  [[nodiscard]] const std::vector<InputTensor>& tensors() const noexcept { return tensors_; }
  [[nodiscard]] const InputTensor* find(const std::string& name) const noexcept;

  /// The file that a batch is in, for messages.
  [[nodiscard]] const std::string& file_name(const InputTensor::Batch& batch) const;
  /// All files' names, for messages.
  [[nodiscard]] std::string file_names() const;

  /// Takes out the tensors that cannot be computed with.
  /// @throws FileError where none is left.
  std::vector<InputTensor> remove_unsupported();

  /// Gives back the memory of a tensor that has been read.
  void release(const InputTensor& tensor) const noexcept;

 private:
  using File = std::variant<io::SafetensorsFile, io::NpyFile>;
  void open(const std::string& path, const io::NpyOptions& options);
  void add_npy(const std::string& path, const io::NpyFile& file);
  void add(std::string name, std::string dtype, InputTensor::Batch batch);
  void group_by_name();

  std::deque<File> files_;
  std::vector<InputTensor> tensors_;
};

}  // namespace cuqat::cli
