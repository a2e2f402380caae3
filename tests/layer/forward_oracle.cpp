#include "layer/forward_oracle.hpp"

#include "support/small_float.hpp"

namespace cuqat::test {
namespace {

template <typename C>
C scale_of(const QuantParams& params, std::size_t row) {
  return static_cast<C>(params.scale[params.scale.size() == 1 ? 0 : row]);
}

std::int64_t zero_of(const QuantParams& params, std::size_t row) {
  if (params.zero_point.empty()) return 0;
  return params.zero_point[params.zero_point.size() == 1 ? 0 : row];
}

template <typename C>
Bytes product_in(QatLayer& layer, const Numbers& x) {
  const QuantParams& of_x = layer.activation_params();
  const QuantParams of_w = layer.weight_params();
  const Codes x_codes = codes_of(x.view(), of_x);
  const Codes w_codes = codes_of(layer.weight(), of_w);
  const std::vector<double> bias = values_of(layer.bias());
  const auto k = static_cast<std::size_t>(layer.in_features());
  const auto n = static_cast<std::size_t>(layer.out_features());
  const auto m = static_cast<std::size_t>(x.shape[0]);
  Bytes y(m * n * dtype_bytes(x.dtype));
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      std::int64_t sum = 0;
      for (std::size_t l = 0; l < k; ++l) {
        sum += (static_cast<std::int8_t>(x_codes[i * k + l]) - zero_of(of_x, 0)) *
               (static_cast<std::int8_t>(w_codes[j * k + l]) - zero_of(of_w, j));
      }
      const C scale = scale_of<C>(of_x, 0) * scale_of<C>(of_w, j);
      const C product = scale * static_cast<C>(sum);
      const C value = product + static_cast<C>(bias[j]);
      store_element(x.dtype, y.data(), i * n + j, value);
    }
  }
  return y;
}

std::vector<double> decoded(const Codes& codes, Format format) {
  std::vector<double> values;
  for (const std::uint8_t code : codes) {
    values.push_back(decode(format == Format::kE4M3 ? kE4M3 : kE5M2, code));
  }
  return values;
}

void expect_fp8_product(QatLayer& layer, const Numbers& x, const Numbers& y) {
  const QuantParams of_w = layer.weight_params();
  const QuantParams& of_x = layer.activation_params();
  Dots dots;
  dots.x = decoded(codes_of(x.view(), of_x), of_x.quantizer.format);
  dots.w = decoded(codes_of(layer.weight(), of_w), of_w.quantizer.format);
  dots.bias = values_of(layer.bias());
  for (std::size_t j = 0; j < dots.bias.size(); ++j) {
    dots.factor.push_back(static_cast<double>(scale_of<float>(of_x, 0)) *
                          static_cast<double>(scale_of<float>(of_w, j)));
  }
  // The sum, the product of the scales, the product, the sum with the bias.
  expect_dots(y, dots, static_cast<double>(layer.in_features() + 2 + 4) * 0x1p-24);
}

void expect_numbers_product(QatLayer& layer, const Numbers& x, const Numbers& y) {
  Dots dots{quantized_input(layer, x), quantized_weight(layer, x.dtype),
            std::vector<double>(static_cast<std::size_t>(layer.out_features()), 1.0),
            values_of(layer.bias())};
  const auto k = static_cast<std::size_t>(layer.in_features());
  if (x.dtype != DType::kF64) {
    expect_dots(y, dots, static_cast<double>(k + 3) * 0x1p-24);
    return;
  }
  const std::vector<double> found = y.values();
  const std::size_t n = dots.bias.size();
  for (std::size_t i = 0; i < found.size(); ++i) {
    double sum = dots.bias[i % n];
    for (std::size_t l = 0; l < k; ++l) sum += dots.x[i / n * k + l] * dots.w[i % n * k + l];
    if (std::isnan(sum)) {
      ASSERT_TRUE(std::isnan(found[i])) << i;
    } else {
      ASSERT_EQ(found[i], sum) << i;
    }
  }
}

}  // namespace

Bytes integer_product(QatLayer& layer, const Numbers& x) {
  return x.dtype == DType::kF64 ? product_in<double>(layer, x) : product_in<float>(layer, x);
}

std::vector<double> quantized_input(const QatLayer& layer, const Numbers& x) {
  return fake_quantized(x.view(), layer.activation_params()).numbers.values();
}

std::vector<double> quantized_weight(QatLayer& layer, DType dtype) {
  return rounded_to(dtype, fake_quantized(layer.weight(), layer.weight_params()).numbers).values();
}

void expect_dots(const Numbers& y, const Dots& dots, double relative, double absolute) {
  const auto n = static_cast<std::size_t>(y.shape[1]);
  const auto m = static_cast<std::size_t>(y.shape[0]);
  const std::size_t k = dots.w.size() / n;
  const std::vector<double> found = y.values();
  const double of_y = unit_of(y.dtype);
  for (std::size_t i = 0; i < m; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      double sum = 0.0;
      double size = 0.0;
      for (std::size_t l = 0; l < k; ++l) {
        const double term = dots.x[i * k + l] * dots.w[j * k + l];
        sum += term;
        size += std::abs(term);
      }
      const double exact = dots.factor[j] * sum + dots.bias[j];
      if (std::isnan(exact)) {
        ASSERT_TRUE(std::isnan(found[i * n + j])) << i << ", " << j;
        continue;
      }
      size = size * dots.factor[j] + std::abs(dots.bias[j]);
      // The last term is of the sums above.
      const double bound = relative * size + absolute + static_cast<double>(k + 3) * 0x1p-53 * size;
      ASSERT_LE(std::abs(found[i * n + j] - exact),
                bound + of_y * (std::abs(exact) + bound) + least_step_of(y.dtype))
          << i << ", " << j << ": " << found[i * n + j] << " for " << exact;
    }
  }
}

void expect_forward(QatLayer& layer, const Numbers& x, const Numbers& y) {
  if (layer.config().product == QatProduct::kNumbers) {
    expect_numbers_product(layer, x, y);
  } else if (is_integer(layer.config().activation.format)) {
    EXPECT_EQ(y.bytes, integer_product(layer, x));
  } else {
    expect_fp8_product(layer, x, y);
  }
}

}  // namespace cuqat::test
