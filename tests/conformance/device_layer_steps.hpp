// Steps of a layer on the host and of the same on the device, from numbers whose products and sums
// no order of adding rounds: each of both must give the same bits.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <ostream>
#include <vector>

#include "conformance/device_arguments.hpp"
#include "cuqat/device_layer.hpp"
#include "support/device_memory.hpp"
#include "support/device_orders.hpp"
#include "support/elements.hpp"
#include "support/random.hpp"

namespace cuqat::test {

/// The oracle, on this thread.
inline HostOptions by_reference() { return {Backend::named("reference"), 1}; }

/// A layer whose scales are powers of two, and which learns them.
struct LayerKind {
  const char* name;
  Format weight;
  Format activation;
  bool symmetric;
  Granularity granularity;
  QatProduct product;
  DType dtype;  ///< Of the activations.

  [[nodiscard]] DType weight_dtype() const {
    return dtype == DType::kF64 ? DType::kF64 : DType::kF32;
  }
  [[nodiscard]] QatLayerConfig config() const {
    QatLayerConfig result;
    result.weight.format = weight;
    result.activation.format = activation;
    result.weight.symmetric = symmetric;
    result.activation.symmetric = symmetric;
    result.weight_granularity = granularity;
    result.product = product;
    result.learn_weight_scale = true;
    result.learn_activation_scale = true;
    result.weight_dtype = weight_dtype();
    return result;
  }
};

inline void PrintTo(const LayerKind& kind, std::ostream* out) { *out << kind.name; }

inline std::vector<LayerKind> layer_kinds() {
  constexpr Format kInt8 = Format::kInt8;
  constexpr Format kInt4 = Format::kInt4;
  const Granularity by_output = Granularity::channel(0);
  const Granularity groups = Granularity::group(8);
  constexpr QatProduct kCodes = QatProduct::kCodes;
  constexpr QatProduct kNumbers = QatProduct::kNumbers;
  return {
      {"int8_affine_f32", kInt8, kInt8, false, by_output, kCodes, DType::kF32},
      {"int8_affine_bf16", kInt8, kInt8, false, by_output, kCodes, DType::kBF16},
      {"int8_affine_f16", kInt8, kInt8, false, Granularity::tensor(), kCodes, DType::kF16},
      {"int8_affine_f64", kInt8, kInt8, false, by_output, kCodes, DType::kF64},
      {"int4_f64", kInt4, kInt8, true, Granularity::tensor(), kCodes, DType::kF64},
      {"int4_groups_f32", kInt4, kInt8, false, groups, kNumbers, DType::kF32},
      {"int4_groups_bf16", kInt4, kInt8, false, groups, kNumbers, DType::kBF16},
      {"int8_inputs_f64", kInt8, kInt4, false, Granularity::channel(1), kNumbers, DType::kF64},
      {"int8_groups_f64", kInt8, kInt8, true, groups, kNumbers, DType::kF64},
      {"e4m3_f32", Format::kE4M3, Format::kE4M3, true, by_output, kCodes, DType::kF32},
      {"e4m3_bf16", Format::kE4M3, Format::kE5M2, true, by_output, kCodes, DType::kBF16},
      {"e4m3_groups_f16", Format::kE4M3, kInt8, true, groups, kNumbers, DType::kF16},
  };
}

/// What a step computes.
struct StepBytes {
  Bytes y;
  Bytes inferred;
  Bytes dx;
  Bytes dweight;
  Bytes dbias;
  Bytes weight_dscale;
  Bytes weight_dzero_point;
  Bytes activation_dscale;
  Bytes activation_dzero_point;
};

inline void expect_same(const StepBytes& found, const StepBytes& expected) {
  EXPECT_EQ(found.y, expected.y);
  EXPECT_EQ(found.inferred, expected.inferred);
  EXPECT_EQ(found.dx, expected.dx);
  EXPECT_EQ(found.dweight, expected.dweight);
  EXPECT_EQ(found.dbias, expected.dbias);
  EXPECT_EQ(found.weight_dscale, expected.weight_dscale);
  EXPECT_EQ(found.weight_dzero_point, expected.weight_dzero_point);
  EXPECT_EQ(found.activation_dscale, expected.activation_dscale);
  EXPECT_EQ(found.activation_dzero_point, expected.activation_dzero_point);
}

/// A layer of the host, and a batch for it.
class LayerSteps {
 public:
  static constexpr std::int64_t kRows = 9;
  static constexpr std::int64_t kIn = 20;
  static constexpr std::int64_t kOut = 6;

  explicit LayerSteps(const LayerKind& kind) : kind_(kind), host_(kIn, kOut, kind.config(), 5) {
    const Shape of_weight{kOut, kIn};
    const std::int64_t scales = num_scales(kind.granularity, of_weight);
    const QuantParams weight = params(kind.weight, kind.granularity, scales, -4);
    const QuantParams activation = params(kind.activation, Granularity::tensor(), 1, -3);
    fill(host_.change_weight(), multiples(kOut * kIn, kind.weight, 0x1p-4, 1));
    fill(host_.change_bias(), {0.5, -1.0, 0.25, 3.0, -0.75, 0.0});
    host_.set_weight_params(weight);
    host_.set_activation_params(activation);
    x_ = to_bytes(kind.dtype, multiples(kRows * kIn, kind.activation, 0x1p-3, 2));
    Random random(3);
    std::vector<double> dy;
    for (std::int64_t i = 0; i < kRows * kOut; ++i) {
      dy.push_back(static_cast<double>(static_cast<int>(random() % 7) - 3));
    }
    dy_ = to_bytes(kind.dtype, dy);
  }

  [[nodiscard]] QatLayer& host() { return host_; }
  [[nodiscard]] const Bytes& x() const { return x_; }

  /// What the gradients of scales are multiplied with.
  std::optional<double> weight_gradient_scale;
  std::optional<double> activation_gradient_scale;
  bool with_zero_points = true;

  /// On this layer, which is host() or one like it.
  StepBytes run(QatLayer& layer) const {
    StepBytes result = outputs();
    std::vector<double> weight_dscale(num_weight_scales());
    std::vector<double> weight_dzero_point(zero_points(num_weight_scales()));
    std::vector<double> dscale(1);
    std::vector<double> dzero_point(zero_points(1));
    const ConstTensorView x(x_.data(), kind_.dtype, Shape{kRows, kIn});
    QatLayer::Saved saved;
    layer.forward_train(x, {result.y.data(), kind_.dtype, Shape{kRows, kOut}}, saved,
                        by_reference());
    layer.backward({dy_.data(), kind_.dtype, Shape{kRows, kOut}}, saved,
                   {{result.dx.data(), kind_.dtype, Shape{kRows, kIn}},
                    {result.dweight.data(), kind_.weight_dtype(), Shape{kOut, kIn}},
                    {result.dbias.data(), kind_.weight_dtype(), Shape{kOut}},
                    {weight_dscale, weight_dzero_point},
                    {dscale, dzero_point},
                    weight_gradient_scale,
                    activation_gradient_scale},
                   by_reference());
    layer.forward_infer(x, {result.inferred.data(), kind_.dtype, Shape{kRows, kOut}},
                        by_reference());
    result.weight_dscale = to_bytes(kind_.weight_dtype(), weight_dscale);
    result.weight_dzero_point = to_bytes(kind_.weight_dtype(), weight_dzero_point);
    result.activation_dscale = to_bytes(kind_.weight_dtype(), dscale);
    result.activation_dzero_point = to_bytes(kind_.weight_dtype(), dzero_point);
    return result;
  }

  [[nodiscard]] DType dtype() const { return kind_.dtype; }
  [[nodiscard]] DType weight_dtype() const { return kind_.weight_dtype(); }
  [[nodiscard]] const Bytes& dy() const { return dy_; }

  /// As large as what a step computes, filled with what no result is.
  [[nodiscard]] StepBytes outputs() const {
    const std::size_t narrow = dtype_bytes(kind_.dtype);
    const std::size_t wide = dtype_bytes(kind_.weight_dtype());
    const std::size_t scales = num_weight_scales();
    const auto filled = [](std::size_t size) { return Bytes(size, std::byte{0x5a}); };
    return {filled(kRows * kOut * narrow),
            filled(kRows * kOut * narrow),
            filled(kRows * kIn * narrow),
            filled(kOut * kIn * wide),
            filled(kOut * wide),
            filled(scales * wide),
            filled(zero_points(scales) * wide),
            filled(wide),
            filled(zero_points(1) * wide)};
  }

 private:
  static void fill(TensorView view, const std::vector<double>& values) {
    const Bytes bytes = to_bytes(view.dtype(), values);
    ASSERT_EQ(bytes.size(), view.size_bytes());
    std::memcpy(view.data(), bytes.data(), bytes.size());
  }

  [[nodiscard]] bool is_affine(Format format) const {
    return !kind_.symmetric && is_integer(format);
  }

  /// Scales of 2^exponent and twice that by turns.
  [[nodiscard]] QuantParams params(Format format, const Granularity& granularity,
                                   std::int64_t count, int exponent) const {
    QuantParams result;
    result.quantizer.format = format;
    result.quantizer.narrow_range = kind_.symmetric && is_integer(format);
    result.granularity = granularity;
    result.scale.clear();
    for (std::int64_t i = 0; i < count; ++i) {
      result.scale.push_back(std::ldexp(1.0, exponent + static_cast<int>(i % 2)));
      if (is_affine(format)) result.zero_point.push_back(static_cast<int>(i % 5) - 2);
    }
    return result;
  }

  /// Some are outside the range of a scale of `scale`. Those of FP8 are few: tensor cores add their
  /// products with 14 bits.
  static std::vector<double> multiples(std::int64_t count, Format format, double scale,
                                       std::uint64_t seed) {
    Random random(seed);
    const bool integer = is_integer(format);
    const int largest = format == Format::kInt4 ? 7 : integer ? 127 : 448;
    const double step = integer ? scale / 4.0 : scale * 64.0;
    const auto steps = static_cast<int>(1.3 * largest * scale / step);
    std::vector<double> result;
    for (std::int64_t i = 0; i < count; ++i) {
      const int number = static_cast<int>(random() % static_cast<unsigned>(2 * steps + 1)) - steps;
      result.push_back(number * step);
    }
    return result;
  }

  [[nodiscard]] std::size_t num_weight_scales() const {
    return static_cast<std::size_t>(num_scales(kind_.granularity, Shape{kOut, kIn}));
  }
  /// As many as scales, or none.
  [[nodiscard]] std::size_t zero_points(std::size_t count) const {
    return with_zero_points && !kind_.symmetric ? count : 0;
  }

  LayerKind kind_;
  QatLayer host_;
  Bytes x_;
  Bytes dy_;
};

/// The memory of a step on the device.
class DeviceStep {
 public:
  explicit DeviceStep(const LayerSteps& steps)
      : dtype_(steps.dtype()),
        weight_dtype_(steps.weight_dtype()),
        weight_gradient_scale_(steps.weight_gradient_scale),
        activation_gradient_scale_(steps.activation_gradient_scale),
        x_(steps.x()),
        dy_(steps.dy()),
        y_(steps.outputs().y),
        inferred_(steps.outputs().inferred),
        dx_(steps.outputs().dx),
        dweight_(steps.outputs().dweight),
        dbias_(steps.outputs().dbias),
        weight_dscale_(steps.outputs().weight_dscale),
        weight_dzero_point_(steps.outputs().weight_dzero_point),
        activation_dscale_(steps.outputs().activation_dscale),
        activation_dzero_point_(steps.outputs().activation_dzero_point) {}

  [[nodiscard]] ConstDeviceTensorView x() const {
    return {x_.as<void>(), dtype_, Shape{LayerSteps::kRows, LayerSteps::kIn}};
  }
  [[nodiscard]] ConstDeviceTensorView dy() const {
    return {dy_.as<void>(), dtype_, Shape{LayerSteps::kRows, LayerSteps::kOut}};
  }
  [[nodiscard]] DeviceTensorView y() const { return of_y(y_); }
  [[nodiscard]] DeviceTensorView inferred() const { return of_y(inferred_); }
  [[nodiscard]] DeviceQatGradients gradients() const {
    return {{dx_.as<void>(), dtype_, x().shape()},
            {dweight_.as<void>(), weight_dtype_, Shape{LayerSteps::kOut, LayerSteps::kIn}},
            {dbias_.as<void>(), weight_dtype_, Shape{LayerSteps::kOut}},
            {of_scales(weight_dscale_), of_scales(weight_dzero_point_)},
            {of_scales(activation_dscale_), of_scales(activation_dzero_point_)},
            weight_gradient_scale_,
            activation_gradient_scale_};
  }

  void run(DeviceQatLayer& layer, DeviceQatLayer::Saved& saved, const DeviceContext& context,
           StreamRef stream) const {
    layer.forward_train(x(), y(), saved, context, stream);
    layer.backward(dy(), saved, gradients(), context, stream);
    layer.forward_infer(x(), inferred(), context, stream);
  }

  /// What runs that have ended left.
  [[nodiscard]] StepBytes result() const {
    const auto bytes = [](const DeviceMemory& memory) { return memory.content<std::byte>(); };
    return {bytes(y_),
            bytes(inferred_),
            bytes(dx_),
            bytes(dweight_),
            bytes(dbias_),
            bytes(weight_dscale_),
            bytes(weight_dzero_point_),
            bytes(activation_dscale_),
            bytes(activation_dzero_point_)};
  }

 private:
  [[nodiscard]] DeviceTensorView of_y(const DeviceMemory& memory) const {
    return {memory.as<void>(), dtype_, Shape{LayerSteps::kRows, LayerSteps::kOut}};
  }
  [[nodiscard]] DeviceTensorView of_scales(const DeviceMemory& memory) const {
    const auto count = static_cast<std::int64_t>(memory.size_bytes() / dtype_bytes(weight_dtype_));
    if (count == 0) return {};
    return {memory.as<void>(), weight_dtype_, Shape{count}};
  }

  DType dtype_;
  DType weight_dtype_;
  std::optional<double> weight_gradient_scale_;
  std::optional<double> activation_gradient_scale_;
  DeviceMemory x_;
  DeviceMemory dy_;
  DeviceMemory y_;
  DeviceMemory inferred_;
  DeviceMemory dx_;
  DeviceMemory dweight_;
  DeviceMemory dbias_;
  DeviceMemory weight_dscale_;
  DeviceMemory weight_dzero_point_;
  DeviceMemory activation_dscale_;
  DeviceMemory activation_dzero_point_;
};

/// A step in new memory.
inline StepBytes step_on_device(const LayerSteps& steps, DeviceQatLayer& layer) {
  const DeviceStep step(steps);
  DeviceQatLayer::Saved saved;
  step.run(layer, saved, device_under_test().context, device_under_test().stream);
  EXPECT_EQ(cudaStreamSynchronize(device_under_test().stream), cudaSuccess) << device_fault();
  return step.result();
}

}  // namespace cuqat::test
