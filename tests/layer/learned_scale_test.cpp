// Gradients of learned scales and zero points: learned_scale_backward of the products' gradients,
// and PyTorch's.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "cuqat/layer.hpp"
#include "layer/gradient_oracle.hpp"
#include "layer/layer_support.hpp"
#include "support/golden_file.hpp"

namespace cuqat::test {
namespace {

constexpr std::int64_t kRows = 9;
constexpr std::int64_t kIn = 21;
constexpr std::int64_t kOut = 13;

std::vector<LayerCase> learning_cases() {
  std::vector<LayerCase> cases;
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    for (const LayerCase& one : integer_cases(product)) cases.push_back(one);
    for (const LayerCase& one : fp8_cases(product)) cases.push_back(one);
  }
  for (LayerCase& one : cases) {
    one.config.learn_weight_scale = true;
    one.config.learn_activation_scale = true;
  }
  return cases;
}

/// What learned_scale_backward makes of the oracle's sums, and how far from it a layer may be that
/// is within the sums' bounds.
struct LearnedOracle {
  Numbers dx;
  std::vector<double> dscale;
  std::vector<double> dzero_point;
  std::vector<double> dscale_bound;
  std::vector<double> dzero_point_bound;
};

std::size_t scale_index(const QuantParams& params, const Shape& shape, std::int64_t element) {
  const std::int64_t row = element / shape[1];
  switch (params.granularity.kind) {
    case Granularity::Kind::kTensor:
      return 0;
    case Granularity::Kind::kChannel:
      return static_cast<std::size_t>(row);
    case Granularity::Kind::kGroup:
      break;
  }
  const std::int64_t size = params.granularity.group_size;
  return static_cast<std::size_t>(row * ((shape[1] + size - 1) / size) + element % shape[1] / size);
}

LearnedOracle learned_oracle(const Sums& sums, ConstTensorView x, const FakeQuantized& quantized,
                             const QuantParams& params, bool symmetric,
                             std::optional<double> gradient_scale = std::nullopt) {
  const std::size_t num_scales = params.scale.size();
  LearnedOracle oracle;
  oracle.dx = Numbers(x.dtype(), x.shape());
  oracle.dscale.resize(num_scales);
  oracle.dzero_point.resize(symmetric ? 0 : num_scales);
  const Numbers dy(x.dtype(), x.shape(), sums.value);
  learned_scale_backward(dy.view(), x, params, oracle.dx.writable(),
                         {oracle.dscale, oracle.dzero_point}, gradient_scale, on("reference"));
  oracle.dscale_bound.resize(num_scales);
  oracle.dzero_point_bound.resize(num_scales);
  if (x.dtype() == DType::kF64) return oracle;
  const std::vector<double> values = values_of(x);
  const std::vector<double> near = quantized.numbers.values();
  std::vector<double> sharing(num_scales, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) {
    const std::size_t s = scale_index(params, x.shape(), static_cast<std::int64_t>(i));
    sharing[s] += 1.0;
    const double zero = params.zero_point.empty() ? 0.0 : params.zero_point[s];
    // How far the two gradients may part: each is rounded to the dtype of x.
    const double parted =
        sums.bound[i] + 2.0 * unit_of(x.dtype()) * (std::abs(sums.value[i]) + sums.bound[i]);
    const double factor =
        quantized.clipped[i]
            ? std::max(std::abs(qmin(params.quantizer) - zero),
                       std::abs(qmax(params.quantizer) - zero))
            : (std::abs(near[i] - values[i]) + 2.0 * unit_of(x.dtype()) * std::abs(values[i])) /
                  params.scale[s];
    // The product with the factor is rounded in f32, of both.
    const double of_term = parted + 2.0 * 0x1p-24 * (std::abs(sums.value[i]) + sums.bound[i]);
    oracle.dscale_bound[s] += of_term * factor;
    if (quantized.clipped[i]) oracle.dzero_point_bound[s] += parted;
  }
  for (std::size_t s = 0; s < num_scales; ++s) {
    const double g = 1.0 / std::sqrt(sharing[s] * qmax(params.quantizer));
    oracle.dscale_bound[s] = g * oracle.dscale_bound[s] + 0x1p-23 * std::abs(oracle.dscale[s]);
    oracle.dzero_point_bound[s] *= g * params.scale[s];
    if (!symmetric) oracle.dzero_point_bound[s] += 0x1p-23 * std::abs(oracle.dzero_point[s]);
  }
  return oracle;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected,
                 const std::vector<double>& bound) {
  ASSERT_EQ(found.size(), expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    ASSERT_LE(std::abs(found[i] - expected[i]), bound[i])
        << i << ": " << found[i] << " for " << expected[i];
  }
}

class LearnedScales : public testing::TestWithParam<LayerCase> {};

TEST_P(LearnedScales, HaveTheGradientsOfLearnedScaleBackward) {
  const auto& [name, config, dtype] = GetParam();
  QatLayer original = some_layer(config, dtype, kIn, kOut);
  QuantParams params = original.weight_params();
  for (double& scale : params.scale) scale *= 0.7;
  original.set_weight_params(params);
  const Numbers x = some_input(dtype, kRows, kIn);
  const Numbers dy = normal_numbers(dtype, Shape{kRows, kOut}, 1.0, 70);
  const GradientOracle oracle = gradient_oracle(original, x, dy);
  const LearnedOracle of_weight = learned_oracle(oracle.dweight, original.weight(), oracle.weight,
                                                 original.weight_params(), config.weight.symmetric);
  const LearnedOracle of_x = learned_oracle(
      oracle.dx, x.view(), oracle.x, original.activation_params(), config.activation.symmetric);
  for (const char* const backend : kBackends) {
    for (const int num_threads : {1, 2}) {
      QatLayer layer = original;
      const Gradients found = gradients_of(layer, x, dy, on(backend, num_threads));
      expect_near(found.weight_dscale, of_weight.dscale, of_weight.dscale_bound);
      expect_near(found.weight_dzero_point, of_weight.dzero_point, of_weight.dzero_point_bound);
      expect_near(found.activation_dscale, of_x.dscale, of_x.dscale_bound);
      expect_near(found.activation_dzero_point, of_x.dzero_point, of_x.dzero_point_bound);
      expect_straight_through(found.dx, oracle.dx, oracle.x.clipped);
      expect_straight_through(found.dweight, oracle.dweight, oracle.weight.clipped);
      expect_straight_through(found.dbias, oracle.dbias, {});
      ASSERT_FALSE(HasFailure()) << backend << ", " << num_threads;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Every, LearnedScales, testing::ValuesIn(learning_cases()), case_name);

/// In f64, where the products' gradients have the oracle's bits.
TEST(LearnedScalesOfTheCallersGradientScales, HaveTheBitsOfLearnedScaleBackward) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    LayerCase of = layer_case(options_of(Format::kInt8, false), Granularity::channel(0),
                              options_of(Format::kInt8, false), product, DType::kF64);
    of.config.learn_weight_scale = of.config.learn_activation_scale = true;
    QatLayer layer = some_layer(of.config, of.dtype, kIn, kOut);
    const Numbers x = some_input(of.dtype, kRows, kIn);
    const Numbers dy = normal_numbers(of.dtype, Shape{kRows, kOut}, 1.0, 70);
    const GradientOracle oracle = gradient_oracle(layer, x, dy);
    const LearnedOracle of_weight = learned_oracle(oracle.dweight, layer.weight(), oracle.weight,
                                                   layer.weight_params(), false, 1.0);
    const LearnedOracle of_x =
        learned_oracle(oracle.dx, x.view(), oracle.x, layer.activation_params(), false, 0.3);
    for (const char* const backend : kBackends) {
      Gradients found(layer, x);
      QatGradients views = found.views();
      views.weight_gradient_scale = 1.0;  // as PyTorch without use_grad_scaling
      views.activation_gradient_scale = 0.3;
      QatLayer::Saved saved;
      trained(layer, x, saved, on(backend));
      layer.backward(dy.view(), saved, views, on(backend));
      EXPECT_EQ(found.weight_dscale, of_weight.dscale) << backend;
      EXPECT_EQ(found.weight_dzero_point, of_weight.dzero_point) << backend;
      EXPECT_EQ(found.activation_dscale, of_x.dscale) << backend;
      EXPECT_EQ(found.activation_dzero_point, of_x.dzero_point) << backend;
    }
  }
}

/// A NaN in x adds nothing to the gradients of the activations' parameters; it makes the gradients
/// of its column of the weights NaN, and so those of the weights' scales, positive and quiet.
TEST(LearnedScalesOfNaN, AreThoseOfTheOtherElements) {
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    LayerCase of = layer_case(options_of(Format::kInt8), Granularity::channel(0),
                              options_of(Format::kInt8, false), product, DType::kF64);
    of.config.learn_weight_scale = of.config.learn_activation_scale = true;
    QatLayer layer = some_layer(of.config, of.dtype, kIn, kOut);
    std::vector<double> values = some_input(of.dtype, kRows, kIn).values();
    values[3 * kIn + 5] = std::nan("");
    const Numbers x(of.dtype, Shape{kRows, kIn}, values);
    const Numbers dy = normal_numbers(of.dtype, Shape{kRows, kOut}, 1.0, 70);
    const GradientOracle oracle = gradient_oracle(layer, x, dy);
    const LearnedOracle of_x =
        learned_oracle(oracle.dx, x.view(), oracle.x, layer.activation_params(), false);
    for (const char* const backend : kBackends) {
      const Gradients found = gradients_of(layer, x, dy, on(backend));
      EXPECT_EQ(found.activation_dscale, of_x.dscale) << backend;
      EXPECT_EQ(found.activation_dzero_point, of_x.dzero_point) << backend;
      for (const double dscale : found.weight_dscale) {
        EXPECT_TRUE(std::isnan(dscale) && !std::signbit(dscale)) << backend;
      }
    }
  }
}

std::vector<double> peer_values(GoldenFile& peers, const std::string& name) {
  const GoldenArray& array = peers.array(name);
  EXPECT_EQ(array.dtype, "F32") << name;
  return to_doubles(DType::kF32, array.bytes);
}

/// x / scale beside a tie: there PyTorch, which multiplies by 1 / scale, may give the other code.
bool beside_a_tie(double x, double scale) {
  const double quotient = x / scale;
  return std::abs(quotient - std::floor(quotient) - 0.5) <= 1e-6 * std::abs(quotient);
}

/// A layer of one weight that is 1: its product's gradient is dy itself.
TEST(LearnedScaleOfOneInput, IsNearPyTorchs) {
  const char* const other = std::getenv("CUQAT_PEERS_ELEMENTWISE");
  GoldenFile peers(other != nullptr ? other : CUQAT_TEST_DATA_DIR "/elementwise_peers.safetensors");
  const std::vector<double> x_values = peer_values(peers, "lsq.x");
  const auto rows = static_cast<std::int64_t>(x_values.size());
  const Numbers x(DType::kF32, Shape{rows, 1}, x_values);
  const Numbers dy(DType::kF32, Shape{rows, 1}, peer_values(peers, "lsq.dy"));
  const double scale = peer_values(peers, "lsq.scale").at(0);
  const auto zero_point =
      static_cast<std::int32_t>(std::nearbyint(peer_values(peers, "lsq.zero_point").at(0)));
  const std::vector<double> peer_y = peer_values(peers, "lsq.y");
  const std::vector<double> peer_dx = peer_values(peers, "lsq.dx");
  for (const QatProduct product : {QatProduct::kCodes, QatProduct::kNumbers}) {
    LayerCase of = layer_case(options_of(Format::kInt8), Granularity::tensor(),
                              options_of(Format::kInt8, false), product, DType::kF32);
    of.config.learn_weight_scale = true;
    of.config.learn_activation_scale = true;
    for (const char* const backend : kBackends) {
      QatLayer layer(1, 1, of.config);
      fill(layer.change_weight(), std::vector{1.0});
      QuantParams of_weight;
      of_weight.quantizer.narrow_range = true;
      layer.set_weight_params(of_weight);
      const QuantParams of_x{{}, {}, {scale}, {zero_point}};
      layer.set_activation_params(of_x);
      QatLayer::Saved saved;
      const Numbers y = trained(layer, x, saved, on(backend));
      Gradients found(layer, x);
      layer.backward(dy.view(), saved, found.views(), on(backend));

      // Of this layer no step of the products rounds: the bits are learned_scale_backward's.
      std::vector<double> dscale(1);
      std::vector<double> dzero_point(1);
      Numbers dx(DType::kF32, x.shape);
      learned_scale_backward(dy.view(), x.view(), of_x, dx.writable(), {dscale, dzero_point},
                             std::nullopt, on("reference"));
      EXPECT_EQ(found.activation_dscale, dscale) << backend;
      EXPECT_EQ(found.activation_dzero_point, dzero_point) << backend;
      EXPECT_EQ(found.dx.bytes, dx.bytes) << backend;

      const std::vector<double> y_values = y.values();
      const std::vector<double> dx_values = found.dx.values();
      const std::vector<double> dy_values = dy.values();
      double terms = 0.0;
      double zero_terms = 0.0;
      double parted = 0.0;
      std::size_t exceptions = 0;
      for (std::size_t i = 0; i < x_values.size(); ++i) {
        const double gradient = std::abs(dy_values[i]);
        terms += gradient * (std::abs(x_values[i] / scale) + 1.0);
        zero_terms += gradient * scale;
        if (y_values[i] == peer_y[i] && dx_values[i] == peer_dx[i]) continue;
        EXPECT_TRUE(beside_a_tie(x_values[i], scale)) << i << ", x = " << x_values[i];
        parted += gradient;
        ++exceptions;
      }
      EXPECT_LE(exceptions, x_values.size() / 100 + 1);
      const double g = 1.0 / std::sqrt(static_cast<double>(rows) * 127.0);
      // The peer adds f32 terms in f32.
      EXPECT_NEAR(found.activation_dscale.at(0), peer_values(peers, "lsq.dscale").at(0),
                  g * (terms * 0x1p-20 + parted));
      EXPECT_NEAR(found.activation_dzero_point.at(0), peer_values(peers, "lsq.dzero_point").at(0),
                  g * zero_terms * 0x1p-20);
    }
  }
}

}  // namespace
}  // namespace cuqat::test
