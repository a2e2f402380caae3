#include "cli/input.hpp"

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "cli/error.hpp"
#include "cli/text.hpp"
#include "cuqat/histogram.hpp"
#include "io/error.hpp"
#include "io/mapped_file.hpp"

namespace cuqat::cli {
namespace {

// Matching recurses once for each character: a name as long as a header may be would overflow the
// stack.
constexpr std::size_t kMaxMatchedName = 4096;

std::int64_t count_of(const std::vector<std::int64_t>& shape) {
  return io::checked_count(shape).value_or(0);  // The readers have checked it.
}

}  // namespace

NameFilter::NameFilter(const std::string& pattern) {
  try {
    pattern_.assign(pattern);
  } catch (const std::regex_error& error) {
    throw UsageError(fmt::format("--match: {} is no regular expression: {}", io::in_quotes(pattern),
                                 error.what()));
  }
}

bool NameFilter::matches(const std::string& name) const {
  if (name.size() > kMaxMatchedName) {
    throw DataError(fmt::format("tensor {}: its name of {} bytes exceeds the limit {} of --match",
                                io::in_quotes(name), name.size(), kMaxMatchedName));
  }
  return std::regex_search(name, pattern_);
}

std::vector<ConstTensorView> InputTensor::views() const {
  std::vector<ConstTensorView> views;
  for (const Batch& batch : batches) views.push_back(*batch.view);
  return views;
}

std::int64_t InputTensor::bytes() const noexcept {
  std::int64_t bytes = 0;
  for (const Batch& batch : batches) {
    if (batch.view) bytes += static_cast<std::int64_t>(batch.view->size_bytes());
  }
  return bytes;
}

std::vector<std::int64_t> InputTensor::shape() const {
  const std::vector<std::int64_t>& first = batches.front().shape;
  std::int64_t rows = 0;
  if (batches.size() == 1) return first;
  const bool alike = std::ranges::all_of(batches, [&](const Batch& batch) {
    return !first.empty() && batch.shape.size() == first.size() &&
           std::equal(first.begin() + 1, first.end(), batch.shape.begin() + 1) &&
           !__builtin_add_overflow(rows, batch.shape.front(), &rows);
  });
  if (!alike) {
    std::int64_t count = 0;
    for (const Batch& batch : batches) count += count_of(batch.shape);
    return {count};
  }
  std::vector<std::int64_t> shape = {rows};
  shape.insert(shape.end(), first.begin() + 1, first.end());
  return shape;
}

std::vector<std::uint64_t> signed_histogram(std::span<const ConstTensorView> batches, double amax,
                                            std::size_t num_bins, const HostOptions& host) {
  if (amax == 0.0) return {};
  std::vector<std::uint64_t> bins(num_bins);
  for (const ConstTensorView& batch : batches) {
    accumulate_linear_histogram(batch, amax, BinRange::kSigned, bins, host);
  }
  return bins;
}

InputFiles::InputFiles(const InputSettings& settings) {
  std::optional<NameFilter> filter;
  if (settings.match) filter.emplace(*settings.match);
  for (const std::string& path : settings.files) open(path, {settings.untyped_npy_dtype});
  if (tensors_.empty()) throw io::FileError(file_names(), "no tensor in it");
  if (filter) {
    std::erase_if(tensors_,
                  [&](const InputTensor& tensor) { return !filter->matches(tensor.name); });
    if (tensors_.empty()) {
      throw io::FileError(file_names(),
                          "no tensor's name matches --match " + io::in_quotes(*settings.match));
    }
  }
  group_by_name();
}

void InputFiles::open(const std::string& path, const io::NpyOptions& options) {
  io::MappedFile mapped =
      io::MappedFile::open(path, [](std::span<const std::byte> begin, const std::string& name) {
        return io::is_npy(begin) ? std::nullopt : io::safetensors_size(begin, name);
      });
  const std::size_t index = files_.size();
  // Standard input has no name that could become a tensor's.
  const bool is_npy = path != "-" && (io::is_npy(mapped.bytes()) || path.ends_with(".npy"));
  if (is_npy) {
    files_.emplace_back(io::NpyFile::open(std::move(mapped), options));
    add_npy(path, std::get<io::NpyFile>(files_.back()));
    return;
  }
  files_.emplace_back(io::SafetensorsFile::open(std::move(mapped)));
  const auto& file = std::get<io::SafetensorsFile>(files_.back());
  for (std::size_t i = 0; i < file.tensors().size(); ++i) {
    const io::TensorEntry& tensor = file.tensors()[i];
    add(tensor.name, tensor.dtype, {index, i, tensor.shape, file.view(tensor)});
  }
}

void InputFiles::add_npy(const std::string& path, const io::NpyFile& file) {
  const std::string name = std::filesystem::path(path).stem().string();
  if (!is_utf8(name)) {
    throw io::FileError(path, "the file's name is not UTF-8, so it cannot name a tensor");
  }
  const auto extents = file.view().shape().extents();
  add(name, std::string(to_string(file.view().dtype())),
      {files_.size() - 1, 0, {extents.begin(), extents.end()}, file.view()});
}

void InputFiles::add(std::string name, std::string dtype, InputTensor::Batch batch) {
  InputTensor tensor{std::move(name), std::move(dtype), {}};
  tensor.batches.push_back(std::move(batch));
  tensors_.push_back(std::move(tensor));
}

void InputFiles::group_by_name() {
  std::ranges::stable_sort(tensors_, {}, &InputTensor::name);
  std::vector<InputTensor> grouped;
  for (InputTensor& tensor : tensors_) {
    if (grouped.empty() || grouped.back().name != tensor.name) {
      grouped.push_back(std::move(tensor));
      continue;
    }
    InputTensor& group = grouped.back();
    InputTensor::Batch& batch = tensor.batches.front();
    if (tensor.dtype != group.dtype) {
      throw io::FileError(
          file_name(batch),
          fmt::format("tensor {} has dtype {}; in {} it has {}", io::in_quotes(tensor.name),
                      tensor.dtype, file_name(group.batches.front()), group.dtype));
    }
    group.batches.push_back(std::move(batch));
  }
  tensors_ = std::move(grouped);
}

const InputTensor* InputFiles::find(const std::string& name) const noexcept {
  const auto found = std::ranges::lower_bound(tensors_, name, {}, &InputTensor::name);
  return found != tensors_.end() && found->name == name ? &*found : nullptr;
}

const std::string& InputFiles::file_name(const InputTensor::Batch& batch) const {
  return std::visit([](const auto& file) -> const std::string& { return file.display_name(); },
                    files_[batch.file]);
}

std::string InputFiles::file_names() const {
  std::string names;
  for (const File& file : files_) {
    if (!names.empty()) names += ", ";
    names += std::visit([](const auto& opened) { return opened.display_name(); }, file);
  }
  return names;
}

std::vector<InputTensor> InputFiles::remove_unsupported() {
  const auto unsupported = std::ranges::stable_partition(tensors_, &InputTensor::is_real);
  std::vector<InputTensor> removed(std::make_move_iterator(unsupported.begin()),
                                   std::make_move_iterator(unsupported.end()));
  tensors_.erase(unsupported.begin(), unsupported.end());
  if (tensors_.empty()) {
    throw io::FileError(file_names(), "no tensor of dtype F64, F32, F16 or BF16 in it");
  }
  return removed;
}

void InputFiles::release(const InputTensor& tensor) const noexcept {
  for (const InputTensor::Batch& batch : tensor.batches) {
    const auto* file = std::get_if<io::SafetensorsFile>(&files_[batch.file]);
    if (file != nullptr) file->release(file->tensors()[batch.index]);
  }
}

}  // namespace cuqat::cli
