// The training loop on a GPU: a step is a CUDA graph, and the host reads a loss and a count an
// epoch.
#pragma once

#include <functional>
#include <vector>

#include "device_network.hpp"
#include "training.hpp"

struct DeviceImages {
  DeviceMatrix pixels;
  DeviceArray<int> digits;
};

DeviceImages copy_to_device(const Images& images, const Device& device);

struct DeviceDigits {
  DeviceImages train;
  DeviceImages test;
};

/// As on the host: the same images in the same order, the same optimizer.
template <typename Layer>
std::vector<Epoch> train(DeviceNetwork<Layer>& network, const DeviceDigits& digits,
                         const Training& training, const std::function<void()>& after_epoch,
                         const Device& device);

template <typename Layer>
double accuracy(DeviceNetwork<Layer>& network, const DeviceImages& images, const Device& device);

/// FP8 on a GPU that does not multiply it (below compute capability 8.9): the numbers that the
/// codes stand for are multiplied.
DeviceNetwork<cuqat::DeviceQatLayer> quantize_network(DeviceNetwork<DeviceFloatLayer>& network,
                                                      const DeviceImages& images,
                                                      cuqat::QatLayerConfig config,
                                                      const Device& device);
