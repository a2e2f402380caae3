// A layer's forward and backward passes.
#include "cuqat/layer.hpp"

#include <cstring>
#include <initializer_list>
#include <string>

#include "cuqat/fake_quant.hpp"
#include "host/arguments.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {
namespace {

using detail::text;
using detail::throw_invalid;

std::vector<std::byte> elements(DType dtype, std::int64_t count) {
  return std::vector<std::byte>(static_cast<std::size_t>(count) * dtype_bytes(dtype));
}

std::size_t bytes_of(DType dtype, const Shape& shape) {
  return static_cast<std::size_t>(shape.count()) * dtype_bytes(dtype);
}

/// What is empty is not written.
bool is_wanted(ConstTensorView output) { return output.data() != nullptr; }

void check_like(std::string_view name, ConstTensorView view, DType dtype, const Shape& shape) {
  if (view.dtype() != dtype) {
    throw_invalid(std::string(name) + ".dtype()", to_string(view.dtype()), to_string(dtype));
  }
  if (view.shape() != shape) {
    throw_invalid(std::string(name) + ".shape()", text(view.shape()), text(shape));
  }
}

void check_output(std::string_view name, ConstTensorView output, DType dtype, const Shape& shape) {
  if (is_wanted(output)) check_like(name, output, dtype, shape);
}

void check_learned(std::string_view name, const LearnedScaleGradient& gradient, bool is_learned,
                   const QuantParams& params) {
  const std::string of_gradient = "gradients." + std::string(name);
  if (gradient.dscale.empty() && gradient.dzero_point.empty()) return;
  if (!is_learned) {
    throw_invalid(of_gradient, "asked for",
                  "empty, as config.learn_" + std::string(name) + "_scale is false");
  }
  detail::check_size(of_gradient + ".dscale", gradient.dscale.size(), params.scale.size(),
                     "one for each scale");
}

void check_all_disjoint(const QatGradients& gradients,
                        std::initializer_list<detail::Region> inputs) {
  const std::vector<detail::Region> regions = {
      {"gradients.dx", gradients.dx},
      {"gradients.dweight", gradients.dweight},
      {"gradients.dbias", gradients.dbias},
      {"gradients.weight.dscale", gradients.weight.dscale},
      {"gradients.weight.dzero_point", gradients.weight.dzero_point},
      {"gradients.activation.dscale", gradients.activation.dscale},
      {"gradients.activation.dzero_point", gradients.activation.dzero_point}};
  for (std::size_t i = 0; i < regions.size(); ++i) {
    for (const detail::Region& input : inputs) detail::check_disjoint(regions[i], input);
    for (std::size_t j = 0; j < i; ++j) detail::check_disjoint(regions[i], regions[j]);
  }
}

/// dx = the straight-through gradient of what x is quantized with, in place, and those of the
/// scale where they are asked for.
void pass_through(ConstTensorView x, const QuantParams& params, TensorView dx,
                  const LearnedScaleGradient& learned, const HostOptions& options) {
  if (learned.dscale.empty()) {
    fake_quantize_backward(dx, x, params, dx, options);
  } else {
    learned_scale_backward(dx, x, params, dx, learned, std::nullopt, options);
  }
}

/// Sums of the columns of dy.
void add_rows(ConstTensorView dy, TensorView dbias, const HostOptions& options) {
  const std::int64_t rows = dy.shape()[0];
  const std::vector<std::byte> ones = detail::ones_of(dy.dtype(), rows);
  gemm(ConstTensorView(ones.data(), dy.dtype(), Shape{1, rows}), Transpose::kNo, dy, Transpose::kNo,
       TensorView(dbias.data(), dbias.dtype(), Shape{1, dy.shape()[1]}), options);
}

}  // namespace

ConstTensorView QatLayer::weight_numbers(DType dtype, const HostOptions& options) {
  if (weight_numbers_.empty() || weight_numbers_dtype_ != dtype) {
    std::vector<std::byte> numbers = elements(dtype, weight_shape().count());
    dequantize(weight_codes_, *weight_params_, TensorView(numbers.data(), dtype, weight_shape()),
               CodeLayout::kBytes, options);
    weight_numbers_ = std::move(numbers);
    weight_numbers_dtype_ = dtype;
  }
  return {weight_numbers_.data(), dtype, weight_shape()};
}

void QatLayer::check_input(const std::string& name, ConstTensorView x, ConstTensorView y) const {
  detail::check_matrix(name, x);
  if (x.shape()[1] != in_features_) {
    throw_invalid(name + ".shape()", text(x.shape()), "[rows, " + text(in_features_) + "]");
  }
  if ((x.dtype() == DType::kF64) != (config_.weight_dtype == DType::kF64)) {
    throw_invalid(name + ".dtype()", to_string(x.dtype()),
                  config_.weight_dtype == DType::kF64 ? "F64, as the weights"
                                                      : "F32, BF16 or F16, as the weights are F32");
  }
  if (y.data() == nullptr && y.count() == 0) return;
  detail::check_matrix("y", y);
  check_like("y", y, x.dtype(), Shape{x.shape()[0], out_features_});
  detail::check_disjoint({"y", y}, {name, x});
  detail::check_disjoint({"y", y}, {"the layer's weights", weight()});
  detail::check_disjoint({"y", y}, {"the layer's bias", bias()});
}

void QatLayer::multiply(ConstTensorView x, ConstTensorView quantized,
                        std::vector<std::uint8_t>& codes, TensorView y,
                        const HostOptions& options) {
  if (config_.product == QatProduct::kNumbers) {
    return linear(quantized, weight_numbers(x.dtype(), options), bias(), y, options);
  }
  codes.resize(static_cast<std::size_t>(x.count()));
  quantize(x, *activation_params_, codes, CodeLayout::kBytes, options);
  const GemmShape shape{x.shape()[0], out_features_, in_features_};
  if (is_integer(config_.weight.format)) {
    int8_linear(codes, *activation_params_, weight_codes_, *weight_params_, shape, bias(), y,
                options);
  } else {
    fp8_linear(codes, *activation_params_, weight_codes_, *weight_params_, shape, bias(), y,
               options);
  }
}

void QatLayer::forward_train(ConstTensorView x, TensorView y, Saved& saved,
                             const HostOptions& options) {
  saved.version_ = 0;
  check_input("x", x, y);
  const QuantParams& params = activation_params();
  quantize_weight(options);
  saved.shape_ = x.shape();
  saved.dtype_ = x.dtype();
  saved.quantized_.resize(x.size_bytes());
  saved.clip_mask_.resize(clip_mask_bytes(x.count()));
  const TensorView quantized(saved.quantized_.data(), x.dtype(), x.shape());
  fake_quantize(x, params, quantized, saved.clip_mask_, options);
  if (config_.learn_activation_scale) {
    const auto* const bytes = static_cast<const std::byte*>(x.data());
    saved.input_.assign(bytes, bytes + x.size_bytes());
  }
  multiply(x, quantized, saved.codes_, y, options);
  saved.version_ = version_;
}

void QatLayer::backward(ConstTensorView dy, const Saved& saved, const QatGradients& gradients,
                        const HostOptions& options) {
  if (saved.version_ == 0 || saved.quantized_.size() != bytes_of(saved.dtype_, saved.shape_)) {
    throw_invalid("saved", "of no forward pass", "what forward_train left");
  }
  if (saved.version_ != version_) {
    throw_invalid("saved", "of another layer, or of parameters that have changed since",
                  "what forward_train of this layer left");
  }
  quantize_weight(options);
  detail::check_matrix("dy", dy);
  check_like("dy", dy, saved.dtype_, Shape{saved.shape_[0], out_features_});
  check_output("gradients.dx", gradients.dx, saved.dtype_, saved.shape_);
  check_output("gradients.dweight", gradients.dweight, config_.weight_dtype, weight_shape());
  check_output("gradients.dbias", gradients.dbias, config_.weight_dtype, Shape{out_features_});
  check_learned("weight", gradients.weight, config_.learn_weight_scale, *weight_params_);
  check_learned("activation", gradients.activation, config_.learn_activation_scale,
                *activation_params_);
  const ConstTensorView quantized(saved.quantized_.data(), saved.dtype_, saved.shape_);
  check_all_disjoint(gradients, {{"dy", dy},
                                 {"the layer's weights", weight()},
                                 {"the layer's bias", bias()},
                                 {"saved", quantized}});

  if (is_wanted(gradients.dbias)) add_rows(dy, gradients.dbias, options);
  if (is_wanted(gradients.dweight) || !gradients.weight.dscale.empty()) {
    std::vector<std::byte> unwanted;
    TensorView dweight = gradients.dweight;
    if (!is_wanted(dweight)) {
      unwanted = elements(config_.weight_dtype, weight_shape().count());
      dweight = {unwanted.data(), config_.weight_dtype, weight_shape()};
    }
    gemm(dy, Transpose::kYes, quantized, Transpose::kNo, dweight, options);
    pass_through(weight(), *weight_params_, dweight, gradients.weight, options);
  }
  if (is_wanted(gradients.dx) || !gradients.activation.dscale.empty()) {
    std::vector<std::byte> unwanted;
    TensorView dx = gradients.dx;
    if (!is_wanted(dx)) {
      unwanted = elements(saved.dtype_, saved.shape_.count());
      dx = {unwanted.data(), saved.dtype_, saved.shape_};
    }
    gemm(dy, Transpose::kNo, weight_numbers(saved.dtype_, options), Transpose::kNo, dx, options);
    if (gradients.activation.dscale.empty()) {
      fake_quantize_backward(dx, saved.clip_mask_, dx, options);
    } else {
      const ConstTensorView input(saved.input_.data(), saved.dtype_, saved.shape_);
      pass_through(input, *activation_params_, dx, gradients.activation, options);
    }
  }
}

void QatLayer::forward_infer(ConstTensorView x, TensorView y, const HostOptions& options) {
  check_input("x", x, y);
  const QuantParams& params = activation_params();
  quantize_weight(options);
  std::vector<std::uint8_t> codes;
  std::vector<std::byte> numbers;
  if (config_.product == QatProduct::kNumbers) {
    numbers.resize(x.size_bytes());
    fake_quantize(x, params, TensorView(numbers.data(), x.dtype(), x.shape()), {}, options);
  }
  multiply(x, ConstTensorView(numbers.data(), x.dtype(), x.shape()), codes, y, options);
}

}  // namespace cuqat
