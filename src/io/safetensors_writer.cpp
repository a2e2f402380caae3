#include "io/safetensors_writer.hpp"

#include <cstring>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include <nlohmann/json.hpp>

#include "cuqat/error.hpp"
#include "io/safetensors.hpp"

namespace cuqat::io {
namespace {

std::string json_string(std::string_view text, const char* what) {
  try {
    return nlohmann::json(text).dump();
  } catch (const nlohmann::json::type_error&) {
    throw InvalidArgument(std::string(what) + " " + in_quotes(text) + " is not UTF-8");
  }
}

std::uint64_t needed_bytes(const TensorInfo& tensor) {
  const std::optional<int> bits = safetensors_dtype_bits(tensor.dtype);
  if (!bits) {
    throw InvalidArgument("tensor " + in_quotes(tensor.name) + " has the unknown dtype " +
                          in_quotes(tensor.dtype));
  }
  const std::optional<std::int64_t> count = checked_count(tensor.shape);
  const std::optional<std::uint64_t> bytes =
      count ? checked_bytes(*count, *bits) : std::optional<std::uint64_t>();
  if (!bytes) {
    throw InvalidArgument("tensor " + in_quotes(tensor.name) +
                          " has a shape that is negative, past 2^63 bytes or no whole number of "
                          "bytes");
  }
  return *bytes;
}

std::string metadata_json(const std::map<std::string, std::string>& metadata) {
  std::string json;
  for (const auto& [key, value] : metadata) {
    json += json.empty() ? "{" : ",";
    json += json_string(key, "metadata key") + ":" + json_string(value, "metadata value");
  }
  return json + "}";
}

std::string shape_json(std::span<const std::int64_t> shape) {
  std::string json = "[";
  for (const std::int64_t extent : shape) {
    if (json.size() > 1) json += ",";
    json += std::to_string(extent);
  }
  return json + "]";
}

// The length and the header, padded with spaces so that the data begins at a multiple of 8.
std::string file_head(std::span<const TensorInfo> tensors,
                      const std::map<std::string, std::string>& metadata) {
  std::string header = "{";
  if (!metadata.empty()) header += "\"__metadata__\":" + metadata_json(metadata);
  std::set<std::string_view> names = {"__metadata__"};
  std::int64_t end = 0;
  for (const TensorInfo& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      throw InvalidArgument("tensor name " + in_quotes(tensor.name) + " is reserved or repeated");
    }
    const std::int64_t begin = end;
    if (__builtin_add_overflow(begin, static_cast<std::int64_t>(needed_bytes(tensor)), &end)) {
      throw InvalidArgument("the tensors take more than 2^63 bytes");
    }
    if (header.size() > 1) header += ",";
    header += json_string(tensor.name, "tensor name") + ":{\"dtype\":\"" + tensor.dtype +
              "\",\"shape\":" + shape_json(tensor.shape) + ",\"data_offsets\":[" +
              std::to_string(begin) + "," + std::to_string(end) + "]}";
  }
  header += "}";
  header.resize((header.size() + 7) / 8 * 8, ' ');
  if (header.size() > kMaxSafetensorsHeader) {
    throw InvalidArgument("header of " + std::to_string(header.size()) +
                          " bytes exceeds the limit " + std::to_string(kMaxSafetensorsHeader));
  }
  const std::uint64_t length = header.size();
  std::string head(sizeof(length), '\0');
  std::memcpy(head.data(), &length, sizeof(length));
  return head + header;
}

}  // namespace

SafetensorsWriter::SafetensorsWriter(const std::string& path, std::span<const TensorInfo> tensors,
                                     const std::map<std::string, std::string>& metadata) {
  const std::string head = file_head(tensors, metadata);
  tensors_.reserve(tensors.size());
  for (const TensorInfo& tensor : tensors) {
    tensors_.push_back({tensor.name, needed_bytes(tensor)});
  }
  file_.emplace(path);
  file_->write(head);
}

void SafetensorsWriter::append(std::span<const std::byte> data) {
  if (num_written_ == tensors_.size()) {
    throw InvalidArgument("all " + std::to_string(tensors_.size()) + " tensors have been written");
  }
  const Pending& tensor = tensors_[num_written_];
  if (data.size() != tensor.bytes) {
    throw InvalidArgument("tensor " + in_quotes(tensor.name) + " was given " +
                          std::to_string(data.size()) + " bytes; dtype and shape ask for " +
                          std::to_string(tensor.bytes));
  }
  file_->write(data);
  ++num_written_;
}

void SafetensorsWriter::commit() {
  if (num_written_ != tensors_.size()) {
    throw InvalidArgument("tensor " + in_quotes(tensors_[num_written_].name) +
                          " has not been written");
  }
  file_->commit();
}

void write_safetensors(const std::string& path, std::span<const TensorEntry> tensors,
                       const std::map<std::string, std::string>& metadata) {
  const std::vector<TensorInfo> infos(tensors.begin(), tensors.end());
  SafetensorsWriter writer(path, infos, metadata);
  for (const TensorEntry& tensor : tensors) writer.append(tensor.data);
  writer.commit();
}

}  // namespace cuqat::io
