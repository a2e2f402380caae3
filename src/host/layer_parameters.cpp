// A layer's parameters: where they come from, how they are quantized, how they are deployed.
#include <cstring>
#include <string>
#include <utility>

#include "cuqat/dynamic_quant.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/layer.hpp"
#include "cuqat/statistics.hpp"
#include "host/arguments.hpp"
#include "host/enumerators.hpp"
#include "host/parameters_version.hpp"

namespace cuqat {
namespace {

using detail::text;
using detail::throw_invalid;

Quantizer quantizer_of(const CalibrationOptions& options) {
  return {options.format, options.rounding, options.symmetric && is_integer(options.format), true};
}

/// The options fit together: asked of a tensor without elements.
void check_options(std::string_view name, const CalibrationOptions& options, DType dtype) {
  const ConstTensorView nothing(nullptr, dtype, Shape{0});
  try {
    static_cast<void>(calibrate({&nothing, 1}, Granularity::tensor(), {&options, 1}));
  } catch (const InvalidArgument& error) {
    throw InvalidArgument(std::string(name) + "." + error.what());
  }
}

void check_product(const QatLayerConfig& config) {
  if (config.product == QatProduct::kNumbers) return;
  const auto refuse = [](std::string_view why) {
    throw_invalid("config.product", "of codes", "of numbers " + std::string(why));
  };
  if (is_integer(config.weight.format) != is_integer(config.activation.format)) {
    refuse("where one format is an integer's and one is FP8");
  }
  if (!is_integer(config.weight.format) && config.weight_dtype == DType::kF64) {
    refuse("of FP8 formats in f64");
  }
  const Granularity& granularity = config.weight_granularity;
  if (granularity.kind == Granularity::Kind::kGroup ||
      (granularity.kind == Granularity::Kind::kChannel && granularity.axis != 0)) {
    refuse("for weight scales that are not one, or one for each output");
  }
}

QatLayerConfig checked(QatLayerConfig config, const Shape& weight_shape) {
  detail::check_enumerator("config.product", config.product, QatProduct::kNumbers);
  if (config.weight_dtype != DType::kF32 && config.weight_dtype != DType::kF64) {
    throw_invalid("config.weight_dtype", to_string(config.weight_dtype), "F32 or F64");
  }
  check_options("config.weight", config.weight, config.weight_dtype);
  check_options("config.activation", config.activation, config.weight_dtype);
  config.weight_granularity = resolve_axis(config.weight_granularity, weight_shape);
  check_product(config);
  return config;
}

Shape checked_weight_shape(std::int64_t in_features, std::int64_t out_features) {
  if (in_features < 1) throw_invalid("in_features", text(in_features), "at least 1");
  if (out_features < 1) throw_invalid("out_features", text(out_features), "at least 1");
  return {out_features, in_features};
}

/// Weights are not quantized to what they are not.
void check_finite(ConstTensorView weight, const HostOptions& options) {
  const Statistics total = statistics(weight, options);
  if (total.finite() == weight.count()) return;
  throw_invalid("the number of weights that are NaN or infinite",
                text(weight.count() - total.finite()), "0");
}

std::string in_words(const Quantizer& quantizer) {
  return std::string(to_string(quantizer.format)) + ", " +
         std::string(to_string(quantizer.rounding)) +
         (quantizer.narrow_range ? ", narrow range" : "") +
         (quantizer.saturate ? "" : ", not saturating");
}

/// As numbers of the dtype, which is how they are used.
QuantParams rounded_to(DType dtype, QuantParams params) {
  if (dtype == DType::kF64) return params;
  for (double& scale : params.scale) scale = static_cast<float>(scale);
  return params;
}

void check_params(std::string_view name, const QuantParams& params, const Quantizer& quantizer,
                  const Granularity& granularity, const Shape& shape, DType dtype) {
  const std::string of_params(name);
  if (params.quantizer != quantizer) {
    throw_invalid(of_params + ".quantizer", in_words(params.quantizer),
                  "config's, " + in_words(quantizer));
  }
  if (resolve_axis(params.granularity, shape) != granularity) {
    throw_invalid(of_params + ".granularity", "another", "the one that config gives");
  }
  static_cast<void>(
      detail::ScaledArguments(ConstTensorView(&params, dtype, shape), params, {}, name));
  // Symmetric: the narrow range.
  for (const std::int32_t zero_point : params.zero_point) {
    if (quantizer.narrow_range && zero_point != 0) {
      throw_invalid(of_params + ".zero_point", text(zero_point),
                    "0, as config asks for symmetric codes");
    }
  }
}

/// int4 codes of a byte each, two in a byte.
std::vector<std::uint8_t> packed(std::span<const std::uint8_t> codes) {
  std::vector<std::uint8_t> result((codes.size() + 1) / 2);
  for (std::size_t i = 0; i < codes.size(); ++i) {
    result[i / 2] |= static_cast<std::uint8_t>((codes[i] & 0xfu) << (i % 2 * 4));
  }
  return result;
}

std::vector<std::uint8_t> unpacked(std::span<const std::uint8_t> pairs, std::size_t count) {
  std::vector<std::uint8_t> result(count);
  for (std::size_t i = 0; i < count; ++i) {
    const unsigned code = pairs[i / 2] >> (i % 2 * 4) & 0xfu;
    result[i] = static_cast<std::uint8_t>((code ^ 8u) - 8u);
  }
  return result;
}

struct QuantizedNow {
  QuantParams params;
  std::vector<std::uint8_t> codes;
};

/// The weights' codes, with the parameters given or with their own.
QuantizedNow quantize_now(ConstTensorView weight, const QatLayerConfig& config,
                          const QuantParams* params, const HostOptions& options) {
  check_finite(weight, options);
  QuantizedNow now;
  now.codes.resize(static_cast<std::size_t>(weight.count()));
  const Granularity& granularity = config.weight_granularity;
  if (params != nullptr) {
    now.params = *params;
  } else if (config.weight.method == CalibMethod::kMinMax) {
    now.params = quantize_dynamic(
        weight, {quantizer_of(config.weight), granularity, config.weight.symmetric}, now.codes,
        CodeLayout::kBytes, options);
    return now;
  } else {
    now.params = std::move(
        calibrate({&weight, 1}, granularity, {&config.weight, 1}, options).front().params);
  }
  quantize(weight, now.params, now.codes, CodeLayout::kBytes, options);
  return now;
}

}  // namespace

QatLayer::QatLayer(std::int64_t in_features, std::int64_t out_features,
                   const QatLayerConfig& config, std::uint64_t seed)
    : in_features_(in_features),
      out_features_(out_features),
      config_(checked(config, checked_weight_shape(in_features, out_features))),
      weight_(static_cast<std::size_t>(in_features * out_features) *
              dtype_bytes(config_.weight_dtype)),
      bias_(static_cast<std::size_t>(out_features) * dtype_bytes(config_.weight_dtype)),
      version_(detail::next_parameters_version()) {
  std::vector<float> start(static_cast<std::size_t>(in_features * out_features));
  xavier_uniform(seed, in_features, out_features, start);
  if (config_.weight_dtype == DType::kF32) {
    std::memcpy(weight_.data(), start.data(), weight_.size());
    return;
  }
  for (std::size_t i = 0; i < start.size(); ++i) {
    const double value = start[i];
    std::memcpy(weight_.data() + i * sizeof(value), &value, sizeof(value));
  }
}

QatLayer QatLayer::of_quantized(const QuantizedLayer& layer, const QatLayerConfig& config,
                                const HostOptions& options) {
  const QuantizedWeights& weight = layer.weight;
  if (weight.shape.rank() != 2) {
    throw_invalid("layer.weight.shape", text(weight.shape), "of rank 2");
  }
  if (weight.dtype != config.weight_dtype) {
    throw_invalid("layer.weight.dtype", to_string(weight.dtype),
                  "config's, " + std::string(to_string(config.weight_dtype)));
  }
  QatLayer result(weight.shape[1], weight.shape[0], config);
  detail::check_size("layer.bias", layer.bias.size(),
                     result.bias_.size() / dtype_bytes(weight.dtype), "one for each output");
  result.set_weight_params(weight.params);
  result.set_activation_params(layer.activation);
  dequantize_weights(weight, TensorView(result.weight_.data(), weight.dtype, weight.shape),
                     options);
  check_finite(result.weight(), options);
  for (std::size_t i = 0; i < layer.bias.size(); ++i) {
    if (weight.dtype == DType::kF64) {
      std::memcpy(result.bias_.data() + i * sizeof(double), &layer.bias[i], sizeof(double));
    } else {
      const auto value = static_cast<float>(layer.bias[i]);
      std::memcpy(result.bias_.data() + i * sizeof(float), &value, sizeof(float));
    }
  }
  result.weight_codes_ =
      weight.layout == CodeLayout::kNibbles
          ? unpacked(weight.codes, static_cast<std::size_t>(weight.shape.count()))
          : weight.codes;
  return result;
}

ConstTensorView QatLayer::weight() const {
  return {weight_.data(), config_.weight_dtype, weight_shape()};
}

ConstTensorView QatLayer::bias() const {
  return {bias_.data(), config_.weight_dtype, Shape{out_features_}};
}

TensorView QatLayer::change_weight() {
  version_ = detail::next_parameters_version();
  weight_codes_.clear();
  if (!config_.learn_weight_scale) weight_params_.reset();
  return {weight_.data(), config_.weight_dtype, weight_shape()};
}

TensorView QatLayer::change_bias() {
  return {bias_.data(), config_.weight_dtype, Shape{out_features_}};
}

void QatLayer::calibrate_from_data(std::span<const ConstTensorView> batches,
                                   const HostOptions& options) {
  std::int64_t finite = 0;
  for (std::size_t i = 0; i < batches.size(); ++i) {
    check_input("batches[" + std::to_string(i) + "]", batches[i], {});
    finite += statistics(batches[i], options).finite();
  }
  if (finite == 0) throw_invalid("the number of finite elements of batches", "0", "at least 1");
  CalibrationResult activation = std::move(
      calibrate(batches, Granularity::tensor(), {&config_.activation, 1}, options).front());
  QuantizedNow now = quantize_now(weight(), config_, nullptr, options);
  activation_params_ = std::move(activation.params);
  weight_params_ = std::move(now.params);
  weight_codes_ = std::move(now.codes);
  weight_numbers_.clear();
  version_ = detail::next_parameters_version();
}

const QuantParams& QatLayer::activation_params() const {
  if (!activation_params_) {
    throw InvalidArgument(
        "the layer has no scale of its activations; call calibrate_from_data or "
        "set_activation_params first");
  }
  return *activation_params_;
}

const QuantParams& QatLayer::weight_params(const HostOptions& options) {
  quantize_weight(options);
  return *weight_params_;
}

void QatLayer::set_activation_params(const QuantParams& params) {
  check_params("params", params, quantizer_of(config_.activation), Granularity::tensor(),
               Shape{1, in_features_}, config_.weight_dtype);
  activation_params_ = rounded_to(config_.weight_dtype, params);
  version_ = detail::next_parameters_version();
}

void QatLayer::set_weight_params(const QuantParams& params) {
  check_params("params", params, quantizer_of(config_.weight), config_.weight_granularity,
               weight_shape(), config_.weight_dtype);
  weight_params_ = rounded_to(config_.weight_dtype, params);
  weight_codes_.clear();
  version_ = detail::next_parameters_version();
}

void QatLayer::quantize_weight(const HostOptions& options) {
  if (!weight_codes_.empty()) return;
  if (config_.learn_weight_scale && !weight_params_) {
    throw InvalidArgument(
        "the layer learns its weight scales and has none; call "
        "calibrate_from_data or set_weight_params first");
  }
  QuantizedNow now =
      quantize_now(weight(), config_, weight_params_ ? &*weight_params_ : nullptr, options);
  weight_params_ = std::move(now.params);
  weight_codes_ = std::move(now.codes);
  weight_numbers_.clear();
}

QuantizedLayer QatLayer::quantized(const HostOptions& options) {
  QuantizedLayer result;
  result.activation = activation_params();
  quantize_weight(options);
  const bool is_int4 = config_.weight.format == Format::kInt4;
  result.weight = {is_int4 ? packed(weight_codes_) : weight_codes_,
                   is_int4 ? CodeLayout::kNibbles : CodeLayout::kBytes, *weight_params_,
                   weight_shape(), config_.weight_dtype};
  for (std::int64_t i = 0; i < out_features_; ++i) {
    double value;
    if (config_.weight_dtype == DType::kF64) {
      std::memcpy(&value, bias_.data() + static_cast<std::size_t>(i) * sizeof(double),
                  sizeof(value));
    } else {
      float narrow;
      std::memcpy(&narrow, bias_.data() + static_cast<std::size_t>(i) * sizeof(float),
                  sizeof(narrow));
      value = narrow;
    }
    result.bias.push_back(value);
  }
  return result;
}

}  // namespace cuqat
