// Row 20: integer products of a layer's size. The copy of a row is one of the codes and the
// outputs.
#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "inputs.hpp"

namespace {

using namespace cuqat;         // NOLINT(google-build-using-namespace)
using namespace cuqat::bench;  // NOLINT(google-build-using-namespace)

constexpr GemmShape kShape{512, 1024, 1024};

/// Activations of one scale and zero point, weights of a scale for each output.
struct Layer {
  Layer() {
    std::mt19937 random(7);
    for (std::uint8_t& code : x) code = static_cast<std::uint8_t>(random());
    for (std::uint8_t& code : w) code = static_cast<std::uint8_t>(random());
    w_params.granularity = Granularity::channel(0);
    w_params.scale.assign(static_cast<std::size_t>(kShape.n), 0.01);
  }
  [[nodiscard]] std::vector<std::int32_t> product(const HostOptions& options) const {
    std::vector<std::int32_t> result(static_cast<std::size_t>(kShape.m * kShape.n));
    int8_gemm(x, w, kShape, result, options);
    return result;
  }
  void run(std::vector<float>& y, const HostOptions& options) const {
    y.resize(static_cast<std::size_t>(kShape.m * kShape.n));
    int8_linear(x, x_params, w, w_params, kShape, bias, {y.data(), Shape{kShape.m, kShape.n}},
                options);
  }

  std::vector<std::uint8_t> x = std::vector<std::uint8_t>(kShape.m * kShape.k);
  std::vector<std::uint8_t> w = std::vector<std::uint8_t>(kShape.n * kShape.k);
  std::vector<float> bias = std::vector<float>(kShape.n, 0.5f);
  QuantParams x_params{{}, {}, {0.02}, {3}};
  QuantParams w_params;
};

const bool kRegistered = [] {
  const auto layer = std::make_shared<Layer>();
  const Traffic traffic{layer->x.size() + layer->w.size(),
                        static_cast<std::size_t>(kShape.m * kShape.n) * sizeof(float)};
  const auto sums = std::make_shared<std::vector<std::int32_t>>(kShape.m * kShape.n);
  register_row(
      "20 int8 product 512x1024x1024", traffic,
      [=] { return layer->product(fast()) == layer->product(reference()); },
      [=] { int8_gemm(layer->x, layer->w, kShape, *sums, fast()); });
  const auto y = std::make_shared<std::vector<float>>();
  register_row(
      "20 int8 linear 512x1024x1024, f32", traffic,
      [=] {
        std::vector<float> expected;
        layer->run(expected, reference());
        layer->run(*y, fast());
        return *y == expected;
      },
      [=] { layer->run(*y, fast()); });
  return true;
}();

}  // namespace
