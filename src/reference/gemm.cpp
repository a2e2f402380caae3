// Products of codes, from their definition.
#include <cstddef>
#include <cstdint>
#include <vector>

#include "reference/fp8.hpp"
#include "reference/number.hpp"
#include "reference/operations.hpp"
#include "reference/scales.hpp"

namespace cuqat::reference {

void int8_gemm(const detail::Int8Product& product, std::int32_t* result) {
  const GemmShape& shape = product.shape;
  for (std::int64_t i = 0; i < shape.m; ++i) {
    for (std::int64_t j = 0; j < shape.n; ++j) {
      std::int32_t sum = 0;
      for (std::int64_t k = 0; k < shape.k; ++k) {
        sum += product.x[i * shape.k + k] * product.w[j * shape.k + k];
      }
      result[i * shape.n + j] = sum;
    }
  }
}

void int8_linear(const detail::Int8Linear& linear, void* y) {
  const GemmShape& shape = linear.product.shape;
  in_compute_type(linear.dtype, [&](auto zero) {
    using C = decltype(zero);
    const auto scale_of = [](const detail::RowScales& scales, std::int64_t row) {
      const std::int64_t at = scales.one_for_each_row ? row : 0;
      return ScaleOf<C>{static_cast<const C*>(scales.scale)[at], scales.zero_point[at]};
    };
    for (std::int64_t i = 0; i < shape.m; ++i) {
      const ScaleOf<C> x = scale_of(linear.x, i);
      for (std::int64_t j = 0; j < shape.n; ++j) {
        const ScaleOf<C> w = scale_of(linear.w, j);
        std::int64_t sum = 0;
        for (std::int64_t k = 0; k < shape.k; ++k) {
          sum += (std::int64_t{linear.product.x[i * shape.k + k]} - x.zero_point) *
                 (std::int64_t{linear.product.w[j * shape.k + k]} - w.zero_point);
        }
        const C scale = x.scale * w.scale;
        C value = scale * static_cast<C>(sum);
        if (linear.bias != nullptr) value += static_cast<C>(load(dtype_of<C>, linear.bias, j));
        store(linear.dtype, y, i * shape.n + j, value);
      }
    }
  });
}

void int8_linear_codes(const detail::Int8Linear& linear, const detail::ScaledTensor& y,
                       std::uint8_t* codes) {
  std::vector<float> values(static_cast<std::size_t>(y.shape.count()));
  int8_linear(linear, values.data());
  quantize(y, values.data(), codes, CodeLayout::kBytes);
}

/// In f64, which holds the sums of up to 2^17 products of E4M3 numbers.
void fp8_linear(const detail::Fp8Linear& linear, void* y) {
  const GemmShape& shape = linear.shape;
  const auto scale_of = [](const detail::RowScales& scales, std::int64_t row) {
    return static_cast<const float*>(scales.scale)[scales.one_for_each_row ? row : 0];
  };
  for (std::int64_t i = 0; i < shape.m; ++i) {
    for (std::int64_t j = 0; j < shape.n; ++j) {
      double sum = 0.0;
      for (std::int64_t k = 0; k < shape.k; ++k) {
        sum += decode_fp8(linear.x_format, linear.x[i * shape.k + k]) *
               decode_fp8(linear.w_format, linear.w[j * shape.k + k]);
      }
      const float scale = scale_of(linear.x_scales, i) * scale_of(linear.w_scales, j);
      float value = scale * static_cast<float>(sum);
      if (linear.bias != nullptr) {
        value += static_cast<float>(load(DType::kF32, linear.bias, j));
      }
      store(linear.dtype, y, i * shape.n + j, value);
    }
  }
}

/// In f64, which rounds the products of f32 numbers not at all.
void gemm(const detail::RealProduct& product, void* y) {
  const GemmShape& shape = product.shape;
  for (std::int64_t i = 0; i < shape.m; ++i) {
    for (std::int64_t j = 0; j < shape.n; ++j) {
      double sum = product.bias == nullptr        ? 0.0
                   : product.dtype == DType::kF64 ? load(DType::kF64, product.bias, j)
                                                  : load(DType::kF32, product.bias, j);
      for (std::int64_t k = 0; k < shape.k; ++k) {
        const std::int64_t in_a = product.a_transposed ? k * shape.m + i : i * shape.k + k;
        const std::int64_t in_b = product.b_transposed ? j * shape.k + k : k * shape.n + j;
        sum += load(product.dtype, product.a, in_a) * load(product.dtype, product.b, in_b);
      }
      in_compute_type(product.dtype, [&](auto zero) {
        store(product.y_dtype, y, i * shape.n + j, static_cast<decltype(zero)>(sum));
      });
    }
  }
}

}  // namespace cuqat::reference
