#include "experiment.hpp"

#include "run_experiment.hpp"

namespace {

struct OnHost {
  using FloatNetwork = Network<FloatLayer>;
  using QatNetwork = Network<cuqat::QatLayer>;

  const Digits& digits;

  FloatNetwork make(std::span<const std::int64_t> widths, std::uint64_t seed) const {
    return make_network(widths, seed);
  }

  /// Of a copy: other threads quantize the same network.
  QatNetwork quantize(FloatNetwork network, const cuqat::QatLayerConfig& config) const {
    return quantize_network(network, digits.train, config);
  }

  template <typename Layer>
  std::vector<Epoch> train(Network<Layer>& network, const Training& training,
                           const std::function<void()>& after_epoch) const {
    return ::train(network, digits, training, after_epoch);
  }

  template <typename Layer>
  double accuracy(Network<Layer>& network) const {
    return ::accuracy(network, digits.test);
  }

  std::vector<cuqat::QuantizedLayer> layers(QatNetwork& network) const {
    std::vector<cuqat::QuantizedLayer> result;
    for (cuqat::QatLayer& layer : network.layers()) result.push_back(layer.quantized(kOneThread));
    return result;
  }
};

}  // namespace

Results run(const Experiment& experiment, const Digits& digits) {
  OnHost host{digits};
  return run_experiment(experiment, experiment.threads, host);
}

double accuracy(const std::map<std::string, cuqat::QuantizedLayer>& layers, const Images& images) {
  std::vector<cuqat::QatLayer> loaded;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    loaded.push_back(
        cuqat::QatLayer::of_quantized(layers.at(name_of_layer(i)), config_of(kFormats[0])));
  }
  Network<cuqat::QatLayer> network(std::move(loaded));
  return accuracy(network, images);
}
