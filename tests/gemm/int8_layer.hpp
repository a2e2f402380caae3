// Integer layers on the host, what the library makes of them, and what their definition says.
#pragma once

#include <cstdint>
#include <vector>

#include "cuqat/gemm.hpp"
#include "gemm/gemm_tables.hpp"
#include "support/code_layer.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {

inline QuantParams some_params(const Granularity& granularity, std::int64_t count, bool affine,
                               std::uint64_t seed) {
  Random random(seed);
  QuantParams params;
  params.granularity = granularity;
  params.scale.clear();
  for (std::int64_t i = 0; i < count; ++i) {
    params.scale.push_back(random.uniform(1e-3, 2e-2));
    if (affine) {
      params.zero_point.push_back(static_cast<std::int32_t>(random() % 256) - 128);
    }
  }
  return params;
}

inline Layer some_layer(const GemmShape& shape, bool by_row, bool by_output, bool affine,
                        bool biased) {
  Layer layer{shape, some_codes(shape.m * shape.k, 11), some_codes(shape.n * shape.k, 12), {}, {},
              {}};
  layer.x_params = some_params(by_row ? Granularity::group(shape.k + 3) : Granularity::tensor(),
                               by_row ? shape.m : 1, affine, 13);
  layer.w_params = some_params(by_output ? Granularity::channel(0) : Granularity::tensor(),
                               by_output ? shape.n : 1, affine, 14);
  Random random(15);
  for (std::int64_t j = 0; biased && j < shape.n; ++j) layer.bias.push_back(random.normal());
  return layer;
}

/// y as doubles.
inline std::vector<double> run(const Layer& layer, DType dtype, const HostOptions& options) {
  const DType compute = dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  const Bytes bias = to_bytes(compute, layer.bias);
  const Shape outputs{layer.shape.m, layer.shape.n};
  Bytes y(static_cast<std::size_t>(outputs.count()) * dtype_bytes(dtype), std::byte{0x5a});
  int8_linear(layer.x, layer.x_params, layer.w, layer.w_params, layer.shape,
              {bias.data(), compute, Shape{static_cast<std::int64_t>(layer.bias.size())}},
              TensorView(y.data(), dtype, outputs), options);
  return to_doubles(dtype, y);
}

/// What the header says, in the compute type `C`, before it is rounded to y's.
template <typename C>
std::vector<double> by_definition(const Layer& layer, DType dtype) {
  const GemmShape& shape = layer.shape;
  const auto at = [](const auto& values, std::int64_t row) {
    return values[values.size() == 1 ? 0 : static_cast<std::size_t>(row)];
  };
  Bytes y(static_cast<std::size_t>(shape.m * shape.n) * dtype_bytes(dtype));
  for (std::int64_t i = 0; i < shape.m; ++i) {
    for (std::int64_t j = 0; j < shape.n; ++j) {
      const auto zero = [&](const QuantParams& params, std::int64_t row) {
        return params.zero_point.empty() ? std::int64_t{0} : at(params.zero_point, row);
      };
      std::int64_t sum = 0;
      for (std::int64_t k = 0; k < shape.k; ++k) {
        sum += (as_int8(layer.x)[i * shape.k + k] - zero(layer.x_params, i)) *
               (as_int8(layer.w)[j * shape.k + k] - zero(layer.w_params, j));
      }
      volatile C scale =
          static_cast<C>(at(layer.x_params.scale, i)) * static_cast<C>(at(layer.w_params.scale, j));
      volatile C value = scale * static_cast<C>(sum);
      if (!layer.bias.empty()) {
        value = value + static_cast<C>(layer.bias[static_cast<std::size_t>(j)]);
      }
      store_element(dtype, y.data(), static_cast<std::size_t>(i * shape.n + j), value);
    }
  }
  return to_doubles(dtype, y);
}

inline std::vector<double> by_definition(const Layer& layer, DType dtype) {
  return dtype == DType::kF64 ? by_definition<double>(layer, dtype)
                              : by_definition<float>(layer, dtype);
}

}  // namespace cuqat::test
