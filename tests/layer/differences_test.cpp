// Gradients against central differences of what the layer computes. Where a number moves by whole
// steps of its quantizer, and nothing is clipped, the layer is linear and the difference exact.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <optional>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 4;
constexpr std::int64_t kIn = 6;
constexpr std::int64_t kOut = 5;
constexpr double kStep = 0x1p-5;  // Of both quantizers.

/// An f64 layer of steps that are powers of two, whose codes stay two steps inside the range.
struct LinearCase {
  QatLayerConfig config;
  std::vector<double> x = normal_values(kRows * kIn, 0.3, 1);
  std::vector<double> w = normal_values(kIn * kOut, 0.3, 2);
  std::vector<double> bias = normal_values(kOut, 0.3, 3);
  Numbers dy = normal_numbers(DType::kF64, Shape{kRows, kOut}, 1.0, 4);

  explicit LinearCase(QatProduct product) {
    config.weight_granularity = Granularity::tensor();
    config.product = product;
    config.weight_dtype = DType::kF64;
  }

  [[nodiscard]] QatLayer layer() const {
    QatLayer layer(kIn, kOut, config);
    fill(layer.change_weight(), w);
    fill(layer.change_bias(), bias);
    QuantParams params;
    params.quantizer.narrow_range = true;
    params.scale = {kStep};
    layer.set_weight_params(params);
    layer.set_activation_params(params);
    return layer;
  }

  [[nodiscard]] Numbers input() const { return {DType::kF64, Shape{kRows, kIn}, x}; }

  /// sum of dy times the layer's output.
  [[nodiscard]] double loss(const HostOptions& options) const {
    QatLayer made = layer();
    const std::vector<double> y = trained(made, input(), options).values();
    const std::vector<double> weights = dy.values();
    double sum = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += weights[i] * y[i];
    return sum;
  }
};

/// Expects each gradient to be the difference of the loss where `values` of the case move by
/// `step`.
void expect_differences(LinearCase of, std::vector<double> LinearCase::*values, double step,
                        const std::vector<double>& gradient, const HostOptions& options) {
  const std::vector<double> middle = of.*values;
  ASSERT_EQ(gradient.size(), middle.size());
  for (std::size_t i = 0; i < middle.size(); ++i) {
    of.*values = middle;
    (of.*values)[i] = middle[i] + step;
    const double above = of.loss(options);
    (of.*values)[i] = middle[i] - step;
    const double below = of.loss(options);
    // Losses are sums of some 100 terms of about 1, each rounded in f64.
    EXPECT_NEAR((above - below) / (2.0 * step), gradient[i], 1e-12 / step) << i;
  }
}

TEST(CentralDifferences, AreTheGradients) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    for (const char* const backend : kBackends) {
      const LinearCase of(product);
      QatLayer layer = of.layer();
      const Gradients found = gradients_of(layer, of.input(), of.dy, on(backend));
      expect_differences(of, &LinearCase::bias, kStep, found.dbias.values(), on(backend));
      expect_differences(of, &LinearCase::bias, 0.01, found.dbias.values(), on(backend));
      expect_differences(of, &LinearCase::x, kStep, found.dx.values(), on(backend));
      expect_differences(of, &LinearCase::w, 3 * kStep, found.dweight.values(), on(backend));
    }
  }
}

/// Where every code is clipped, y is linear in the scale: (qmax - z) s. So it is in the zero point,
/// whose step is 1. LSQ's factor is divided out.
TEST(CentralDifferences, AreTheGradientsOfScalesAndZeroPointsOfClippedInputs) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    for (const char* const backend : kBackends) {
      LinearCase of(product);
      of.config.activation.symmetric = false;
      of.config.learn_activation_scale = true;
      for (double& value : of.x) value = value < 0.0 ? -1e3 : 1e3;
      const auto loss = [&](double scale, std::int32_t zero_point,
                            std::optional<Gradients>* gradients) {
        QatLayer layer(kIn, kOut, of.config);
        fill(layer.change_weight(), of.w);
        QuantParams of_weight;
        of_weight.quantizer.narrow_range = true;
        of_weight.scale = {kStep};
        layer.set_weight_params(of_weight);
        layer.set_activation_params({{}, {}, {scale}, {zero_point}});
        QatLayer::Saved saved;
        const std::vector<double> y = trained(layer, of.input(), saved, on(backend)).values();
        const std::vector<double> weights = of.dy.values();
        double sum = 0.0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += weights[i] * y[i];
        if (gradients != nullptr) {
          gradients->emplace(layer, of.input());
          layer.backward(of.dy.view(), saved, gradients->value().views(), on(backend));
        }
        return sum;
      };
      std::optional<Gradients> found;
      loss(kStep, 3, &found);
      const double g = 1.0 / std::sqrt(static_cast<double>(kRows * kIn) * 127.0);
      const double of_scale = (loss(2 * kStep, 3, nullptr) - loss(kStep, 3, nullptr)) / kStep;
      const double of_zero_point = (loss(kStep, 4, nullptr) - loss(kStep, 2, nullptr)) / 2.0;
      EXPECT_NEAR(found->activation_dscale.at(0), g * of_scale, 1e-10 * std::abs(of_scale));
      EXPECT_NEAR(found->activation_dzero_point.at(0), g * of_zero_point,
                  1e-10 * std::abs(of_zero_point));
    }
  }
}

}  // namespace
}  // namespace cuqat::test
