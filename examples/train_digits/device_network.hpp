// Network, in the memory of a GPU: training steps of one batch size, of which nothing visits the
// host.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/device_layer.hpp"
#include "device_memory.hpp"

/// A linear layer in f32, used as cuqat::DeviceQatLayer is.
class DeviceFloatLayer {
 public:
  struct Saved {
    cuqat::ConstDeviceTensorView input;  // Where it lies: the network keeps it.
  };

  /// FloatLayer's weights of the same seed.
  DeviceFloatLayer(std::int64_t in_features, std::int64_t out_features, std::uint64_t seed,
                   const Device& device);

  std::int64_t in_features() const { return weight_.columns; }
  std::int64_t out_features() const { return weight_.rows; }
  cuqat::ConstDeviceTensorView weight() const { return weight_.view(); }
  cuqat::ConstDeviceTensorView bias() const;
  cuqat::DeviceTensorView change_weight() { return weight_.view(); }
  cuqat::DeviceTensorView change_bias();

  void forward_train(cuqat::ConstDeviceTensorView x, cuqat::DeviceTensorView y, Saved& saved,
                     const cuqat::DeviceContext& context, cudaStream_t stream);
  void forward_infer(cuqat::ConstDeviceTensorView x, cuqat::DeviceTensorView y,
                     const cuqat::DeviceContext& context, cudaStream_t stream) const;
  void backward(cuqat::ConstDeviceTensorView dy, const Saved& saved,
                const cuqat::DeviceQatGradients& gradients, const cuqat::DeviceContext& context,
                cudaStream_t stream) const;

 private:
  DeviceMatrix weight_;
  DeviceArray<float> bias_;
};

/// Gradients of a layer's parameters.
struct DeviceLayerGradients {
  DeviceArray<float> weight;
  DeviceArray<float> bias;
  DeviceArray<float> weight_scale;      // Of a DeviceQatLayer that learns them.
  DeviceArray<float> activation_scale;  // The same; one.
};

/// `Layer` is DeviceFloatLayer or cuqat::DeviceQatLayer.
template <typename Layer>
class DeviceNetwork {
 public:
  /// A training step has `batch` images.
  DeviceNetwork(std::vector<Layer> layers, std::int64_t batch);

  std::vector<Layer>& layers() { return layers_; }

  /// The images of a training step, to be written before it.
  DeviceMatrix& batch() { return values_.front(); }

  /// A row of scores for each image of batch().
  const DeviceMatrix& forward_train(const Device& device);
  const DeviceMatrix& forward_infer(const DeviceMatrix& images, const Device& device);

  /// What forward_infer gave to each layer.
  std::span<const cuqat::ConstDeviceTensorView> inputs() const { return inputs_; }

  /// The gradient of the scores, to be written before backward, which overwrites it.
  DeviceMatrix& dscores() { return gradients_of_values_.back(); }

  /// Writes gradients(), of what forward_train returned last.
  void backward(const Device& device);
  std::span<const DeviceLayerGradients> gradients() const { return gradients_; }

 private:
  std::vector<Layer> layers_;
  std::vector<typename Layer::Saved> saved_;
  std::vector<DeviceLayerGradients> gradients_;
  std::vector<DeviceMatrix> values_;               // The images, and what comes out of each layer.
  std::vector<DeviceMatrix> gradients_of_values_;  // Those of the images are not wanted.
  std::vector<DeviceMatrix> infer_values_;         // What comes out of each layer.
  std::vector<cuqat::ConstDeviceTensorView> inputs_;
};

/// As make_network.
DeviceNetwork<DeviceFloatLayer> make_network(std::span<const std::int64_t> widths,
                                             std::uint64_t seed, std::int64_t batch,
                                             const Device& device);
