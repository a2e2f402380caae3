#include "layer/gradient_oracle.hpp"

#include <bit>

namespace cuqat::test {
namespace {

/// sums[i, j] of terms(i, j, l) for l in order from +0, of numbers in this dtype.
template <typename Term>
Sums sums_of(std::int64_t rows, std::int64_t columns, std::int64_t depth, DType dtype,
             const Term& term) {
  Sums sums;
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      double sum = 0.0;
      double size = 0.0;
      for (std::int64_t l = 0; l < depth; ++l) {
        const double next = term(i, j, l);
        sum += next;
        size += std::abs(next);
      }
      sums.value.push_back(sum);
      // (k + 2) 2^-24 of the header, and the rounding of the sum above.
      const double of_oracle = static_cast<double>(depth) * 0x1p-53 * size;
      sums.bound.push_back(
          dtype == DType::kF64 ? 0.0 : static_cast<double>(depth + 2) * 0x1p-24 * size + of_oracle);
    }
  }
  return sums;
}

}  // namespace

GradientOracle gradient_oracle(QatLayer& layer, const Numbers& x, const Numbers& dy) {
  GradientOracle oracle;
  oracle.x = fake_quantized(x.view(), layer.activation_params());
  oracle.weight = fake_quantized(layer.weight(), layer.weight_params());
  const std::vector<double> xq = oracle.x.numbers.values();
  const std::vector<double> wq = rounded_to(x.dtype, oracle.weight.numbers).values();
  const std::vector<double> g = dy.values();
  const std::int64_t m = x.shape[0];
  const std::int64_t k = layer.in_features();
  const std::int64_t n = layer.out_features();
  const auto at = [](const std::vector<double>& values, std::int64_t index) {
    return values[static_cast<std::size_t>(index)];
  };
  oracle.dx = sums_of(m, k, n, x.dtype, [&](std::int64_t i, std::int64_t l, std::int64_t j) {
    return at(g, i * n + j) * at(wq, j * k + l);
  });
  oracle.dweight = sums_of(n, k, m, x.dtype, [&](std::int64_t j, std::int64_t l, std::int64_t i) {
    return at(g, i * n + j) * at(xq, i * k + l);
  });
  oracle.dbias = sums_of(1, n, m, x.dtype, [&](std::int64_t, std::int64_t j, std::int64_t i) {
    return at(g, i * n + j);
  });
  return oracle;
}

Gradients::Gradients(QatLayer& layer, const Numbers& x)
    : dx(x.dtype, x.shape),
      dweight(layer.weight().dtype(), layer.weight().shape()),
      dbias(layer.bias().dtype(), layer.bias().shape()) {
  const auto spans_for = [](const QuantParams& params, bool symmetric, std::vector<double>& dscale,
                            std::vector<double>& dzero_point) {
    dscale.assign(params.scale.size(), -5.0);
    if (!symmetric) dzero_point.assign(params.scale.size(), -5.0);
  };
  const QatLayerConfig& config = layer.config();
  if (config.learn_weight_scale) {
    spans_for(layer.weight_params(), config.weight.symmetric, weight_dscale, weight_dzero_point);
  }
  if (config.learn_activation_scale) {
    spans_for(layer.activation_params(), config.activation.symmetric, activation_dscale,
              activation_dzero_point);
  }
}

QatGradients Gradients::views() {
  return {dx.writable(),
          dweight.writable(),
          dbias.writable(),
          {weight_dscale, weight_dzero_point},
          {activation_dscale, activation_dzero_point}};
}

Gradients gradients_of(QatLayer& layer, const Numbers& x, const Numbers& dy,
                       const HostOptions& options) {
  QatLayer::Saved saved;
  trained(layer, x, saved, options);
  Gradients gradients(layer, x);
  layer.backward(dy.view(), saved, gradients.views(), options);
  return gradients;
}

void expect_straight_through(const Numbers& found, const Sums& oracle,
                             const std::vector<bool>& clipped) {
  const std::vector<double> values = found.values();
  ASSERT_EQ(values.size(), oracle.value.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!clipped.empty() && clipped[i]) {
      ASSERT_EQ(std::bit_cast<std::uint64_t>(values[i]), 0u) << i;
    } else if (found.dtype == DType::kF64) {
      ASSERT_EQ(values[i], oracle.value[i]) << i;
    } else {
      const double size = std::abs(oracle.value[i]) + oracle.bound[i];
      const double of_type = found.dtype == DType::kF32 ? 0.0 : unit_of(found.dtype);
      ASSERT_LE(std::abs(values[i] - oracle.value[i]),
                oracle.bound[i] + of_type * size + least_step_of(found.dtype))
          << i << ": " << values[i] << " for " << oracle.value[i];
    }
  }
}

}  // namespace cuqat::test
