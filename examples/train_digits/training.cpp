#include "training.hpp"

#include <cmath>
#include <cstring>
#include <numbers>
#include <type_traits>
#include <utility>

#include "optimizer.hpp"
#include "scores.hpp"

namespace {

/// Mean cross-entropy of softmax(scores), and its gradient.
double softmax_loss(const Matrix& scores, const std::vector<int>& digits, Matrix& dscores) {
  dscores.resize(scores.rows, scores.columns);
  const auto rows = static_cast<double>(scores.rows);
  double loss = 0.0;
  for (std::int64_t i = 0; i < scores.rows; ++i) {
    const int digit = digits[static_cast<std::size_t>(i)];
    loss += cross_entropy(scores.row(i).data(), digit, rows, dscores.row(i).data());
  }
  return loss / rows;
}

std::span<float> floats(cuqat::TensorView view) {
  return {static_cast<float*>(view.data()), static_cast<std::size_t>(view.count())};
}

/// One layer's optimizer: a state for each of its parameters.
struct LayerOptimizer {
  Adam weight;
  Adam bias;
  Adam weight_scale;
  Adam activation_scale;

  template <typename Layer>
  void step(Layer& layer, const LayerGradients& gradients, double rate, double scale_rate) {
    // Scales first: weights that have changed would be quantized once more to give them.
    if constexpr (std::is_same_v<Layer, cuqat::QatLayer>) {
      cuqat::QuantParams of_weight = layer.weight_params(kOneThread);
      weight_scale.step_scales(of_weight.scale, gradients.weight_scale, scale_rate);
      layer.set_weight_params(of_weight);
      cuqat::QuantParams of_input = layer.activation_params();
      activation_scale.step_scales(of_input.scale, gradients.activation_scale, scale_rate);
      layer.set_activation_params(of_input);
    }
    weight.step(floats(layer.change_weight()), gradients.weight, rate);
    bias.step(floats(layer.change_bias()), gradients.bias, rate);
  }
};

}  // namespace

std::vector<std::int64_t> order_of(const Training& training, int epoch, std::int64_t images) {
  return shuffled(images, training.seed * 100'000 + static_cast<std::uint64_t>(epoch));
}

double share_of_rate(std::int64_t step, std::int64_t steps) {
  const double done = static_cast<double>(step) / static_cast<double>(steps);
  return 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

template <typename Layer>
std::vector<Epoch> train(Network<Layer>& network, const Digits& digits, const Training& training,
                         const std::function<void()>& after_epoch) {
  std::vector<LayerOptimizer> optimizers(network.layers().size());
  std::vector<Epoch> epochs;
  const std::int64_t batches = digits.train.pixels.rows / kBatch;
  Matrix dscores;
  for (int epoch = 0; epoch < training.epochs; ++epoch) {
    const auto order = order_of(training, epoch, digits.train.pixels.rows);
    double loss = 0.0;
    for (std::int64_t batch = 0; batch < batches; ++batch) {
      const auto first = order.begin() + batch * kBatch;
      const Images images = select(digits.train, {first, first + kBatch});
      loss += softmax_loss(network.forward_train(images.pixels), images.digits, dscores);
      const std::span<const LayerGradients> gradients = network.backward(dscores);
      const double share = share_of_rate(epoch * batches + batch, training.epochs * batches);
      for (std::size_t i = 0; i < optimizers.size(); ++i) {
        optimizers[i].step(network.layers()[i], gradients[i], training.rate * share,
                           training.scale_rate * share);
      }
    }
    epochs.push_back({loss / static_cast<double>(batches), accuracy(network, digits.test)});
    after_epoch();
  }
  return epochs;
}

template <typename Layer>
double accuracy(Network<Layer>& network, const Images& images) {
  const Matrix& scores = network.forward_infer(images.pixels);
  std::int64_t right = 0;
  for (std::int64_t i = 0; i < scores.rows; ++i) {
    right += answer_of(scores.row(i).data()) == images.digits[static_cast<std::size_t>(i)] ? 1 : 0;
  }
  return static_cast<double>(right) / static_cast<double>(scores.rows);
}

Network<cuqat::QatLayer> quantize_network(Network<FloatLayer>& network, const Images& images,
                                          const cuqat::QatLayerConfig& config) {
  network.forward_infer(images.pixels);
  std::vector<cuqat::QatLayer> layers;
  for (std::size_t i = 0; i < network.layers().size(); ++i) {
    const FloatLayer& from = network.layers()[i];
    cuqat::QatLayer layer(from.in_features(), from.out_features(), config);
    std::memcpy(layer.change_weight().data(), from.weight().data(), from.weight().size_bytes());
    std::memcpy(layer.change_bias().data(), from.bias().data(), from.bias().size_bytes());
    const cuqat::ConstTensorView input = network.inputs()[i].view();
    layer.calibrate_from_data({&input, 1}, kOneThread);
    layers.push_back(std::move(layer));
  }
  return Network<cuqat::QatLayer>(std::move(layers));
}

template std::vector<Epoch> train(Network<FloatLayer>&, const Digits&, const Training&,
                                  const std::function<void()>&);
template std::vector<Epoch> train(Network<cuqat::QatLayer>&, const Digits&, const Training&,
                                  const std::function<void()>&);
template double accuracy(Network<FloatLayer>&, const Images&);
template double accuracy(Network<cuqat::QatLayer>&, const Images&);
