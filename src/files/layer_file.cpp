// Quantized layers in safetensors files.
#include <cstring>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "cuqat/fake_quant.hpp"
#include "cuqat/tensor_file.hpp"
#include "cuqat/version.hpp"
#include "host/layer_parts.hpp"
#include "io/names.hpp"
#include "io/safetensors.hpp"
#include "io/safetensors_writer.hpp"

namespace cuqat {
namespace {

using Metadata = std::map<std::string, std::string>;

std::string in_words(bool value) { return value ? "true" : "false"; }

void describe(const std::string& part, const QuantParams& params, Metadata& metadata) {
  metadata[part + ".format"] = to_string(params.quantizer.format);
  metadata[part + ".rounding"] = to_string(params.quantizer.rounding);
  metadata[part + ".narrow_range"] = in_words(params.quantizer.narrow_range);
  metadata[part + ".granularity"] = io::to_text(params.granularity);
}

/// What a file's tensors point to, and the tensors in the order in which they are written: those of
/// wider elements first, so that each is aligned.
class Writing {
 public:
  void add(const std::string& name, DType dtype, std::span<const double> numbers) {
    if (dtype == DType::kF64) {
      add_bytes<double>(name, "F64", numbers, wide_);
    } else {
      add_bytes<float>(name, "F32", numbers, narrow_);
    }
  }
  void add(const std::string& name, std::span<const std::int32_t> zero_points) {
    if (!zero_points.empty()) add_bytes<std::int32_t>(name, "I32", zero_points, narrow_);
  }
  void add(const std::string& name, const QuantizedWeights& weight) {
    std::vector<std::int64_t> shape(weight.shape.extents().begin(), weight.shape.extents().end());
    if (weight.layout == CodeLayout::kNibbles) {
      shape = {static_cast<std::int64_t>(weight.codes.size())};
    }
    bytes_.push_back({{name, std::string(io::codes_dtype(weight.params.quantizer.format)), shape},
                      std::as_bytes(std::span(weight.codes))});
  }
  void write(const std::string& path, const Metadata& metadata) const {
    std::vector<io::TensorEntry> tensors = wide_;
    tensors.insert(tensors.end(), narrow_.begin(), narrow_.end());
    tensors.insert(tensors.end(), bytes_.begin(), bytes_.end());
    io::write_safetensors(path, tensors, metadata);
  }

 private:
  template <typename T>
  void add_bytes(const std::string& name, std::string_view dtype, const auto& numbers,
                 std::vector<io::TensorEntry>& list) {
    std::vector<std::byte> bytes(numbers.size() * sizeof(T));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      const auto value = static_cast<T>(numbers[i]);
      std::memcpy(bytes.data() + i * sizeof(T), &value, sizeof(T));
    }
    kept_.push_back(std::move(bytes));
    const auto count = static_cast<std::int64_t>(numbers.size());
    list.push_back({{name, std::string(dtype), {count}}, kept_.back()});
  }

  std::vector<std::vector<std::byte>> kept_;  // Their bytes stay where they are as it grows.
  std::vector<io::TensorEntry> wide_;
  std::vector<io::TensorEntry> narrow_;
  std::vector<io::TensorEntry> bytes_;
};

/// A layer's parts fit together as QatLayer asks it of them, and its weights are finite.
void check_layer(const QuantizedLayer& layer) {
  const QuantizedWeights& weight = layer.weight;
  if (weight.layout != io::code_layout(weight.params.quantizer.format)) {
    throw InvalidArgument(
        "layer.weight.layout is another; it must be nibbles for int4, else bytes");
  }
  QatLayerConfig config;
  config.weight_dtype = weight.dtype;
  config.product = QatProduct::kNumbers;
  config.weight_granularity = weight.params.granularity;
  const auto as_options = [](const Quantizer& quantizer, CalibrationOptions& options) {
    options.format = quantizer.format;
    options.rounding = quantizer.rounding;
    options.symmetric = quantizer.narrow_range || !is_integer(quantizer.format);
  };
  as_options(weight.params.quantizer, config.weight);
  as_options(layer.activation.quantizer, config.activation);
  detail::check_deployed(layer, config);
  std::vector<std::byte> values(static_cast<std::size_t>(weight.shape.count()) *
                                dtype_bytes(weight.dtype));
  detail::dequantize_finite(weight, {values.data(), weight.dtype, weight.shape}, {});
}

class Reading {
 public:
  explicit Reading(const std::string& path) : file_(io::SafetensorsFile::open(path)) {
    if (!file_.metadata().contains("cuqat")) {
      fail("metadata has no \"cuqat\"; save_layers did not write this file");
    }
  }

  /// The prefixes of keys that end so.
  [[nodiscard]] std::vector<std::string> layers() const {
    constexpr std::string_view kEnd = ".weight.format";
    std::vector<std::string> names;
    for (const auto& [key, value] : file_.metadata()) {
      if (key.ends_with(kEnd)) names.push_back(key.substr(0, key.size() - kEnd.size()));
    }
    return names;
  }

  [[nodiscard]] QuantizedLayer layer(const std::string& name) const {
    QuantizedLayer layer;
    try {
      read(name, layer);
      check_layer(layer);
    } catch (const InvalidArgument& error) {
      fail("layer " + io::in_quotes(name) + ": " + error.what());
    }
    return layer;
  }

  /// Nothing is left that belongs to no layer.
  void check_all_read() const {
    for (const io::TensorEntry& tensor : file_.tensors()) {
      if (!tensors_.contains(tensor.name)) {
        fail("tensor " + io::in_quotes(tensor.name) + " belongs to no layer");
      }
    }
    for (const auto& [key, value] : file_.metadata()) {
      if (key != "cuqat" && !words_.contains(key)) {
        fail("metadata has " + io::in_quotes(key) + ", which belongs to no layer");
      }
    }
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const {
    throw io::FileError(file_.display_name(), problem);
  }

  [[nodiscard]] const std::string& word(const std::string& key) const {
    words_.insert(key);
    const auto found = file_.metadata().find(key);
    if (found == file_.metadata().end()) {
      fail("metadata has no " + io::in_quotes(key) + "; save_layers did not write this file");
    }
    return found->second;
  }

  template <typename Parse>
  [[nodiscard]] auto word(const std::string& key, Parse parse) const {
    const std::string& text = word(key);
    const auto parsed = parse(text);
    if (!parsed) {
      fail("metadata has " + io::in_quotes(key) + ": " + io::in_quotes(text) +
           ", which save_layers does not write");
    }
    return *parsed;
  }

  [[nodiscard]] const io::TensorEntry& entry(const std::string& name) const {
    const io::TensorEntry* const found = find(name);
    if (found == nullptr) fail("there is no tensor " + io::in_quotes(name));
    return *found;
  }

  [[nodiscard]] const io::TensorEntry* find(const std::string& name) const {
    tensors_.insert(name);
    return file_.find(name);
  }

  [[nodiscard]] std::vector<double> numbers(const io::TensorEntry& tensor, DType dtype) const {
    if (tensor.dtype != to_string(dtype)) {
      fail("tensor " + io::in_quotes(tensor.name) + " is " + tensor.dtype + "; it must be " +
           std::string(to_string(dtype)));
    }
    return dtype == DType::kF64 ? elements<double, double>(tensor)
                                : elements<double, float>(tensor);
  }

  template <typename To, typename T>
  [[nodiscard]] static std::vector<To> elements(const io::TensorEntry& tensor) {
    std::vector<To> result(tensor.data.size() / sizeof(T));
    for (std::size_t i = 0; i < result.size(); ++i) {
      T value;
      std::memcpy(&value, tensor.data.data() + i * sizeof(T), sizeof(T));
      result[i] = static_cast<To>(value);
    }
    return result;
  }

  [[nodiscard]] QuantParams params(const std::string& part, const std::string& tensor,
                                   DType dtype) const {
    QuantParams params;
    params.quantizer.format = word(part + ".format", io::parse_format);
    params.quantizer.rounding = word(part + ".rounding", io::parse_rounding);
    params.quantizer.narrow_range = word(part + ".narrow_range", io::parse_bool);
    params.granularity = word(part + ".granularity", io::parse_granularity);
    params.scale = numbers(entry(tensor + "_scale"), dtype);
    const io::TensorEntry* const zero_point = find(tensor + "_zero_point");
    if (zero_point != nullptr) {
      if (zero_point->dtype != "I32") {
        fail("tensor " + io::in_quotes(zero_point->name) + " is " + zero_point->dtype +
             "; it must be I32");
      }
      params.zero_point = elements<std::int32_t, std::int32_t>(*zero_point);
    }
    return params;
  }

  void read(const std::string& name, QuantizedLayer& layer) const {
    QuantizedWeights& weight = layer.weight;
    weight.dtype = word(name + ".weight.dtype", io::parse_dtype);
    layer.bias = numbers(entry(name + ".bias"), weight.dtype);
    const auto features = [&](const char* key) {
      return word(name + key, [](std::string_view text) -> std::optional<std::int64_t> {
        const std::optional<double> number = io::parse_number(text);
        if (!number || *number < 1 || *number > 9e15) return std::nullopt;
        const auto whole = static_cast<std::int64_t>(*number);
        return text == std::to_string(whole) ? std::optional(whole) : std::nullopt;
      });
    };
    weight.shape = Shape{features(".weight.out_features"), features(".weight.in_features")};
    weight.params = params(name + ".weight", name + ".weight", weight.dtype);
    layer.activation = params(name + ".input", name + ".input", weight.dtype);
    weight.layout = io::code_layout(weight.params.quantizer.format);
    const io::TensorEntry& codes = entry(name + ".weight");
    const std::string_view dtype = io::codes_dtype(weight.params.quantizer.format);
    std::vector<std::int64_t> shape = {weight.shape[0], weight.shape[1]};
    if (weight.layout == CodeLayout::kNibbles) {
      shape = {static_cast<std::int64_t>(codes_bytes(weight.shape.count(), weight.layout))};
    }
    if (codes.dtype != dtype || codes.shape != shape) {
      fail("tensor " + io::in_quotes(codes.name) + " is not " + std::string(dtype) +
           " of the shape that the metadata say");
    }
    const auto* const begin = reinterpret_cast<const std::uint8_t*>(codes.data.data());
    weight.codes.assign(begin, begin + codes.data.size());
  }

  io::SafetensorsFile file_;
  mutable std::set<std::string> tensors_;  // That have been asked for.
  mutable std::set<std::string> words_;
};

}  // namespace

void save_layers(const std::string& path, const std::map<std::string, QuantizedLayer>& layers) {
  Writing writing;
  Metadata metadata = {{"cuqat", CUQAT_VERSION_STRING}};
  for (const auto& [name, layer] : layers) {
    check_layer(layer);
    const QuantizedWeights& weight = layer.weight;
    describe(name + ".weight", weight.params, metadata);
    describe(name + ".input", layer.activation, metadata);
    metadata[name + ".weight.dtype"] = to_string(weight.dtype);
    metadata[name + ".weight.out_features"] = std::to_string(weight.shape[0]);
    metadata[name + ".weight.in_features"] = std::to_string(weight.shape[1]);
    writing.add(name + ".weight", weight);
    writing.add(name + ".weight_scale", weight.dtype, weight.params.scale);
    writing.add(name + ".weight_zero_point", weight.params.zero_point);
    writing.add(name + ".bias", weight.dtype, layer.bias);
    writing.add(name + ".input_scale", weight.dtype, layer.activation.scale);
    writing.add(name + ".input_zero_point", layer.activation.zero_point);
  }
  writing.write(path, metadata);
}

std::map<std::string, QuantizedLayer> load_layers(const std::string& path) {
  const Reading reading(path);
  std::map<std::string, QuantizedLayer> layers;
  for (const std::string& name : reading.layers()) layers[name] = reading.layer(name);
  reading.check_all_read();
  return layers;
}

}  // namespace cuqat
