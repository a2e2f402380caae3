// Layers to judge, numbers to feed them with, and what they should compute, from the definitions.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "cuqat/fake_quant.hpp"
#include "cuqat/layer.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {

using Codes = std::vector<std::uint8_t>;

inline constexpr const char* kBackends[] = {"reference", "cpu"};

inline HostOptions on(const char* backend, int num_threads = 1) {
  return {Backend::named(backend), num_threads};
}

/// A tensor that owns its elements.
struct Numbers {
  DType dtype = DType::kF32;
  Shape shape{0};
  Bytes bytes;

  Numbers() = default;
  Numbers(DType of, const Shape& extents)
      : dtype(of),
        shape(extents),
        bytes(static_cast<std::size_t>(extents.count()) * dtype_bytes(of), std::byte{0x5a}) {}
  Numbers(DType of, const Shape& extents, std::span<const double> values)
      : dtype(of), shape(extents), bytes(to_bytes(of, values)) {}

  [[nodiscard]] ConstTensorView view() const { return {bytes.data(), dtype, shape}; }
  [[nodiscard]] TensorView writable() { return {bytes.data(), dtype, shape}; }
  [[nodiscard]] std::vector<double> values() const { return to_doubles(dtype, bytes); }
};

inline std::vector<double> normal_values(std::int64_t count, double deviation, std::uint64_t seed,
                                         double mean = 0.0) {
  Random random(seed);
  std::vector<double> values(static_cast<std::size_t>(count));
  for (double& value : values) value = mean + deviation * random.normal();
  return values;
}

inline Numbers normal_numbers(DType dtype, const Shape& shape, double deviation, std::uint64_t seed,
                              double mean = 0.0) {
  return {dtype, shape, normal_values(shape.count(), deviation, seed, mean)};
}

inline std::vector<double> values_of(ConstTensorView view) {
  return to_doubles(view.dtype(), {static_cast<const std::byte*>(view.data()), view.size_bytes()});
}

inline Bytes bytes_of_view(ConstTensorView view) {
  const auto* first = static_cast<const std::byte*>(view.data());
  return {first, first + view.size_bytes()};
}

inline void fill(TensorView view, std::span<const double> values) {
  ASSERT_EQ(static_cast<std::size_t>(view.count()), values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    store_element(view.dtype(), view.data(), i, values[i]);
  }
}

/// Dtype of the weights of a layer whose activations have this one.
constexpr DType compute_type(DType dtype) {
  return dtype == DType::kF64 ? DType::kF64 : DType::kF32;
}

/// Largest relative error of one rounding to this type.
constexpr double unit_of(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return 0x1p-53;
    case DType::kF32:
      return 0x1p-24;
    case DType::kF16:
      return 0x1p-11;
    case DType::kBF16:
      return 0x1p-8;
  }
  return 0.0;
}

/// Largest error of one rounding of a subnormal number to this type.
constexpr double least_step_of(DType dtype) { return dtype == DType::kF16 ? 0x1p-25 : 0x1p-134; }

/// A layer of random weights and bias, calibrated with two batches.
inline QatLayer some_layer(const QatLayerConfig& config, DType dtype, std::int64_t in_features,
                           std::int64_t out_features, std::uint64_t seed = 1) {
  QatLayer layer(in_features, out_features, config, seed);
  fill(layer.change_weight(), normal_values(in_features * out_features, 0.3, seed + 1, 0.05));
  fill(layer.change_bias(), normal_values(out_features, 0.5, seed + 2));
  const Numbers first = normal_numbers(dtype, Shape{3, in_features}, 0.8, seed + 3, 0.3);
  const Numbers second = normal_numbers(dtype, Shape{8, in_features}, 0.8, seed + 4, 0.3);
  const ConstTensorView batches[] = {first.view(), second.view()};
  layer.calibrate_from_data(batches);
  return layer;
}

/// Some of them are out of the range that some_layer calibrates.
inline Numbers some_input(DType dtype, std::int64_t rows, std::int64_t in_features,
                          std::uint64_t seed = 90) {
  return normal_numbers(dtype, Shape{rows, in_features}, 1.6, seed, 0.3);
}

inline Numbers trained(QatLayer& layer, const Numbers& x, QatLayer::Saved& saved,
                       const HostOptions& options = {}) {
  Numbers y(x.dtype, Shape{x.shape[0], layer.out_features()});
  layer.forward_train(x.view(), y.writable(), saved, options);
  return y;
}

inline Numbers trained(QatLayer& layer, const Numbers& x, const HostOptions& options = {}) {
  QatLayer::Saved saved;
  return trained(layer, x, saved, options);
}

inline Numbers inferred(QatLayer& layer, const Numbers& x, const HostOptions& options = {}) {
  Numbers y(x.dtype, Shape{x.shape[0], layer.out_features()});
  layer.forward_infer(x.view(), y.writable(), options);
  return y;
}

inline Codes codes_of(ConstTensorView x, const QuantParams& params) {
  Codes codes(static_cast<std::size_t>(x.count()));
  quantize(x, params, codes, CodeLayout::kBytes, on("reference"));
  return codes;
}

/// The fake-quantized numbers in x's dtype, and a bit for each that says whether it was clipped.
struct FakeQuantized {
  Numbers numbers;
  std::vector<bool> clipped;
};

inline FakeQuantized fake_quantized(ConstTensorView x, const QuantParams& params) {
  FakeQuantized result{{x.dtype(), x.shape()}, {}};
  Codes mask(clip_mask_bytes(x.count()));
  fake_quantize(x, params, result.numbers.writable(), mask, on("reference"));
  for (std::int64_t i = 0; i < x.count(); ++i) {
    result.clipped.push_back((mask[static_cast<std::size_t>(i / 8)] >> (i % 8) & 1) != 0);
  }
  return result;
}

inline Numbers rounded_to(DType dtype, const Numbers& numbers) {
  return {dtype, numbers.shape, numbers.values()};
}

/// One layer's configuration and the dtype of its activations.
struct LayerCase {
  std::string name;
  QatLayerConfig config;
  DType dtype = DType::kF32;
};

inline std::string case_name(const testing::TestParamInfo<LayerCase>& param) {
  return param.param.name;
}

inline std::string granularity_name(const Granularity& granularity) {
  switch (granularity.kind) {
    case Granularity::Kind::kTensor:
      return "tensor";
    case Granularity::Kind::kChannel:
      return "channel";
    case Granularity::Kind::kGroup:
      return "group" + std::to_string(granularity.group_size);
  }
  return "";
}

inline LayerCase layer_case(const CalibrationOptions& weight, const Granularity& granularity,
                            const CalibrationOptions& activation, QatProduct product, DType dtype) {
  const auto name_of = [](const CalibrationOptions& options) {
    return std::string(to_string(options.format)) + (options.symmetric ? "" : "_affine") +
           (options.rounding == Rounding::kOriginal ? "_original" : "");
  };
  LayerCase result;
  result.name = name_of(weight) + "_" + granularity_name(granularity) + "_by_" +
                name_of(activation) + (product == QatProduct::kCodes ? "_codes_" : "_numbers_") +
                std::string(to_string(dtype));
  result.config.weight = weight;
  result.config.weight_granularity = granularity;
  result.config.activation = activation;
  result.config.product = product;
  result.config.weight_dtype = compute_type(dtype);
  result.dtype = dtype;
  return result;
}

inline CalibrationOptions options_of(Format format, bool symmetric = true,
                                     Rounding rounding = Rounding::kNearestEven) {
  CalibrationOptions options;
  options.format = format;
  options.symmetric = symmetric;
  options.rounding = rounding;
  return options;
}

inline constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16, DType::kF64};

/// Every pair of formats that a product takes, with every symmetry, granularity and rounding.
std::vector<LayerCase> integer_cases(QatProduct product);
std::vector<LayerCase> fp8_cases(QatProduct product);

}  // namespace cuqat::test
