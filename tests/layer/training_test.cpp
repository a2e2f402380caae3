// Training as a whole: steps of gradient descent on weights, bias, scales and zero points.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <thread>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/forward_oracle.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 40;
constexpr std::int64_t kIn = 12;
constexpr std::int64_t kOut = 5;

struct Training {
  QatLayer layer;
  std::vector<double> losses;
};

/// Full-batch descent to the outputs of an unquantized layer. `options_of_step` says where each
/// step runs.
Training train(QatLayerConfig config, DType dtype, int num_steps,
               const std::function<HostOptions(int)>& options_of_step) {
  config.learn_weight_scale = true;
  config.learn_activation_scale = true;
  Training training{some_layer(config, dtype, kIn, kOut), {}};
  QatLayer& layer = training.layer;
  const Numbers x = normal_numbers(dtype, Shape{kRows, kIn}, 0.8, 41, 0.3);
  const std::vector<double> x_values = x.values();
  const std::vector<double> teacher = normal_values(kIn * kOut, 0.4, 42);
  std::vector<double> target;
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t j = 0; j < kOut; ++j) {
      double sum = 0.5;
      for (std::size_t l = 0; l < kIn; ++l) sum += x_values[i * kIn + l] * teacher[j * kIn + l];
      target.push_back(sum);
    }
  }
  QatLayer::Saved saved;
  for (int step = 0; step < num_steps; ++step) {
    const HostOptions options = options_of_step(step);
    const std::vector<double> y = trained(layer, x, saved, options).values();
    std::vector<double> dy(y.size());
    double loss = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double error = y[i] - target[i];
      loss += error * error / static_cast<double>(y.size());
      dy[i] = 2.0 * error / static_cast<double>(kRows);
    }
    training.losses.push_back(loss);
    Gradients found(layer, x);
    const Numbers gradient(dtype, Shape{kRows, kOut}, dy);
    layer.backward(gradient.view(), saved, found.views(), options);
    const auto descend = [](TensorView parameters, const Numbers& by) {
      std::vector<double> values = values_of(parameters);
      const std::vector<double> slopes = by.values();
      for (std::size_t i = 0; i < values.size(); ++i) values[i] -= 0.05 * slopes[i];
      fill(parameters, values);
    };
    QuantParams of_w = layer.weight_params(options);
    for (std::size_t i = 0; i < of_w.scale.size(); ++i) {
      of_w.scale[i] = std::max(of_w.scale[i] - 1e-4 * found.weight_dscale[i], 1e-4);
    }
    QuantParams of_x = layer.activation_params();
    of_x.scale[0] = std::max(of_x.scale[0] - 1e-4 * found.activation_dscale[0], 1e-4);
    descend(layer.change_weight(), found.dweight);
    descend(layer.change_bias(), found.dbias);
    layer.set_weight_params(of_w);
    layer.set_activation_params(of_x);
  }
  return training;
}

std::vector<LayerCase> cases() {
  std::vector<LayerCase> all;
  for (const DType dtype : kDTypes) {
    for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
      all.push_back(layer_case(options_of(Format::kInt4), Granularity::channel(0),
                               options_of(Format::kInt8, false), product, dtype));
      if (product == QatProduct::kCodes && dtype == DType::kF64) continue;
      all.push_back(layer_case(options_of(Format::kE4M3), Granularity::channel(0),
                               options_of(Format::kE4M3), product, dtype));
    }
  }
  return all;
}

class TrainingOf : public testing::TestWithParam<LayerCase> {};

TEST_P(TrainingOf, LearnsALinearFunction) {
  const auto& [name, config, dtype] = GetParam();
  for (const char* const backend : kBackends) {
    Training training = train(config, dtype, 200, [&](int) { return on(backend); });
    // Of the first loss, what quantization cannot express is left: a twentieth at most.
    EXPECT_LT(training.losses.back(), 0.05 * training.losses.front()) << backend;
    const Numbers x = some_input(dtype, kRows, kIn);
    const Numbers y = trained(training.layer, x, on(backend));
    EXPECT_EQ(inferred(training.layer, x, on(backend)).bytes, y.bytes);
    expect_forward(training.layer, x, y);
  }
}

/// The same steps again, wherever f64 runs; and elsewhere on the same backend with as many threads.
TEST_P(TrainingOf, HasTheSameBitsAgain) {
  const auto& [name, config, dtype] = GetParam();
  const auto bits = [](const Training& training) {
    Bytes all = bytes_of_view(training.layer.weight());
    const Bytes bias = bytes_of_view(training.layer.bias());
    all.insert(all.end(), bias.begin(), bias.end());
    return all;
  };
  const Training cpu = train(config, dtype, 20, [](int) { return on("cpu", 2); });
  EXPECT_EQ(bits(train(config, dtype, 20, [](int) { return on("cpu", 2); })), bits(cpu));
  if (dtype != DType::kF64) return;
  const Training reference = train(config, dtype, 20, [](int) { return on("reference"); });
  EXPECT_EQ(bits(reference), bits(cpu));
  EXPECT_EQ(reference.losses, cpu.losses);
  // One layer, now here, now there.
  const Training both = train(config, dtype, 20, [](int step) {
    return step % 3 == 0 ? on("reference") : on("cpu", step % 3 == 1 ? 1 : 7);
  });
  EXPECT_EQ(bits(both), bits(cpu));
}

INSTANTIATE_TEST_SUITE_P(Layer, TrainingOf, testing::ValuesIn(cases()), case_name);

TEST(SeparateLayers, AreIndependentOnTheirThreads) {
  const LayerCase of = cases().front();
  const auto work = [&](Training* result) {
    result->losses = train(of.config, of.dtype, 20, [](int) { return on("cpu"); }).losses;
  };
  const QatLayer any(1, 1);
  Training expected{any, {}};
  work(&expected);
  std::vector<Training> results(4, Training{any, {}});
  std::vector<std::thread> threads;
  for (Training& result : results) threads.emplace_back(work, &result);
  for (std::thread& thread : threads) thread.join();
  for (const Training& result : results) EXPECT_EQ(result.losses, expected.losses);
}

/// Past what int32 holds: every code -128 or 127.
TEST(DeepLayers, AreExact) {
  for (const std::int64_t in : {131'071, 131'072, 140'001}) {
    QatLayerConfig config;
    config.weight.symmetric = false;
    config.activation.symmetric = false;
    QatLayer layer(in, 2, config);
    const auto count = static_cast<std::size_t>(in);
    std::vector<double> weight(2 * count, -1.0);
    weight[0] = weight[count] = 0.0;
    fill(layer.change_weight(), weight);
    QuantParams of_x{{}, {}, {1.0 / 255.0}, {127}};
    layer.set_activation_params(of_x);
    const Numbers x(DType::kF32, Shape{2, in}, std::vector<double>(2 * count, -5.0));
    const Bytes expected = integer_product(layer, x);
    for (const char* const backend : kBackends) {
      EXPECT_EQ(trained(layer, x, on(backend)).bytes, expected) << backend << ", " << in;
      EXPECT_EQ(inferred(layer, x, on(backend, 2)).bytes, expected) << backend << ", " << in;
    }
  }
}

}  // namespace
}  // namespace cuqat::test
