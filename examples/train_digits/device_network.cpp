#include "device_network.hpp"

#include <type_traits>
#include <utility>

#include "cuqat/device_gemm.hpp"
#include "device_steps.hpp"
#include "network.hpp"

using cuqat::ConstDeviceTensorView;
using cuqat::DeviceContext;
using cuqat::DeviceQatGradients;
using cuqat::DeviceQatLayer;
using cuqat::DeviceTensorView;
using cuqat::Shape;
using cuqat::Transpose;

DeviceFloatLayer::DeviceFloatLayer(std::int64_t in_features, std::int64_t out_features,
                                   std::uint64_t seed, const Device& device)
    : weight_(FloatLayer(in_features, out_features, seed).weight(), device), bias_(out_features) {
  bias_.clear(device);
}

ConstDeviceTensorView DeviceFloatLayer::bias() const { return {bias_.data(), Shape{bias_.size()}}; }

DeviceTensorView DeviceFloatLayer::change_bias() { return {bias_.data(), Shape{bias_.size()}}; }

void DeviceFloatLayer::forward_train(ConstDeviceTensorView x, DeviceTensorView y, Saved& saved,
                                     const DeviceContext& context, cudaStream_t stream) {
  saved.input = x;
  forward_infer(x, y, context, stream);
}

void DeviceFloatLayer::forward_infer(ConstDeviceTensorView x, DeviceTensorView y,
                                     const DeviceContext& context, cudaStream_t stream) const {
  cuqat::linear(x, weight(), bias(), y, context, stream);
}

void DeviceFloatLayer::backward(ConstDeviceTensorView dy, const Saved& saved,
                                const DeviceQatGradients& gradients, const DeviceContext& context,
                                cudaStream_t stream) const {
  cuqat::gemm(dy, Transpose::kYes, saved.input, Transpose::kNo, gradients.dweight, context, stream);
  on_device::column_sums(static_cast<const float*>(dy.data()), dy.shape()[0], dy.shape()[1],
                         static_cast<float*>(gradients.dbias.data()), stream);
  if (gradients.dx.count() > 0) {
    cuqat::gemm(dy, Transpose::kNo, weight(), Transpose::kNo, gradients.dx, context, stream);
  }
}

template <typename Layer>
DeviceNetwork<Layer>::DeviceNetwork(std::vector<Layer> layers, std::int64_t batch)
    : layers_(std::move(layers)), saved_(layers_.size()) {
  values_.emplace_back(batch, layers_.front().in_features());
  gradients_of_values_.emplace_back();
  for (const Layer& layer : layers_) {
    values_.emplace_back(batch, layer.out_features());
    gradients_of_values_.emplace_back(batch, layer.out_features());
    DeviceLayerGradients& gradients = gradients_.emplace_back();
    gradients.weight = DeviceArray<float>(layer.weight().count());
    gradients.bias = DeviceArray<float>(layer.bias().count());
    if constexpr (std::is_same_v<Layer, DeviceQatLayer>) {
      gradients.weight_scale = DeviceArray<float>(layer.weight_params().scale.count());
      gradients.activation_scale = DeviceArray<float>(1);
    }
  }
}

template <typename Layer>
const DeviceMatrix& DeviceNetwork<Layer>::forward_train(const Device& device) {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    DeviceMatrix& y = values_[i + 1];
    layers_[i].forward_train(values_[i].view(), y.view(), saved_[i], device.context,
                             device.stream.get());
    if (i + 1 < layers_.size()) {
      on_device::relu(y.values.data(), y.values.size(), device.stream.get());
    }
  }
  return values_.back();
}

template <typename Layer>
const DeviceMatrix& DeviceNetwork<Layer>::forward_infer(const DeviceMatrix& images,
                                                        const Device& device) {
  infer_values_.resize(layers_.size());
  inputs_.assign(1, images.view());
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    DeviceMatrix& y = infer_values_[i];
    if (y.rows != images.rows) y = DeviceMatrix(images.rows, layers_[i].out_features());
    layers_[i].forward_infer(inputs_[i], y.view(), device.context, device.stream.get());
    if (i + 1 < layers_.size()) {
      on_device::relu(y.values.data(), y.values.size(), device.stream.get());
      inputs_.emplace_back(y.view());
    }
  }
  return infer_values_.back();
}

template <typename Layer>
void DeviceNetwork<Layer>::backward(const Device& device) {
  for (std::size_t i = layers_.size(); i-- > 0;) {
    const DeviceLayerGradients& gradients = gradients_[i];
    DeviceQatGradients wanted;
    wanted.dweight = {gradients.weight.data(), layers_[i].weight().shape()};
    wanted.dbias = {gradients.bias.data(), layers_[i].bias().shape()};
    if constexpr (std::is_same_v<Layer, DeviceQatLayer>) {
      wanted.weight.dscale = {gradients.weight_scale.data(), Shape{gradients.weight_scale.size()}};
      wanted.activation.dscale = {gradients.activation_scale.data(), Shape{1}};
    }
    DeviceMatrix& dx = gradients_of_values_[i];
    if (i > 0) wanted.dx = dx.view();
    layers_[i].backward(gradients_of_values_[i + 1].view(), saved_[i], wanted, device.context,
                        device.stream.get());
    if (i > 0) {
      on_device::relu_backward(values_[i].values.data(), dx.values.data(), dx.values.size(),
                               device.stream.get());
    }
  }
}

template class DeviceNetwork<DeviceFloatLayer>;
template class DeviceNetwork<DeviceQatLayer>;

DeviceNetwork<DeviceFloatLayer> make_network(std::span<const std::int64_t> widths,
                                             std::uint64_t seed, std::int64_t batch,
                                             const Device& device) {
  std::vector<DeviceFloatLayer> layers;
  for (std::size_t i = 0; i + 1 < widths.size(); ++i) {
    layers.emplace_back(widths[i], widths[i + 1], seed * 1000 + i, device);
  }
  return {std::move(layers), batch};
}
