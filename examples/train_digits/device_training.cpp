#include "device_training.hpp"

#include <optional>
#include <type_traits>
#include <utility>

#include "device_steps.hpp"

namespace {

/// Work that can be put on a stream again and again by one call.
class Graph {
 public:
  /// What `put_work` puts on the stream, which is not run yet.
  Graph(cudaStream_t stream, const std::function<void()>& put_work) {
    cudaGraph_t graph = nullptr;
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
    try {
      put_work();
    } catch (...) {
      cudaStreamEndCapture(stream, &graph);
      cudaGraphDestroy(graph);
      throw;
    }
    check(cudaStreamEndCapture(stream, &graph));
    const cudaError_t status = cudaGraphInstantiate(&launchable_, graph, 0);
    cudaGraphDestroy(graph);
    check(status);
  }
  ~Graph() { cudaGraphExecDestroy(launchable_); }
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;

  void launch(cudaStream_t stream) const { check(cudaGraphLaunch(launchable_, stream)); }

 private:
  cudaGraphExec_t launchable_ = nullptr;
};

float* floats(const cuqat::DeviceTensorView& view) { return static_cast<float*>(view.data()); }

/// One layer's optimizer: a state for each of its parameters.
class DeviceLayerOptimizer {
 public:
  DeviceLayerOptimizer(const DeviceLayerGradients& gradients, const Device& device)
      : weight_(states(gradients.weight, device)),
        bias_(states(gradients.bias, device)),
        weight_scale_(states(gradients.weight_scale, device)),
        activation_scale_(states(gradients.activation_scale, device)) {}

  template <typename Layer>
  void step(const on_device::Plan& plan, Layer& layer, const DeviceLayerGradients& gradients,
            cudaStream_t stream) {
    if constexpr (std::is_same_v<Layer, cuqat::DeviceQatLayer>) {
      on_device::adam_step_scales(plan, floats(layer.change_weight_scale()),
                                  gradients.weight_scale.data(), weight_scale_.data(),
                                  weight_scale_.size(), stream);
      on_device::adam_step_scales(plan, floats(layer.change_activation_scale()),
                                  gradients.activation_scale.data(), activation_scale_.data(), 1,
                                  stream);
    }
    on_device::adam_step(plan, floats(layer.change_weight()), gradients.weight.data(),
                         weight_.data(), weight_.size(), stream);
    on_device::adam_step(plan, floats(layer.change_bias()), gradients.bias.data(), bias_.data(),
                         bias_.size(), stream);
  }

 private:
  static DeviceArray<AdamState> states(const DeviceArray<float>& gradient, const Device& device) {
    if (gradient.size() == 0) return {};
    DeviceArray<AdamState> result(gradient.size());
    result.clear(device);
    return result;
  }

  DeviceArray<AdamState> weight_;
  DeviceArray<AdamState> bias_;
  DeviceArray<AdamState> weight_scale_;
  DeviceArray<AdamState> activation_scale_;
};

/// The memory of a Plan.
struct PlanMemory {
  DeviceArray<std::int64_t> order;
  DeviceArray<on_device::Rates> rates;
  DeviceArray<std::int64_t> step{1};
  DeviceArray<double> image_losses{kBatch};
  DeviceArray<double> loss{1};

  PlanMemory(const Training& training, std::int64_t images, const Device& device) {
    const std::int64_t batches = images / kBatch;
    const std::int64_t steps = training.epochs * batches;
    std::vector<std::int64_t> orders;
    for (int epoch = 0; epoch < training.epochs; ++epoch) {
      const std::vector<std::int64_t> of_epoch = order_of(training, epoch, images);
      orders.insert(orders.end(), of_epoch.begin(), of_epoch.begin() + batches * kBatch);
    }
    std::vector<on_device::Rates> of_steps;
    for (std::int64_t i = 0; i < steps; ++i) {
      const double share = share_of_rate(i, steps);
      of_steps.push_back({training.rate * share, training.scale_rate * share,
                          adam_correction(static_cast<int>(i + 1))});
    }
    order = copy_to_device(orders, device);
    rates = copy_to_device(of_steps, device);
    step.clear(device);
  }

  on_device::Plan plan() const {
    return {order.data(), rates.data(), kBatch, step.data(), image_losses.data(), loss.data()};
  }
};

}  // namespace

DeviceImages copy_to_device(const Images& images, const Device& device) {
  return {DeviceMatrix(images.pixels.view(), device), copy_to_device(images.digits, device)};
}

template <typename Layer>
std::vector<Epoch> train(DeviceNetwork<Layer>& network, const DeviceDigits& digits,
                         const Training& training, const std::function<void()>& after_epoch,
                         const Device& device) {
  const cudaStream_t stream = device.stream.get();
  const DeviceImages& images = digits.train;
  PlanMemory memory(training, images.pixels.rows, device);
  const on_device::Plan plan = memory.plan();
  std::vector<DeviceLayerOptimizer> optimizers;
  for (const DeviceLayerGradients& gradients : network.gradients()) {
    optimizers.emplace_back(gradients, device);
  }

  const auto step = [&] {
    // A layer quantizes its weights when they have changed: says so within the graph too.
    for (Layer& layer : network.layers()) static_cast<void>(layer.change_weight());
    DeviceMatrix& batch = network.batch();
    on_device::take_images(plan, images.pixels.values.data(), batch.columns, batch.values.data(),
                           stream);
    const DeviceMatrix& scores = network.forward_train(device);
    on_device::cross_entropy(plan, scores.values.data(), images.digits.data(),
                             network.dscores().values.data(), stream);
    network.backward(device);
    for (std::size_t i = 0; i < optimizers.size(); ++i) {
      optimizers[i].step(plan, network.layers()[i], network.gradients()[i], stream);
    }
    on_device::end_step(plan, stream);
  };

  std::optional<Graph> graph;
  std::vector<Epoch> epochs;
  const std::int64_t batches = images.pixels.rows / kBatch;
  for (int epoch = 0; epoch < training.epochs; ++epoch) {
    memory.loss.clear(device);
    for (std::int64_t batch = 0; batch < batches; ++batch) {
      if (graph) {
        graph->launch(stream);
        continue;
      }
      step();  // The first allocates, and prepares products.
      graph.emplace(stream, step);
    }
    const double loss = copy_to_host(memory.loss, device)[0];
    epochs.push_back({loss / static_cast<double>(batches), accuracy(network, digits.test, device)});
    after_epoch();
  }
  return epochs;
}

template <typename Layer>
double accuracy(DeviceNetwork<Layer>& network, const DeviceImages& images, const Device& device) {
  // After a graph's launches, of which the layers know nothing.
  for (Layer& layer : network.layers()) static_cast<void>(layer.change_weight());
  const DeviceMatrix& scores = network.forward_infer(images.pixels, device);
  DeviceArray<unsigned long long> right(1);
  right.clear(device);
  on_device::count_right(scores.values.data(), images.digits.data(), scores.rows, right.data(),
                         device.stream.get());
  return static_cast<double>(copy_to_host(right, device)[0]) / static_cast<double>(scores.rows);
}

DeviceNetwork<cuqat::DeviceQatLayer> quantize_network(DeviceNetwork<DeviceFloatLayer>& network,
                                                      const DeviceImages& images,
                                                      cuqat::QatLayerConfig config,
                                                      const Device& device) {
  const cudaStream_t stream = device.stream.get();
  int major = 0;
  int minor = 0;
  check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device.context.device()));
  check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device.context.device()));
  if (!cuqat::is_integer(config.weight.format) && 10 * major + minor < 89) {
    config.product = cuqat::QatProduct::kNumbers;
  }

  network.forward_infer(images.pixels, device);
  std::vector<cuqat::DeviceQatLayer> layers;
  for (std::size_t i = 0; i < network.layers().size(); ++i) {
    const DeviceFloatLayer& from = network.layers()[i];
    cuqat::DeviceQatLayer layer(from.in_features(), from.out_features(), config, 0, device.context);
    check(cudaMemcpyAsync(layer.change_weight().data(), from.weight().data(),
                          from.weight().size_bytes(), cudaMemcpyDeviceToDevice, stream));
    check(cudaMemcpyAsync(layer.change_bias().data(), from.bias().data(), from.bias().size_bytes(),
                          cudaMemcpyDeviceToDevice, stream));
    layer.calibrate_from_data({&network.inputs()[i], 1}, device.context, stream);
    layers.push_back(std::move(layer));
  }
  return {std::move(layers), kBatch};
}

template std::vector<Epoch> train(DeviceNetwork<DeviceFloatLayer>&, const DeviceDigits&,
                                  const Training&, const std::function<void()>&, const Device&);
template std::vector<Epoch> train(DeviceNetwork<cuqat::DeviceQatLayer>&, const DeviceDigits&,
                                  const Training&, const std::function<void()>&, const Device&);
template double accuracy(DeviceNetwork<DeviceFloatLayer>&, const DeviceImages&, const Device&);
template double accuracy(DeviceNetwork<cuqat::DeviceQatLayer>&, const DeviceImages&, const Device&);
