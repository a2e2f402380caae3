#include "network.hpp"

#include <algorithm>
#include <type_traits>
#include <utility>

using cuqat::ConstTensorView;
using cuqat::HostOptions;
using cuqat::QatGradients;
using cuqat::QatLayer;
using cuqat::TensorView;
using cuqat::Transpose;

FloatLayer::FloatLayer(std::int64_t in_features, std::int64_t out_features, std::uint64_t seed)
    : bias_(static_cast<std::size_t>(out_features)) {
  weight_.resize(out_features, in_features);
  cuqat::xavier_uniform(seed, in_features, out_features, weight_.values);
}

void FloatLayer::forward_train(ConstTensorView x, TensorView y, Saved& saved,
                               const HostOptions& options) {
  saved.input.resize(x.shape()[0], x.shape()[1]);
  std::ranges::copy_n(static_cast<const float*>(x.data()), x.count(), saved.input.values.begin());
  forward_infer(x, y, options);
}

void FloatLayer::forward_infer(ConstTensorView x, TensorView y, const HostOptions& options) const {
  cuqat::linear(x, weight(), bias(), y, options);
}

void FloatLayer::backward(ConstTensorView dy, const Saved& saved, const QatGradients& gradients,
                          const HostOptions& options) const {
  cuqat::gemm(dy, Transpose::kYes, saved.input.view(), Transpose::kNo, gradients.dweight, options);
  const std::span dbias(static_cast<float*>(gradients.dbias.data()), bias_.size());
  std::ranges::fill(dbias, 0.0f);
  const auto* element = static_cast<const float*>(dy.data());
  for (std::int64_t row = 0; row < dy.shape()[0]; ++row) {
    for (float& sum : dbias) sum += *element++;
  }
  if (gradients.dx.count() > 0) {
    cuqat::gemm(dy, Transpose::kNo, weight(), Transpose::kNo, gradients.dx, options);
  }
}

template <typename Layer>
Network<Layer>::Network(std::vector<Layer> layers)
    : layers_(std::move(layers)),
      saved_(layers_.size()),
      gradients_(layers_.size()),
      values_(layers_.size() + 1) {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    gradients_[i].weight.resize(static_cast<std::size_t>(layers_[i].weight().count()));
    gradients_[i].bias.resize(static_cast<std::size_t>(layers_[i].bias().count()));
    if constexpr (std::is_same_v<Layer, QatLayer>) {
      gradients_[i].weight_scale.resize(layers_[i].weight_params(kOneThread).scale.size());
      gradients_[i].activation_scale.resize(1);
    }
  }
}

template <typename Layer>
void Network<Layer>::start(const Matrix& images) {
  values_[0] = images;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    values_[i + 1].resize(images.rows, layers_[i].out_features());
  }
}

namespace {

void relu(Matrix& matrix) {
  for (float& value : matrix.values) value = std::max(value, 0.0f);
}

/// dx is 0 where ReLU's output y is.
void relu_backward(const Matrix& y, Matrix& dx) {
  for (std::size_t i = 0; i < dx.values.size(); ++i) {
    if (y.values[i] == 0.0f) dx.values[i] = 0.0f;
  }
}

}  // namespace

template <typename Layer>
const Matrix& Network<Layer>::forward_train(const Matrix& images) {
  start(images);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].forward_train(std::as_const(values_[i]).view(), values_[i + 1].view(), saved_[i],
                             kOneThread);
    if (i + 1 < layers_.size()) relu(values_[i + 1]);
  }
  return values_.back();
}

template <typename Layer>
const Matrix& Network<Layer>::forward_infer(const Matrix& images) {
  start(images);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].forward_infer(std::as_const(values_[i]).view(), values_[i + 1].view(), kOneThread);
    if (i + 1 < layers_.size()) relu(values_[i + 1]);
  }
  return values_.back();
}

template <typename Layer>
std::span<const LayerGradients> Network<Layer>::backward(Matrix& dscores) {
  Matrix dy = std::move(dscores);
  Matrix dx;
  for (std::size_t i = layers_.size(); i-- > 0;) {
    LayerGradients& gradients = gradients_[i];
    QatGradients wanted;
    wanted.dweight = {gradients.weight.data(), layers_[i].weight().shape()};
    wanted.dbias = gradients.bias;
    if constexpr (std::is_same_v<Layer, QatLayer>) {
      wanted.weight.dscale = gradients.weight_scale;
      wanted.activation.dscale = gradients.activation_scale;
    }
    if (i > 0) {
      dx.resize(dy.rows, layers_[i].in_features());
      wanted.dx = dx.view();
    }
    layers_[i].backward(std::as_const(dy).view(), saved_[i], wanted, kOneThread);
    if (i > 0) relu_backward(values_[i], dx);
    std::swap(dx, dy);
  }
  return gradients_;
}

template class Network<FloatLayer>;
template class Network<QatLayer>;

Network<FloatLayer> make_network(std::span<const std::int64_t> widths, std::uint64_t seed) {
  std::vector<FloatLayer> layers;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    layers.emplace_back(widths[i], widths[i + 1], seed * 1000 + i);
  }
  return Network<FloatLayer>(std::move(layers));
}
