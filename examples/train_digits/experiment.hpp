// Networks in every format and from every seed: trained in f32, quantized, trained on.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "cuqat/cuqat.hpp"
#include "digits.hpp"
#include "training.hpp"

struct Experiment {
  int seeds = 5;
  std::uint64_t first_seed = 0;
  int epochs = 100;     // In f32.
  int qat_epochs = 25;  // Through quantization, after those.
  int threads = 2;      // Networks that are trained side by side on the host. Changes no bit.
};

/// How a network came to its format.
enum class How { kTrained, kQuantizedAfter, kTrainedThroughQuantization };

/// One network.
struct Run {
  const char* format = "";
  How how = How::kTrained;
  std::uint64_t seed = 0;
  double accuracy = 0.0;  // On the test images.
  std::int64_t bytes = 0;
  int first_epoch = 0;
  std::vector<Epoch> epochs{};  // From first_epoch on; none of one quantized after training.
};

struct Results {
  std::vector<Run> runs;  // By kind, then by seed.
  /// Of the first seed: the int8 network that was trained through quantization.
  std::map<std::string, cuqat::QuantizedLayer> int8_layers;
};

Results run(const Experiment& experiment, const Digits& digits);

/// The same on the current GPU, one network after the other.
/// @throws cuqat::BackendUnavailable where there is none, or this program has no code for it.
Results run_on_device(const Experiment& experiment, const Digits& digits);

/// The accuracy of layers as save_layers and load_layers keep them.
double accuracy(const std::map<std::string, cuqat::QuantizedLayer>& layers, const Images& images);
