// The training loop, and what is measured.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "digits.hpp"
#include "network.hpp"

inline constexpr std::int64_t kBatch = 32;

struct Training {
  int epochs;
  double rate;         // Of weights and biases, at first; it falls to 0 along a cosine.
  double scale_rate;   // Of learned scales, relative to them; the same.
  std::uint64_t seed;  // Of the order of the images.
};

struct Epoch {
  double loss;      // Mean over the training images, as they were met.
  double accuracy;  // Share of the test images, after the epoch. Nothing is chosen by it.
};

/// In which order an epoch meets `images` images. What does not fill a batch at the end is left
/// out.
std::vector<std::int64_t> order_of(const Training& training, int epoch, std::int64_t images);

/// What share of the first rates is left at step `step` of `steps`.
double share_of_rate(std::int64_t step, std::int64_t steps);

/// Trains for a fixed number of epochs.
template <typename Layer>
std::vector<Epoch> train(Network<Layer>& network, const Digits& digits, const Training& training,
                         const std::function<void()>& after_epoch);

/// Share of the images whose highest score is that of their digit.
template <typename Layer>
double accuracy(Network<Layer>& network, const Images& images);

/// Quantization after training: weights as they are, scales from the images that it was trained on.
Network<cuqat::QatLayer> quantize_network(Network<FloatLayer>& network, const Images& images,
                                          const cuqat::QatLayerConfig& config);
