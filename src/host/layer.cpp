// A layer's forward and backward passes.
#include "cuqat/layer.hpp"

#include <vector>

#include "cuqat/fake_quant.hpp"
#include "host/gemm_arguments.hpp"
#include "host/layer_arguments.hpp"

namespace cuqat {
namespace {

using detail::is_wanted;

std::vector<std::byte> elements(DType dtype, std::int64_t count) {
  return std::vector<std::byte>(static_cast<std::size_t>(count) * dtype_bytes(dtype));
}

std::size_t bytes_of(DType dtype, const Shape& shape) {
  return static_cast<std::size_t>(shape.count()) * dtype_bytes(dtype);
}

detail::LayerGradients as_addresses(const QatGradients& gradients) {
  return {gradients.dx,
          gradients.dweight,
          gradients.dbias,
          gradients.weight.dscale,
          gradients.weight.dzero_point,
          gradients.activation.dscale,
          gradients.activation.dzero_point,
          gradients.weight_gradient_scale,
          gradients.activation_gradient_scale};
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
  detail::check_forward(x, y, {config_, weight(), bias()});
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
  const bool is_whole = saved.quantized_.size() == bytes_of(saved.dtype_, saved.shape_);
  detail::check_saved(is_whole ? saved.version_ : 0, version_);
  const ConstTensorView quantized(saved.quantized_.data(), saved.dtype_, saved.shape_);
  detail::check_backward(dy, quantized, as_addresses(gradients), {config_, weight(), bias()});
  quantize_weight(options);

  if (is_wanted(gradients.dbias)) add_rows(dy, gradients.dbias, options);
  const bool of_weight = !gradients.weight.dscale.empty();
  if (is_wanted(gradients.dweight) || of_weight) {
    std::vector<std::byte> unwanted;
    TensorView dweight = gradients.dweight;
    if (!is_wanted(dweight)) {
      unwanted = elements(config_.weight_dtype, weight_shape().count());
      dweight = {unwanted.data(), config_.weight_dtype, weight_shape()};
    }
    gemm(dy, Transpose::kYes, quantized, Transpose::kNo, dweight, options);
    if (of_weight) {
      learned_scale_backward(dweight, weight(), *weight_params_, dweight, gradients.weight,
                             gradients.weight_gradient_scale, options);
    } else {
      fake_quantize_backward(dweight, weight(), *weight_params_, dweight, options);
    }
  }
  const bool of_activation = !gradients.activation.dscale.empty();
  if (is_wanted(gradients.dx) || of_activation) {
    std::vector<std::byte> unwanted;
    TensorView dx = gradients.dx;
    if (!is_wanted(dx)) {
      unwanted = elements(saved.dtype_, saved.shape_.count());
      dx = {unwanted.data(), saved.dtype_, saved.shape_};
    }
    gemm(dy, Transpose::kNo, weight_numbers(saved.dtype_, options), Transpose::kNo, dx, options);
    if (of_activation) {
      const ConstTensorView input(saved.input_.data(), saved.dtype_, saved.shape_);
      learned_scale_backward(dx, input, *activation_params_, dx, gradients.activation,
                             gradients.activation_gradient_scale, options);
    } else {
      fake_quantize_backward(dx, saved.clip_mask_, dx, options);
    }
  }
}

void QatLayer::forward_infer(ConstTensorView x, TensorView y, const HostOptions& options) {
  detail::check_forward(x, y, {config_, weight(), bias()});
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
