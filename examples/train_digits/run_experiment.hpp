// The experiment, wherever its networks are.
#pragma once

#include <array>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "experiment.hpp"
#include "progress.hpp"

inline constexpr std::array<std::int64_t, 4> kWidths = {kPixels, 48, 48, kClasses};

/// Of Adam, at first. Learned scales take the same steps in every format.
inline constexpr double kRate = 2e-3;
inline constexpr double kScaleRate = 2e-3;

struct NamedFormat {
  const char* name;
  cuqat::Format weight;
  cuqat::Format input;
  double rate;  // Four bits, and the four significant ones of E4M3, leave more to learn again.
};
inline constexpr std::array<NamedFormat, 3> kFormats = {
    NamedFormat{"int8", cuqat::Format::kInt8, cuqat::Format::kInt8, 2e-4},
    NamedFormat{"int4", cuqat::Format::kInt4, cuqat::Format::kInt4, 1e-3},
    NamedFormat{"E4M3", cuqat::Format::kE4M3, cuqat::Format::kE4M3, 1e-3}};

/// A scale for each output of the weights and one for the inputs, all learned. Inputs are never
/// negative here: affine codes are all used, symmetric ones by half.
inline cuqat::QatLayerConfig config_of(const NamedFormat& format) {
  cuqat::QatLayerConfig config;
  config.weight = {.method = cuqat::CalibMethod::kMse, .format = format.weight};
  config.activation = {.method = cuqat::CalibMethod::kMse,
                       .format = format.input,
                       .symmetric = !cuqat::is_integer(format.input)};
  config.learn_weight_scale = true;
  config.learn_activation_scale = true;
  return config;
}

inline std::string name_of_layer(std::size_t i) { return "layer" + std::to_string(i); }

/// Four bytes for each weight and bias.
inline std::int64_t bytes_in_f32() {
  std::int64_t numbers = 0;
  for (std::size_t i = 0; i + 1 < kWidths.size(); ++i) numbers += (kWidths[i] + 1) * kWidths[i + 1];
  return 4 * numbers;
}

/// Codes, and in four bytes each: scales, zero points and bias.
inline std::int64_t bytes_of(const std::vector<cuqat::QuantizedLayer>& layers) {
  std::size_t bytes = 0;
  for (const cuqat::QuantizedLayer& layer : layers) {
    bytes += layer.weight.codes.size() +
             4 * (layer.weight.params.scale.size() + layer.weight.params.zero_point.size() +
                  layer.activation.scale.size() + layer.activation.zero_point.size() +
                  layer.bias.size());
  }
  return static_cast<std::int64_t>(bytes);
}

/// Calls work(0) to work(count - 1) from `threads` threads.
inline void for_each(int count, int threads, const std::function<void(int)>& work) {
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

/// `Place` knows the images, makes networks, and trains, quantizes and tests them.
template <typename Place>
Results run_experiment(const Experiment& experiment, int threads, Place& place) {
  const int seeds = experiment.seeds;
  const int formats = static_cast<int>(kFormats.size());
  Progress progress(seeds * (experiment.epochs + formats * experiment.qat_epochs));
  // f32, then two runs of each format: after training, and with training through it.
  std::vector<Run> runs(static_cast<std::size_t>(seeds * (1 + 2 * formats)));
  const auto run_of = [&](int kind, int seed) -> Run& {
    return runs[static_cast<std::size_t>(kind * seeds + seed)];
  };
  std::vector<std::optional<typename Place::FloatNetwork>> trained(static_cast<std::size_t>(seeds));

  for_each(seeds, threads, [&](int i) {
    const std::uint64_t seed = experiment.first_seed + static_cast<std::uint64_t>(i);
    auto& network = trained[static_cast<std::size_t>(i)];
    network.emplace(place.make(kWidths, seed));
    const Training training{experiment.epochs, kRate, 0.0, seed};
    Run& f32 = run_of(0, i);
    f32 = {.format = "f32", .seed = seed, .bytes = bytes_in_f32()};
    f32.epochs = place.train(*network, training, [&] { progress.advance("f32", seed); });
    f32.accuracy = place.accuracy(*network);
  });

  std::map<std::string, cuqat::QuantizedLayer> int8_layers;
  for_each(seeds * formats, threads, [&](int task) {
    const int i = task % seeds;
    const int f = task / seeds;
    const NamedFormat& format = kFormats[static_cast<std::size_t>(f)];
    const std::uint64_t seed = experiment.first_seed + static_cast<std::uint64_t>(i);
    auto network = place.quantize(*trained[static_cast<std::size_t>(i)], config_of(format));
    const std::int64_t bytes = bytes_of(place.layers(network));
    run_of(1 + 2 * f, i) = {.format = format.name,
                            .how = How::kQuantizedAfter,
                            .seed = seed,
                            .accuracy = place.accuracy(network),
                            .bytes = bytes,
                            .first_epoch = experiment.epochs};
    const Training training{experiment.qat_epochs, format.rate, kScaleRate, seed};
    Run& with_training = run_of(2 + 2 * f, i);
    with_training = {.format = format.name,
                     .how = How::kTrainedThroughQuantization,
                     .seed = seed,
                     .bytes = bytes,
                     .first_epoch = experiment.epochs};
    with_training.epochs =
        place.train(network, training, [&] { progress.advance(format.name, seed); });
    with_training.accuracy = place.accuracy(network);
    if (task == 0) {
      std::vector<cuqat::QuantizedLayer> layers = place.layers(network);
      for (std::size_t layer = 0; layer < layers.size(); ++layer) {
        int8_layers[name_of_layer(layer)] = std::move(layers[layer]);
      }
    }
  });
  return {std::move(runs), std::move(int8_layers)};
}
