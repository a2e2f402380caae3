#include "cli/quantized_file.hpp"

#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "cli/json_fields.hpp"
#include "cli/text.hpp"
#include "cuqat/version.hpp"
#include "io/json_input.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

std::vector<std::int64_t> extents_of(const Shape& shape) {
  return {shape.extents().begin(), shape.extents().end()};
}

std::vector<std::int64_t> scale_shape(const Shape& shape, const Granularity& granularity) {
  const std::int64_t scales = num_scales(granularity, shape);
  if (granularity.kind != Granularity::Kind::kGroup) return {scales};
  std::int64_t rows = 1;
  for (int axis = 0; axis + 1 < shape.rank(); ++axis) rows *= shape[axis];
  return {rows, rows == 0 ? 0 : scales / rows};
}

const std::string& metadata_value(const io::SafetensorsFile& file, const std::string& key) {
  const auto found = file.metadata().find(key);
  if (found == file.metadata().end()) {
    throw io::FileError(file.display_name(),
                        "metadata has no \"" + key + "\"; cuqat quantize did not write this file");
  }
  return found->second;
}

template <typename Parse>
auto metadata_word(const io::SafetensorsFile& file, const std::string& key, Parse parse) {
  const std::string& text = metadata_value(file, key);
  const auto parsed = parse(text);
  if (!parsed) {
    throw io::FileError(file.display_name(), "metadata has \"" + key +
                                                 "\": " + io::in_quotes(text) +
                                                 ", which cuqat quantize does not write");
  }
  return *parsed;
}

}  // namespace

io::TensorInfo codes_info(const OriginalTensor& tensor, Format format) {
  const CodeLayout layout = io::code_layout(format);
  const auto bytes = static_cast<std::int64_t>(codes_bytes(tensor.shape.count(), layout));
  return {tensor.name, std::string(io::codes_dtype(format)),
          layout == CodeLayout::kBytes ? extents_of(tensor.shape) : std::vector{bytes}};
}

io::TensorInfo scale_info(const OriginalTensor& tensor, const Granularity& granularity) {
  return {tensor.name + "_scale", tensor.dtype == DType::kF64 ? "F64" : "F32",
          scale_shape(tensor.shape, granularity)};
}

io::TensorInfo zero_point_info(const OriginalTensor& tensor, const Granularity& granularity) {
  return {tensor.name + "_zero_point", "I32", scale_shape(tensor.shape, granularity)};
}

std::map<std::string, std::string> quantized_metadata(const CommonParams& common,
                                                      const std::vector<OriginalTensor>& tensors) {
  nlohmann::json originals = nlohmann::json::object();
  for (const OriginalTensor& tensor : tensors) {
    originals[tensor.name] = {{"dtype", to_string(tensor.dtype)},
                              {"shape", extents_of(tensor.shape)}};
  }
  return {{"cuqat", CUQAT_VERSION_STRING},
          {"format", std::string(to_string(common.quantizer.format))},
          {"granularity", io::to_text(common.granularity)},
          {"rounding", std::string(to_string(common.quantizer.rounding))},
          {"symmetric", common.symmetric ? "true" : "false"},
          {"tensors", originals.dump()}};
}

QuantizedFile read_quantized_metadata(const io::SafetensorsFile& file) {
  QuantizedFile result;
  static_cast<void>(metadata_value(file, "cuqat"));
  CommonParams& common = result.common;
  common.quantizer.format = metadata_word(file, "format", io::parse_format);
  common.granularity = metadata_word(file, "granularity", io::parse_granularity);
  common.quantizer.rounding = metadata_word(file, "rounding", io::parse_rounding);
  common.symmetric = metadata_word(file, "symmetric", io::parse_bool);
  common.quantizer.narrow_range = common.symmetric && is_integer(common.quantizer.format);
  const std::string place = "metadata \"tensors\"";
  const nlohmann::json originals =
      io::parse_json(metadata_value(file, "tensors"), file.display_name() + ": " + place);
  if (!originals.is_object()) {
    throw io::FileError(file.display_name(), place + " must be a JSON object");
  }
  for (const auto& [name, json] : originals.items()) {
    const JsonFields fields(json, file.display_name(), place + ", " + io::in_quotes(name));
    const DType dtype = fields.word("dtype", io::parse_dtype, "F64, F32, F16 or BF16");
    const std::vector<std::int64_t> extents =
        fields.integers("shape", 0, std::numeric_limits<std::int64_t>::max());
    try {
      result.tensors.push_back({name, dtype, Shape(std::span(extents))});
    } catch (const InvalidArgument& error) {
      fields.fail(error.what());
    }
  }
  return result;
}

const io::TensorEntry& part(const io::SafetensorsFile& file, const io::TensorInfo& expected) {
  const io::TensorEntry* found = file.find(expected.name);
  if (found == nullptr) {
    throw io::FileError(file.display_name(),
                        fmt::format("tensor {} is missing", io::in_quotes(expected.name)));
  }
  if (found->dtype != expected.dtype || found->shape != expected.shape) {
    throw io::FileError(
        file.display_name(),
        fmt::format("tensor {} is {} {}; the metadata ask for {} {}", io::in_quotes(expected.name),
                    found->dtype, shape_text(found->shape), expected.dtype,
                    shape_text(expected.shape)));
  }
  return *found;
}

}  // namespace cuqat::cli
