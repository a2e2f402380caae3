#include "experiment.hpp"

#include <array>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

#include "progress.hpp"

namespace {

using cuqat::CalibMethod;
using cuqat::Format;

constexpr std::array<std::int64_t, 4> kWidths = {kPixels, 48, 48, kClasses};

/// Of Adam, at first. Learned scales take the same steps in every format.
constexpr double kRate = 2e-3;
constexpr double kScaleRate = 2e-3;

struct NamedFormat {
  const char* name;
  Format weight;
  Format input;
  double rate;  // Four bits, and the four significant ones of E4M3, leave more to learn again.
};
constexpr std::array<NamedFormat, 3> kFormats = {
    NamedFormat{"int8", Format::kInt8, Format::kInt8, 2e-4},
    NamedFormat{"int4", Format::kInt4, Format::kInt4, 1e-3},
    NamedFormat{"E4M3", Format::kE4M3, Format::kE4M3, 1e-3}};

/// A scale for each output of the weights and one for the inputs, all learned. Inputs are never
/// negative here: affine codes are all used, symmetric ones by half.
cuqat::QatLayerConfig config_of(const NamedFormat& format) {
  cuqat::QatLayerConfig config;
  config.weight = {.method = CalibMethod::kMse, .format = format.weight};
  config.activation = {.method = CalibMethod::kMse,
                       .format = format.input,
                       .symmetric = !cuqat::is_integer(format.input)};
  config.learn_weight_scale = true;
  config.learn_activation_scale = true;
  return config;
}

std::int64_t bytes_of(Network<FloatLayer>& network) {
  std::size_t bytes = 0;
  for (const FloatLayer& layer : network.layers()) {
    bytes += layer.weight().size_bytes() + layer.bias().size_bytes();
  }
  return static_cast<std::int64_t>(bytes);
}

/// Codes, and in four bytes each: scales, zero points and bias.
std::int64_t bytes_of(Network<cuqat::QatLayer>& network) {
  std::size_t bytes = 0;
  for (cuqat::QatLayer& layer : network.layers()) {
    const cuqat::QuantizedLayer parts = layer.quantized(kOneThread);
    bytes += parts.weight.codes.size() +
             4 * (parts.weight.params.scale.size() + parts.weight.params.zero_point.size() +
                  parts.activation.scale.size() + parts.activation.zero_point.size() +
                  parts.bias.size());
  }
  return static_cast<std::int64_t>(bytes);
}

std::string name_of_layer(std::size_t i) { return "layer" + std::to_string(i); }

/// Calls work(0) to work(count - 1) from `threads` threads.
void for_each(int count, int threads, const std::function<void(int)>& work) {
  std::atomic<int> next = 0;
  std::exception_ptr error;
  std::mutex mutex;
  const auto run_some = [&] {
    try {
      for (int i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      error = std::current_exception();
      next = count;
    }
  };
  {
    std::vector<std::jthread> helpers;
    for (int i = 1; i < threads; ++i) helpers.emplace_back(run_some);
    run_some();
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace

Results run(const Experiment& experiment, const Digits& digits) {
  const int seeds = experiment.seeds;
  const int formats = static_cast<int>(kFormats.size());
  Progress progress(seeds * (experiment.epochs + formats * experiment.qat_epochs));
  // f32, then two runs of each format: after training, and with training through it.
  std::vector<Run> runs(static_cast<std::size_t>(seeds * (1 + 2 * formats)));
  const auto run_of = [&](int kind, int seed) -> Run& {
    return runs[static_cast<std::size_t>(kind * seeds + seed)];
  };
  std::vector<std::vector<FloatLayer>> trained(static_cast<std::size_t>(seeds));

  for_each(seeds, experiment.threads, [&](int i) {
    const std::uint64_t seed = experiment.first_seed + static_cast<std::uint64_t>(i);
    Network<FloatLayer> network = make_network(kWidths, seed);
    const Training training{experiment.epochs, kRate, 0.0, seed};
    Run& f32 = run_of(0, i);
    f32 = {.format = "f32", .seed = seed, .bytes = bytes_of(network)};
    f32.epochs = train(network, digits, training, [&] { progress.advance("f32", seed); });
    f32.accuracy = accuracy(network, digits.test);
    trained[static_cast<std::size_t>(i)] = std::move(network.layers());
  });

  std::map<std::string, cuqat::QuantizedLayer> int8_layers;
  for_each(seeds * formats, experiment.threads, [&](int task) {
    const int i = task % seeds;
    const int f = task / seeds;
    const NamedFormat& format = kFormats[static_cast<std::size_t>(f)];
    const std::uint64_t seed = experiment.first_seed + static_cast<std::uint64_t>(i);
    Network<FloatLayer> in_f32(trained[static_cast<std::size_t>(i)]);
    auto network = quantize_network(in_f32, digits.train, config_of(format));
    run_of(1 + 2 * f, i) = {.format = format.name,
                            .how = How::kQuantizedAfter,
                            .seed = seed,
                            .accuracy = accuracy(network, digits.test),
                            .bytes = bytes_of(network),
                            .first_epoch = experiment.epochs};
    const Training training{experiment.qat_epochs, format.rate, kScaleRate, seed};
    Run& with_training = run_of(2 + 2 * f, i);
    with_training = {.format = format.name,
                     .how = How::kTrainedThroughQuantization,
                     .seed = seed,
                     .bytes = bytes_of(network),
                     .first_epoch = experiment.epochs};
    with_training.epochs =
        train(network, digits, training, [&] { progress.advance(format.name, seed); });
    with_training.accuracy = accuracy(network, digits.test);
    if (task == 0) {
      for (std::size_t layer = 0; layer < network.layers().size(); ++layer) {
        int8_layers[name_of_layer(layer)] = network.layers()[layer].quantized(kOneThread);
      }
    }
  });
  return {std::move(runs), std::move(int8_layers)};
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
