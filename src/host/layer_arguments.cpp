#include "host/layer_arguments.hpp"

#include <cmath>
#include <string>

#include "cuqat/calibration.hpp"
#include "host/arguments.hpp"
#include "host/enumerators.hpp"

namespace cuqat::detail {
namespace {

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

std::string in_words(const Quantizer& quantizer) {
  return std::string(to_string(quantizer.format)) + ", " +
         std::string(to_string(quantizer.rounding)) +
         (quantizer.narrow_range ? ", narrow range" : "") +
         (quantizer.saturate ? "" : ", not saturating");
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
  static_cast<void>(ScaledArguments(ConstTensorView(&params, dtype, shape), params, {}, name));
  // Symmetric: the narrow range.
  for (const std::int32_t zero_point : params.zero_point) {
    if (quantizer.narrow_range && zero_point != 0) {
      throw_invalid(of_params + ".zero_point", text(zero_point),
                    "0, as config asks for symmetric codes");
    }
  }
}

void check_like(std::string_view name, ConstTensorView view, DType dtype, const Shape& shape) {
  check_view(name, view);
  if (view.dtype() != dtype) {
    throw_invalid(std::string(name) + ".dtype()", to_string(view.dtype()), to_string(dtype));
  }
  if (view.shape() != shape) {
    throw_invalid(std::string(name) + ".shape()", text(view.shape()), text(shape));
  }
}

void check_gradient(std::string_view name, ConstTensorView gradient, DType dtype,
                    const Shape& shape) {
  if (is_wanted(gradient)) check_like(name, gradient, dtype, shape);
}

/// Of the scales of what `name` says, "weight" or "activation".
void check_learned(const std::string& name, ConstTensorView dscale, ConstTensorView dzero_point,
                   std::optional<double> gradient_scale, bool is_learned, std::int64_t num_scales,
                   Format format) {
  if (gradient_scale && !std::isfinite(*gradient_scale)) {
    throw_invalid("gradients." + name + "_gradient_scale", text(*gradient_scale), "finite");
  }
  if (dscale.count() == 0 && dzero_point.count() == 0) return;
  if (!is_learned) {
    throw_invalid("gradients." + name, "asked for",
                  "empty, as config.learn_" + name + "_scale is false");
  }
  const auto check_count = [&](const char* part, ConstTensorView view, std::int64_t expected,
                               std::string_view why) {
    check_size("gradients." + name + part, static_cast<std::size_t>(view.count()),
               static_cast<std::size_t>(expected), why);
  };
  check_count(".dscale", dscale, num_scales, "one for each scale");
  if (dzero_point.count() == 0) return;
  if (is_integer(format)) {
    check_count(".dzero_point", dzero_point, num_scales, "one for each scale");
  } else {
    check_count(".dzero_point", dzero_point, 0, "as FP8 has no zero point");
  }
}

}  // namespace

Shape check_features(std::int64_t in_features, std::int64_t out_features) {
  if (in_features < 1) throw_invalid("in_features", text(in_features), "at least 1");
  if (out_features < 1) throw_invalid("out_features", text(out_features), "at least 1");
  return {out_features, in_features};
}

QatLayerConfig check_layer_config(QatLayerConfig config, const Shape& weight_shape) {
  check_enumerator("config.product", config.product, QatProduct::kNumbers);
  if (config.weight_dtype != DType::kF32 && config.weight_dtype != DType::kF64) {
    throw_invalid("config.weight_dtype", to_string(config.weight_dtype), "F32 or F64");
  }
  check_options("config.weight", config.weight, config.weight_dtype);
  check_options("config.activation", config.activation, config.weight_dtype);
  config.weight_granularity = resolve_axis(config.weight_granularity, weight_shape);
  check_product(config);
  return config;
}

void check_weight_params(std::string_view name, const QuantParams& params,
                         const QatLayerConfig& config, const Shape& weight_shape) {
  check_params(name, params, config.weight.quantizer(), config.weight_granularity, weight_shape,
               config.weight_dtype);
}

void check_activation_params(std::string_view name, const QuantParams& params,
                             const QatLayerConfig& config) {
  // One scale for inputs of any width.
  check_params(name, params, config.activation.quantizer(), Granularity::tensor(), Shape{1, 1},
               config.weight_dtype);
}

void check_activations_calibrated(bool has_scale) {
  if (has_scale) return;
  throw InvalidArgument(
      "the layer has no scale of its activations; call calibrate_from_data or "
      "set_activation_params first");
}

void check_weights_calibrated(const QatLayerConfig& config, bool has_scales) {
  if (has_scales || !config.learn_weight_scale) return;
  throw InvalidArgument(
      "the layer learns its weight scales and has none; call "
      "calibrate_from_data or set_weight_params first");
}

void check_finite_weights(std::int64_t finite, std::int64_t count) {
  if (finite == count) return;
  throw_invalid("the number of weights that are NaN or infinite", text(count - finite), "0");
}

void check_layer_input(std::string_view name, ConstTensorView x, const LayerMemory& layer) {
  check_matrix(name, x);
  const std::string of_x(name);
  const std::int64_t in_features = layer.weight.shape()[1];
  if (x.shape()[1] != in_features) {
    throw_invalid(of_x + ".shape()", text(x.shape()), "[rows, " + text(in_features) + "]");
  }
  const bool is_wide = layer.config.weight_dtype == DType::kF64;
  if ((x.dtype() == DType::kF64) != is_wide) {
    throw_invalid(of_x + ".dtype()", to_string(x.dtype()),
                  is_wide ? "F64, as the weights" : "F32, BF16 or F16, as the weights are F32");
  }
}

void check_forward(ConstTensorView x, ConstTensorView y, const LayerMemory& layer) {
  check_layer_input("x", x, layer);
  check_like("y", y, x.dtype(), Shape{x.shape()[0], layer.weight.shape()[0]});
  check_apart({{"y", y}}, {{"x", x},
                           {"the layer's weights", layer.weight},
                           {"the layer's bias", layer.bias},
                           {"the layer's scales", layer.scales}});
}

void check_saved(std::uint64_t version_of_saved, std::uint64_t version) {
  if (version_of_saved == 0) {
    throw_invalid("saved", "of no forward pass", "what forward_train left");
  }
  if (version_of_saved != version) {
    throw_invalid("saved", "of another layer, or of parameters that have changed since",
                  "what forward_train of this layer left");
  }
}

void check_backward(ConstTensorView dy, ConstTensorView saved, const LayerGradients& gradients,
                    const LayerMemory& layer) {
  const QatLayerConfig& config = layer.config;
  check_like("dy", dy, saved.dtype(), Shape{saved.shape()[0], layer.weight.shape()[0]});
  check_gradient("gradients.dx", gradients.dx, saved.dtype(), saved.shape());
  check_gradient("gradients.dweight", gradients.dweight, config.weight_dtype, layer.weight.shape());
  check_gradient("gradients.dbias", gradients.dbias, config.weight_dtype, layer.bias.shape());
  check_learned("weight", gradients.weight_dscale, gradients.weight_dzero_point,
                gradients.weight_gradient_scale, config.learn_weight_scale,
                num_scales(config.weight_granularity, layer.weight.shape()), config.weight.format);
  check_learned("activation", gradients.activation_dscale, gradients.activation_dzero_point,
                gradients.activation_gradient_scale, config.learn_activation_scale, 1,
                config.activation.format);
  check_apart({{"gradients.dx", gradients.dx},
               {"gradients.dweight", gradients.dweight},
               {"gradients.dbias", gradients.dbias},
               {"gradients.weight.dscale", gradients.weight_dscale},
               {"gradients.weight.dzero_point", gradients.weight_dzero_point},
               {"gradients.activation.dscale", gradients.activation_dscale},
               {"gradients.activation.dzero_point", gradients.activation_dzero_point}},
              {{"dy", dy},
               {"the layer's weights", layer.weight},
               {"the layer's bias", layer.bias},
               {"the layer's scales", layer.scales},
               {"saved", saved}});
}

}  // namespace cuqat::detail
