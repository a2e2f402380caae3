// Checks that layers on the host and on the device share. All of them throw InvalidArgument, before
// any work.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "cuqat/layer.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat::detail {

/// [out_features, in_features] of features that are at least 1.
Shape check_features(std::int64_t in_features, std::int64_t out_features);

/// Options and a granularity that fit together. The config with the granularity's axis counted from
/// the first.
QatLayerConfig check_layer_config(QatLayerConfig config, const Shape& weight_shape);

/// The quantizer and the granularity that config gives, and scales and zero points that fit them.
/// `name` is the parameters'.
void check_weight_params(std::string_view name, const QuantParams& params,
                         const QatLayerConfig& config, const Shape& weight_shape);
void check_activation_params(std::string_view name, const QuantParams& params,
                             const QatLayerConfig& config);

/// What a layer cannot compute without.
void check_activations_calibrated(bool has_scale);
/// Those that are not learned are calibrated in the pass.
void check_weights_calibrated(const QatLayerConfig& config, bool has_scales);

/// Weights are not quantized to what they are not.
void check_finite_weights(std::int64_t finite, std::int64_t count);

/// A layer's memory, as addresses.
struct LayerMemory {
  const QatLayerConfig& config;
  ConstTensorView weight;  ///< [out_features, in_features].
  ConstTensorView bias;
  ConstTensorView scales{};  ///< And zero points, where the caller can reach them.
};

/// [rows, in_features] of a dtype that goes with the weights'.
void check_layer_input(std::string_view name, ConstTensorView x, const LayerMemory& layer);

/// An input, and y [rows, out_features] of its dtype, apart from it and from the layer.
void check_forward(ConstTensorView x, ConstTensorView y, const LayerMemory& layer);

/// QatGradients and DeviceQatGradients, as addresses. What is empty is not wanted.
struct LayerGradients {
  ConstTensorView dx;
  ConstTensorView dweight;
  ConstTensorView dbias;
  ConstTensorView weight_dscale;
  ConstTensorView weight_dzero_point;
  ConstTensorView activation_dscale;
  ConstTensorView activation_dzero_point;
  std::optional<double> weight_gradient_scale;
  std::optional<double> activation_gradient_scale;
};

inline bool is_wanted(ConstTensorView gradient) { return gradient.data() != nullptr; }

/// What a pass forward left, of the parameters as they are.
void check_saved(std::uint64_t version_of_saved, std::uint64_t version);

/// dy and the gradients of a pass that left the fake-quantized input `saved`; outputs apart from
/// these, from the layer and from each other. Of gradients of scales only the counts are checked.
void check_backward(ConstTensorView dy, ConstTensorView saved, const LayerGradients& gradients,
                    const LayerMemory& layer);

}  // namespace cuqat::detail
