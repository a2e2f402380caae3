#include "io/safetensors_header.hpp"

#include <cstddef>
#include <limits>
#include <utility>

#include <nlohmann/json.hpp>

#include "io/error.hpp"
#include "io/json_problem.hpp"

namespace cuqat::io {
namespace {

constexpr std::string_view kMetadataKey = "__metadata__";
constexpr std::uint64_t kMaxExtent = std::numeric_limits<std::int64_t>::max();

// What is kept of an entry takes many times its shortest text. These limits, far above any model's,
// bound what a hostile header can make of it.
constexpr std::size_t kMaxTensors = 262'144;
constexpr std::size_t kMaxMetadata = 65'536;
constexpr std::size_t kMaxFileRank = 64;

// Takes the parser's events one by one. The states allow no more nesting than the format has, so
// neither depth nor memory grows past the text.
class HeaderReader final : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit HeaderReader(const std::string& file) : file_(file) {}

  SafetensorsHeader take() { return std::move(header_); }

  bool null() override { return refuse("null"); }
  bool boolean(bool value) override { return refuse(value ? "true" : "false"); }
  bool number_integer(std::int64_t value) override { return refuse(std::to_string(value)); }
  bool number_float(double, const std::string& text) override { return refuse(shortened(text)); }
  bool binary(nlohmann::json::binary_t&) override { return refuse("binary data"); }
  bool number_unsigned(std::uint64_t value) override;
  bool string(std::string& value) override;
  bool start_object(std::size_t) override;
  bool key(std::string& name) override;
  bool end_object() override;
  bool start_array(std::size_t) override;
  bool end_array() override;
  bool parse_error(std::size_t, const std::string&,
                   const nlohmann::json::exception& error) override {
    fail("header is no JSON: " + json_problem(error));
  }

 private:
  enum class State { kStart, kRoot, kMetadata, kTensor, kShape, kOffsets };

  [[noreturn]] void fail(const std::string& problem) const { throw FileError(file_, problem); }
  [[noreturn]] void fail_over_limit(const std::string& what, std::size_t limit) const {
    fail(what + " exceeds the limit " + std::to_string(limit));
  }
  [[noreturn]] bool refuse(const std::string& found) const;
  static std::string shortened(const std::string& number) {
    return number.size() <= 40 ? number : number.substr(0, 40) + "...";
  }
  [[nodiscard]] std::string tensor_name() const {
    return "tensor " + in_quotes(header_.tensors.back().info.name);
  }
  [[nodiscard]] std::string subject() const;
  void tensor_key(const std::string& name);

  const std::string& file_;
  SafetensorsHeader header_;
  State state_ = State::kStart;
  std::string key_;  // The last one read, in any object.
  bool has_metadata_ = false;
  // What the tensor being read has given so far.
  bool has_dtype_ = false;
  bool has_shape_ = false;
  bool has_offsets_ = false;
  int num_offsets_ = 0;
};

// What the value being read belongs to, and what it has to be.
std::string HeaderReader::subject() const {
  switch (state_) {
    case State::kStart:
      break;
    case State::kRoot:
      return key_ == kMetadataKey ? "__metadata__ must be an object of strings"
                                  : "tensor " + in_quotes(key_) + " must be an object";
    case State::kMetadata:
      return "__metadata__ entry " + in_quotes(key_) + " must be a string";
    case State::kTensor:
      return tensor_name() + ": " + key_ + " must be " +
             (key_ == "dtype" ? "a string" : "an array of unsigned integers");
    case State::kShape:
      return tensor_name() + ": an extent of its shape must be an unsigned integer";
    case State::kOffsets:
      return tensor_name() + ": its data_offsets must be two unsigned integers";
  }
  return "header must be an object";
}

bool HeaderReader::refuse(const std::string& found) const { fail(subject() + ", not " + found); }

bool HeaderReader::number_unsigned(std::uint64_t value) {
  if (state_ == State::kShape) {
    if (value > kMaxExtent) {
      fail(tensor_name() + ": extent " + std::to_string(value) + " exceeds the limit " +
           std::to_string(kMaxExtent));
    }
    std::vector<std::int64_t>& shape = header_.tensors.back().info.shape;
    if (shape.size() == kMaxFileRank) fail_over_limit(tensor_name() + ": rank", kMaxFileRank);
    shape.push_back(static_cast<std::int64_t>(value));
    return true;
  }
  if (state_ != State::kOffsets) refuse(std::to_string(value));
  if (num_offsets_ == 2) refuse("more");
  (num_offsets_ == 0 ? header_.tensors.back().begin : header_.tensors.back().end) = value;
  ++num_offsets_;
  return true;
}

bool HeaderReader::string(std::string& value) {
  if (state_ == State::kMetadata) {
    if (header_.metadata.size() == kMaxMetadata) {
      fail_over_limit("number of __metadata__ entries", kMaxMetadata);
    }
    header_.metadata[key_] = std::move(value);
  } else if (state_ == State::kTensor && key_ == "dtype") {
    header_.tensors.back().info.dtype = std::move(value);
  } else {
    refuse(in_quotes(value));
  }
  return true;
}

bool HeaderReader::start_object(std::size_t) {
  if (state_ == State::kStart) {
    state_ = State::kRoot;
  } else if (state_ == State::kRoot && key_ == kMetadataKey) {
    state_ = State::kMetadata;
  } else if (state_ == State::kRoot) {
    state_ = State::kTensor;
    if (header_.tensors.size() == kMaxTensors) fail_over_limit("number of tensors", kMaxTensors);
    header_.tensors.emplace_back().info.name = key_;
    has_dtype_ = has_shape_ = has_offsets_ = false;
  } else {
    refuse("an object");
  }
  return true;
}

bool HeaderReader::key(std::string& name) {
  if (state_ == State::kTensor) tensor_key(name);
  if (state_ == State::kMetadata && header_.metadata.contains(name)) {
    fail("__metadata__ repeats the key " + in_quotes(name));
  }
  if (state_ == State::kRoot && name == kMetadataKey) {
    if (has_metadata_) fail("header repeats __metadata__");
    has_metadata_ = true;
  }
  key_ = std::move(name);
  return true;
}

void HeaderReader::tensor_key(const std::string& name) {
  bool* seen = name == "dtype"          ? &has_dtype_
               : name == "shape"        ? &has_shape_
               : name == "data_offsets" ? &has_offsets_
                                        : nullptr;
  if (seen == nullptr) {
    fail(tensor_name() + ": unknown key " + in_quotes(name) +
         "; the keys are dtype, shape and data_offsets");
  }
  if (*seen) fail(tensor_name() + ": repeats the key " + name);
  *seen = true;
}

bool HeaderReader::end_object() {
  if (state_ == State::kTensor && !(has_dtype_ && has_shape_ && has_offsets_)) {
    fail(tensor_name() + ": has no " +
         (!has_dtype_   ? "dtype"
          : !has_shape_ ? "shape"
                        : "data_offsets"));
  }
  state_ = State::kRoot;  // At the end of the root nothing can follow.
  return true;
}

bool HeaderReader::start_array(std::size_t) {
  if (state_ == State::kTensor && key_ == "shape") {
    state_ = State::kShape;
  } else if (state_ == State::kTensor && key_ == "data_offsets") {
    state_ = State::kOffsets;
    num_offsets_ = 0;
  } else {
    refuse("an array");
  }
  return true;
}

bool HeaderReader::end_array() {
  if (state_ == State::kOffsets && num_offsets_ != 2) {
    refuse(num_offsets_ == 0 ? "none" : "one");
  }
  state_ = State::kTensor;
  return true;
}

}  // namespace

SafetensorsHeader parse_safetensors_header(std::string_view text, const std::string& file) {
  // Also keeps out a byte order mark, which the parser would skip.
  if (!text.starts_with('{')) {
    throw FileError(file, "header must begin with '{', not " + in_quotes(text.substr(0, 1)));
  }
  // The parser would take a NUL for the end and never look at what follows.
  const std::size_t nul = text.find('\0');
  if (nul != std::string_view::npos) {
    throw FileError(file, "header holds a NUL at byte " + std::to_string(nul));
  }
  HeaderReader reader(file);
  nlohmann::json::sax_parse(text.data(), text.data() + text.size(), &reader);
  return reader.take();
}

}  // namespace cuqat::io
