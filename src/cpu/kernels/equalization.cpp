// Elements times or over their scales, and tiles of a product.
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {

namespace {

template <typename T, bool kPerElement, bool kDivides>
void scale_loop(const Scales<scalar::ComputeType<T>, kPerElement> scales, const void* x, void* y,
                std::int64_t n) {
  using C = scalar::ComputeType<T>;
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const C value = scalar::load_compute(load<T>(x, i));
    const C scaled = kDivides ? value / scales.scale(i) : value * scales.scale(i);
    store<T>(y, i,
             scalar::store_compute<T>(scalar::is_nan(scaled) ? scalar::quiet_nan<C>() : scaled));
  }
}

template <typename C>
void product_loop(const ProductTile& tile, C* y) {
  const auto* const x = static_cast<const C*>(tile.x);
  for (std::int64_t j = 0; j < tile.inputs; ++j) {
    const C* const w = static_cast<const C*>(tile.w) + j * tile.w_stride;
    for (std::int64_t row = 0; row < tile.rows; ++row) {
      const C factor = x[row * tile.inputs + j];
      C* const sums = y + row * tile.outputs;
      CUQAT_INDEPENDENT
      for (std::int64_t i = 0; i < tile.outputs; ++i) sums[i] += factor * w[i];
    }
  }
}

}  // namespace

void scale_elements(DType dtype, const TileScale& scale, const void* x, void* y, std::int64_t n,
                    bool divides) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    with_bool(scale.per_element, [&](auto per_element) {
      constexpr bool kPerElement = decltype(per_element)::value;
      const Scales<scalar::ComputeType<T>, kPerElement> scales(scale);
      with_bool(divides, [&](auto division) {
        scale_loop<T, kPerElement, decltype(division)::value>(scales, x, y, n);
      });
    });
  });
}

void product_tile(DType dtype, const ProductTile& tile, void* y) {
  if (dtype == DType::kF64) {
    product_loop<double>(tile, static_cast<double*>(y));
  } else {
    product_loop<float>(tile, static_cast<float*>(y));
  }
}

}  // namespace cuqat::cpu::CUQAT_ISA
