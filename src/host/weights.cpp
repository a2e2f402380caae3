#include "cuqat/weights.hpp"

#include <cmath>

#include "cuqat/dynamic_quant.hpp"
#include "cuqat/scalar/stochastic_rounding.hpp"
#include "host/arguments.hpp"
#include "host/enumerators.hpp"

namespace cuqat {

namespace {

Quantizer weight_quantizer(const QatConfig& config) {
  Quantizer quantizer;
  quantizer.format = config.format;
  quantizer.narrow_range = config.symmetric && is_integer(config.format);
  return quantizer;
}

void check_config(const QatConfig& config, const Shape& shape) {
  detail::check_enumerator("config.format", config.format, Format::kE5M2);
  if (!config.symmetric && !is_integer(config.format)) {
    detail::throw_invalid(
        "config.symmetric", "false",
        "true for " + std::string(to_string(config.format)) + ", which has no zero point");
  }
  if (config.per_channel && shape.rank() == 0) {
    detail::throw_invalid("config.per_channel", "true", "false for a tensor of rank 0");
  }
}

}  // namespace

QuantizedWeights quantize_model_weights(ConstTensorView weights, const QatConfig& config,
                                        const HostOptions& options) {
  detail::check_view("weights", weights);
  check_config(config, weights.shape());
  QuantizedWeights result;
  result.shape = weights.shape();
  result.dtype = weights.dtype();
  result.layout = config.format == Format::kInt4 ? CodeLayout::kNibbles : CodeLayout::kBytes;
  const DynamicQuantization how{
      weight_quantizer(config),
      config.per_channel ? Granularity::channel(0) : Granularity::tensor(), config.symmetric};
  result.codes.resize(codes_bytes(weights.count(), result.layout));
  result.params = quantize_dynamic(weights, how, result.codes, result.layout, options);
  return result;
}

void dequantize_weights(const QuantizedWeights& weights, TensorView y, const HostOptions& options) {
  if (y.shape() != weights.shape) {
    detail::throw_invalid("y.shape()", detail::text(y.shape()),
                          "the shape of weights, " + detail::text(weights.shape));
  }
  // The scales were chosen for one compute type and mean something else in the other.
  if (detail::compute_type(y.dtype()) != detail::compute_type(weights.dtype)) {
    detail::throw_invalid("y.dtype()", to_string(y.dtype()),
                          weights.dtype == DType::kF64 ? "F64, as weights.dtype is F64"
                                                       : "F32, F16 or BF16, as weights.dtype is " +
                                                             std::string(to_string(weights.dtype)));
  }
  dequantize(weights.codes, weights.params, y, weights.layout, options);
}

void xavier_uniform(std::uint64_t seed, std::int64_t fan_in, std::int64_t fan_out,
                    std::span<float> weights) {
  if (fan_in < 0) detail::throw_invalid("fan_in", detail::text(fan_in), "at least 0");
  if (fan_out < 0) detail::throw_invalid("fan_out", detail::text(fan_out), "at least 0");
  if (fan_in == 0 && fan_out == 0) {
    detail::throw_invalid("fan_in + fan_out", "0", "at least 1");
  }
  // The sum in f64: as an int64 it may overflow.
  const double fans = static_cast<double>(fan_in) + static_cast<double>(fan_out);
  const auto bound = static_cast<float>(std::sqrt(6.0 / fans));
  for (std::size_t i = 0; i < weights.size(); ++i) {
    // 1 - 2u is exact, and in (-1, 1] for u in [0, 1).
    weights[i] = bound * (1.0f - 2.0f * scalar::uniform_from_index(seed, i));
  }
}

}  // namespace cuqat
