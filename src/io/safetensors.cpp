#include "io/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <utility>

#include "io/safetensors_header.hpp"

namespace cuqat::io {
namespace {

static_assert(std::endian::native == std::endian::little, "tensors are used as they lie in files");

constexpr std::size_t kLengthBytes = 8;
using HeaderTensor = SafetensorsHeader::Tensor;

// The length that the first eight bytes give.
std::uint64_t header_length(std::span<const std::byte> bytes, const std::string& file) {
  std::uint64_t length = 0;
  std::memcpy(&length, bytes.data(), kLengthBytes);
  if (length > kMaxSafetensorsHeader) {
    throw FileError(file, "header length " + std::to_string(length) + " exceeds the limit " +
                              std::to_string(kMaxSafetensorsHeader) +
                              "; is it a safetensors file?");
  }
  return length;
}

// The header's text, its length checked against the file.
std::string_view header_text(std::span<const std::byte> bytes, const std::string& file) {
  if (bytes.size() < kLengthBytes) {
    throw FileError(file, "is " + std::to_string(bytes.size()) +
                              " bytes long; a safetensors file has at least 10");
  }
  const std::uint64_t length = header_length(bytes, file);
  const std::size_t available = bytes.size() - kLengthBytes;
  if (length > available) {
    throw FileError(file, "header length " + std::to_string(length) + " exceeds the " +
                              std::to_string(available) + " bytes that follow it");
  }
  return {reinterpret_cast<const char*>(bytes.data()) + kLengthBytes,
          static_cast<std::size_t>(length)};
}

// The tensor's own numbers: its bytes lie in the file and are as many as it needs.
void check_tensor(const HeaderTensor& tensor, std::uint64_t data_bytes, const std::string& file) {
  const auto fail = [&](const std::string& problem) {
    throw FileError(file, "tensor " + in_quotes(tensor.info.name) + ": " + problem);
  };
  const std::optional<int> bits = safetensors_dtype_bits(tensor.info.dtype);
  if (!bits) fail("unknown dtype " + in_quotes(tensor.info.dtype));
  const std::optional<std::int64_t> count = checked_count(tensor.info.shape);
  if (!count) fail("the product of its extents exceeds the limit 9223372036854775807");
  const std::optional<std::uint64_t> needed = checked_bytes(*count, *bits);
  if (!needed) {
    fail(std::to_string(*count) + " elements of " + std::to_string(*bits) +
         " bits are no whole number of bytes below 2^63");
  }
  if (tensor.begin > tensor.end) {
    fail("data_offsets [" + std::to_string(tensor.begin) + ", " + std::to_string(tensor.end) +
         "] end before they begin");
  }
  if (tensor.end > data_bytes) {
    fail("data ends at byte " + std::to_string(tensor.end) + " of " + std::to_string(data_bytes));
  }
  if (tensor.end - tensor.begin != *needed) {
    fail("data_offsets hold " + std::to_string(tensor.end - tensor.begin) + " bytes; " +
         tensor.info.dtype + " and the shape ask for " + std::to_string(*needed));
  }
}

// The tensors cover the data without holes and overlaps.
void check_coverage(const std::vector<HeaderTensor>& tensors, std::uint64_t data_bytes,
                    const std::string& file) {
  std::vector<std::size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, {},
                    [&](std::size_t i) { return std::pair(tensors[i].begin, tensors[i].end); });
  std::uint64_t covered = 0;
  for (const std::size_t i : order) {
    const HeaderTensor& tensor = tensors[i];
    if (tensor.begin != covered) {
      throw FileError(file, "tensor " + in_quotes(tensor.info.name) + ": data begins at byte " +
                                std::to_string(tensor.begin) +
                                (tensor.begin < covered ? ", inside another tensor's that ends at "
                                                        : ", leaving a hole after byte ") +
                                std::to_string(covered));
    }
    covered = tensor.end;
  }
  if (covered != data_bytes) {
    throw FileError(file, "tensors take " + std::to_string(covered) +
                              " bytes of data; the file has " + std::to_string(data_bytes));
  }
}

std::optional<DType> real_dtype(std::string_view name) {
  for (const DType dtype : {DType::kF32, DType::kF64, DType::kF16, DType::kBF16}) {
    if (name == to_string(dtype)) return dtype;
  }
  return std::nullopt;
}

}  // namespace

std::optional<std::size_t> safetensors_size(std::span<const std::byte> begin,
                                            const std::string& file) {
  if (begin.size() < kLengthBytes) return std::nullopt;
  const std::uint64_t length = header_length(begin, file);
  if (length > begin.size() - kLengthBytes) return std::nullopt;
  std::uint64_t data_bytes = 0;
  for (const HeaderTensor& tensor :
       parse_safetensors_header(header_text(begin, file), file).tensors) {
    data_bytes = std::max(data_bytes, tensor.end);
  }
  const std::uint64_t header_bytes = kLengthBytes + length;
  return data_bytes > std::numeric_limits<std::size_t>::max() - header_bytes
             ? std::numeric_limits<std::size_t>::max()
             : static_cast<std::size_t>(header_bytes + data_bytes);
}

SafetensorsFile SafetensorsFile::open(const std::string& path) {
  return open(MappedFile::open(path, safetensors_size));
}

SafetensorsFile SafetensorsFile::open(MappedFile mapped) {
  SafetensorsFile file;
  file.display_name_ = mapped.display_name();
  file.parse_bytes(mapped.bytes());
  file.file_ = std::move(mapped);
  return file;
}

SafetensorsFile SafetensorsFile::parse(std::span<const std::byte> bytes, std::string display_name) {
  SafetensorsFile file;
  file.display_name_ = std::move(display_name);
  file.parse_bytes(bytes);
  return file;
}

void SafetensorsFile::parse_bytes(std::span<const std::byte> bytes) {
  const std::string_view text = header_text(bytes, display_name_);
  const std::span<const std::byte> data = bytes.subspan(kLengthBytes + text.size());
  SafetensorsHeader header = parse_safetensors_header(text, display_name_);
  for (const HeaderTensor& tensor : header.tensors) {
    check_tensor(tensor, data.size(), display_name_);
  }
  check_coverage(header.tensors, data.size(), display_name_);
  tensors_.reserve(header.tensors.size());
  for (HeaderTensor& tensor : header.tensors) {
    tensors_.push_back({std::move(tensor.info),
                        data.subspan(static_cast<std::size_t>(tensor.begin),
                                     static_cast<std::size_t>(tensor.end - tensor.begin))});
  }
  metadata_ = std::move(header.metadata);
  index_names();
}

void SafetensorsFile::index_names() {
  const auto name = [&](std::size_t i) -> const std::string& { return tensors_[i].name; };
  by_name_.resize(tensors_.size());
  std::iota(by_name_.begin(), by_name_.end(), std::size_t{0});
  std::ranges::sort(by_name_, {}, name);
  const auto repeated = std::ranges::adjacent_find(by_name_, {}, name);
  if (repeated != by_name_.end()) {
    throw FileError(display_name_, "header repeats the tensor " + in_quotes(name(*repeated)));
  }
}

const TensorEntry* SafetensorsFile::find(std::string_view name) const noexcept {
  const auto found = std::ranges::lower_bound(
      by_name_, name, {}, [&](std::size_t i) -> std::string_view { return tensors_[i].name; });
  if (found == by_name_.end() || tensors_[*found].name != name) return nullptr;
  return &tensors_[*found];
}

std::optional<ConstTensorView> SafetensorsFile::view(const TensorEntry& tensor) const {
  const std::optional<DType> dtype = real_dtype(tensor.dtype);
  if (!dtype) return std::nullopt;
  if (tensor.shape.size() > Shape::kMaxRank) {
    throw FileError(display_name_, "tensor " + in_quotes(tensor.name) + ": rank " +
                                       std::to_string(tensor.shape.size()) + " exceeds the limit " +
                                       std::to_string(Shape::kMaxRank));
  }
  return ConstTensorView(tensor.data.data(), *dtype, Shape(std::span(tensor.shape)));
}

void SafetensorsFile::release(const TensorEntry& tensor) const noexcept {
  if (!file_ || tensor.data.empty()) return;
  file_->release(static_cast<std::size_t>(tensor.data.data() - file_->bytes().data()),
                 tensor.data.size());
}

}  // namespace cuqat::io
