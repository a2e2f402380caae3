// A network of linear layers with ReLU between them, in f32 or through quantization.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "matrix.hpp"

/// Networks are small and trained side by side: a call runs on the thread that makes it.
inline const cuqat::HostOptions kOneThread{.num_threads = 1};

/// A linear layer in f32, used as cuqat::QatLayer is.
class FloatLayer {
 public:
  struct Saved {
    Matrix input;
  };

  FloatLayer(std::int64_t in_features, std::int64_t out_features, std::uint64_t seed);

  std::int64_t in_features() const { return weight_.columns; }
  std::int64_t out_features() const { return weight_.rows; }
  cuqat::ConstTensorView weight() const { return weight_.view(); }
  cuqat::ConstTensorView bias() const { return bias_; }
  cuqat::TensorView change_weight() { return weight_.view(); }
  cuqat::TensorView change_bias() { return bias_; }

  void forward_train(cuqat::ConstTensorView x, cuqat::TensorView y, Saved& saved,
                     const cuqat::HostOptions& options);
  void forward_infer(cuqat::ConstTensorView x, cuqat::TensorView y,
                     const cuqat::HostOptions& options) const;
  void backward(cuqat::ConstTensorView dy, const Saved& saved, const cuqat::QatGradients& gradients,
                const cuqat::HostOptions& options) const;

 private:
  Matrix weight_;
  std::vector<float> bias_;
};

/// Gradients of a layer's parameters.
struct LayerGradients {
  std::vector<float> weight;
  std::vector<float> bias;
  std::vector<double> weight_scale;      // Of a QatLayer that learns them.
  std::vector<double> activation_scale;  // The same; one.
};

/// `Layer` is FloatLayer or cuqat::QatLayer.
template <typename Layer>
class Network {
 public:
  explicit Network(std::vector<Layer> layers);

  std::vector<Layer>& layers() { return layers_; }

  /// A row of scores for each image.
  const Matrix& forward_train(const Matrix& images);
  const Matrix& forward_infer(const Matrix& images);

  /// What forward_train or forward_infer gave to each layer.
  std::span<const Matrix> inputs() const { return {values_.data(), layers_.size()}; }

  /// The gradients of what forward_train returned last; `dscores` is overwritten.
  std::span<const LayerGradients> backward(Matrix& dscores);

 private:
  void start(const Matrix& images);

  std::vector<Layer> layers_;
  std::vector<typename Layer::Saved> saved_;
  std::vector<LayerGradients> gradients_;
  std::vector<Matrix> values_;  // The images, and what comes out of each layer.
};

/// Layers of these widths, from the images to the classes.
Network<FloatLayer> make_network(std::span<const std::int64_t> widths, std::uint64_t seed);
