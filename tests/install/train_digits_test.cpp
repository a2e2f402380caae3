// examples/train_digits on a GPU, here the executor, beside the same on the host. Products of real
// numbers are summed in another order there, so that trained numbers differ in their last digits;
// what is integer does not.
#include <gtest/gtest.h>

#include <array>
#include <cstddef>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "device_training.hpp"
#include "simt/executor.hpp"
#include "training.hpp"

namespace {

constexpr std::array<std::int64_t, 3> kWidths = {kPixels, 16, kClasses};
constexpr std::int64_t kTrained = 7 * kBatch + 3;  // A batch is never filled.
constexpr int kEpochs = 6;
constexpr std::uint64_t kSeed = 5;

Images first(const Images& images, std::int64_t count) {
  std::vector<std::int64_t> rows(static_cast<std::size_t>(count));
  std::iota(rows.begin(), rows.end(), 0);
  return select(images, rows);
}

cuqat::QatLayerConfig config_of(cuqat::Format format) {
  cuqat::QatLayerConfig config;
  config.weight.format = config.activation.format = format;
  config.activation.symmetric = !cuqat::is_integer(format);
  config.learn_weight_scale = config.learn_activation_scale = true;
  return config;
}

void nothing() {}

std::vector<std::byte> bytes_of(const cuqat::QuantizedLayer& layer) {
  std::vector<std::byte> bytes;
  const auto append = [&bytes](const auto& values) {
    const auto of_values = std::as_bytes(std::span(values));
    bytes.insert(bytes.end(), of_values.begin(), of_values.end());
  };
  append(layer.weight.codes);
  append(layer.weight.params.scale);
  append(layer.activation.scale);
  append(layer.activation.zero_point);
  append(layer.bias);
  return bytes;
}

class TrainDigits : public ::testing::Test {
 protected:
  TrainDigits() {
    simt::reset();
    const Digits all = load_digits(DIGITS_FILE, 0);
    host_ = {first(all.train, kTrained), first(all.test, 100)};
    device_digits_ = {copy_to_device(host_.train, device_), copy_to_device(host_.test, device_)};
  }

  DeviceNetwork<DeviceFloatLayer> float_network() const {
    return make_network(kWidths, kSeed, kBatch, device_);
  }

  /// Of the weights that training begins with.
  DeviceNetwork<cuqat::DeviceQatLayer> qat_network(const cuqat::QatLayerConfig& config) const {
    DeviceNetwork<DeviceFloatLayer> in_f32 = float_network();
    return quantize_network(in_f32, device_digits_.train, config, device_);
  }

  template <typename Layer>
  std::vector<Epoch> train_on_device(DeviceNetwork<Layer>& network) const {
    return train(network, device_digits_, kTraining, nothing, device_);
  }

  std::vector<cuqat::QuantizedLayer> quantized(
      DeviceNetwork<cuqat::DeviceQatLayer>& network) const {
    std::vector<cuqat::QuantizedLayer> layers;
    for (cuqat::DeviceQatLayer& layer : network.layers()) {
      layers.push_back(layer.quantized(device_.context, device_.stream.get()));
    }
    return layers;
  }

  /// The losses are close, fall, and the test images are told apart as well.
  static void expect_as_host(const std::vector<Epoch>& device, const std::vector<Epoch>& host,
                             double tolerance) {
    ASSERT_EQ(device.size(), host.size());
    for (std::size_t i = 0; i < host.size(); ++i) {
      EXPECT_NEAR(device[i].loss, host[i].loss, tolerance * host[i].loss);
      EXPECT_NEAR(device[i].accuracy, host[i].accuracy, 0.02);
    }
    EXPECT_LT(device.back().loss, 0.8 * device.front().loss);
  }

  static constexpr Training kTraining{kEpochs, 2e-2, 2e-3, kSeed};
  Device device_;
  Digits host_;
  DeviceDigits device_digits_;
};

TEST_F(TrainDigits, InF32TheLossesAreTheHosts) {
  Network<FloatLayer> host = make_network(kWidths, kSeed);
  DeviceNetwork<DeviceFloatLayer> network = float_network();
  expect_as_host(train_on_device(network), train(host, host_, kTraining, nothing), 1e-6);
  EXPECT_EQ(simt::fault(), "");
}

TEST_F(TrainDigits, ThroughQuantizationTheLossesAreTheHosts) {
  for (const auto format : {cuqat::Format::kInt8, cuqat::Format::kInt4, cuqat::Format::kE4M3}) {
    SCOPED_TRACE(cuqat::to_string(format));
    Network<FloatLayer> in_f32 = make_network(kWidths, kSeed);
    auto host = quantize_network(in_f32, host_.train, config_of(format));
    auto network = qat_network(config_of(format));
    // A last digit may make another code of a number between two.
    expect_as_host(train_on_device(network), train(host, host_, kTraining, nothing), 1e-4);
    EXPECT_EQ(simt::fault(), "");
  }
}

TEST_F(TrainDigits, WeightsQuantizedAfterTrainingAreTheHosts) {
  Network<FloatLayer> in_f32 = make_network(kWidths, kSeed);
  auto host = quantize_network(in_f32, host_.train, config_of(cuqat::Format::kInt4));
  auto network = qat_network(config_of(cuqat::Format::kInt4));
  const auto layers = quantized(network);
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const cuqat::QuantizedLayer of_host = host.layers()[i].quantized(kOneThread);
    EXPECT_EQ(layers[i].weight.codes, of_host.weight.codes);
    EXPECT_EQ(layers[i].weight.params.scale, of_host.weight.params.scale);
  }
  EXPECT_EQ(layers[0].activation.scale, host.layers()[0].activation_params().scale);
}

TEST_F(TrainDigits, OfIntegersTheHostGivesTheSameAnswers) {
  auto network = qat_network(config_of(cuqat::Format::kInt8));
  const double after_training = train_on_device(network).back().accuracy;
  std::vector<cuqat::QatLayer> layers;
  for (const cuqat::DeviceQatLayer& layer : network.layers()) {
    layers.push_back(layer.to_host(device_.context, device_.stream.get()));
  }
  Network<cuqat::QatLayer> host(std::move(layers));
  EXPECT_EQ(accuracy(host, host_.test), after_training);
  const DeviceMatrix& scores = network.forward_infer(device_digits_.test.pixels, device_);
  EXPECT_EQ(copy_to_host(scores.values, device_), host.forward_infer(host_.test.pixels).values);
}

TEST_F(TrainDigits, HasTheSameBitsInEveryRunAndOrderOfThreads) {
  const auto trained = [&] {
    auto network = qat_network(config_of(cuqat::Format::kInt8));
    const std::vector<Epoch> epochs = train_on_device(network);
    std::vector<std::byte> bytes;
    for (const cuqat::QuantizedLayer& layer : quantized(network)) {
      const std::vector<std::byte> of_layer = bytes_of(layer);
      bytes.insert(bytes.end(), of_layer.begin(), of_layer.end());
    }
    return std::pair(epochs.back().loss, bytes);
  };
  const auto once = trained();
  simt::set_order({simt::Order::Kind::kReverse});
  EXPECT_EQ(trained(), once);
  simt::set_order({simt::Order::Kind::kWarpInterleaved});
  EXPECT_EQ(trained(), once);
}

TEST_F(TrainDigits, AllStepsButTheFirstAreLaunchesOfAGraph) {
  auto network = qat_network(config_of(cuqat::Format::kInt8));
  simt::reset_counters();
  train_on_device(network);
  EXPECT_EQ(simt::counters().graph_launches, kTrained / kBatch * kEpochs - 1);
}

TEST_F(TrainDigits, AGpuWithoutFp8MultipliesTheNumbers) {
  simt::set_compute_capability(80);
  auto network = qat_network(config_of(cuqat::Format::kE4M3));
  EXPECT_EQ(network.layers()[0].config().product, cuqat::QatProduct::kNumbers);
  const std::vector<Epoch> epochs = train_on_device(network);
  simt::set_compute_capability(90);
  EXPECT_LT(epochs.back().loss, 0.8 * epochs.front().loss);
}

}  // namespace
