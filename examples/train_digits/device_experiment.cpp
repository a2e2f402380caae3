#include "device_training.hpp"
#include "run_experiment.hpp"

namespace {

struct OnDevice {
  using FloatNetwork = DeviceNetwork<DeviceFloatLayer>;
  using QatNetwork = DeviceNetwork<cuqat::DeviceQatLayer>;

  Device device;
  DeviceDigits digits;

  explicit OnDevice(const Digits& host)
      : digits{copy_to_device(host.train, device), copy_to_device(host.test, device)} {}

  FloatNetwork make(std::span<const std::int64_t> widths, std::uint64_t seed) const {
    return make_network(widths, seed, kBatch, device);
  }

  QatNetwork quantize(FloatNetwork& network, const cuqat::QatLayerConfig& config) const {
    return quantize_network(network, digits.train, config, device);
  }

  template <typename Layer>
  std::vector<Epoch> train(DeviceNetwork<Layer>& network, const Training& training,
                           const std::function<void()>& after_epoch) const {
    return ::train(network, digits, training, after_epoch, device);
  }

  template <typename Layer>
  double accuracy(DeviceNetwork<Layer>& network) const {
    return ::accuracy(network, digits.test, device);
  }

  std::vector<cuqat::QuantizedLayer> layers(QatNetwork& network) const {
    std::vector<cuqat::QuantizedLayer> result;
    for (cuqat::DeviceQatLayer& layer : network.layers()) {
      result.push_back(layer.quantized(device.context, device.stream.get()));
    }
    return result;
  }
};

}  // namespace

Results run_on_device(const Experiment& experiment, const Digits& digits) {
  OnDevice place(digits);
  // A context and its stream serve one thread.
  return run_experiment(experiment, 1, place);
}
