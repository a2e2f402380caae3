// A linear layer, y = x w^T + b, that trains through quantization: its forward pass computes what
// inference will compute, its backward pass gives the gradients of weights, bias, input and, where
// they are learned, of scales and zero points. The step of the optimizer is the caller's.
// docs/training.md walks through a training loop.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cuqat/backend.hpp"
#include "cuqat/calibration.hpp"
#include "cuqat/gemm.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"
#include "cuqat/weights.hpp"

namespace cuqat {

class DeviceQatLayer;

/// Which product a layer computes.
enum class QatProduct : std::uint8_t {
  kCodes,   ///< Of codes, scaled afterwards (int8_linear, fp8_linear): exactly what inference runs.
  kNumbers  ///< Of the fake-quantized numbers (linear).
};

/// How a layer is quantized. Format, rounding, symmetry and the method that chooses the range
/// ("observer") are those of the CalibrationOptions.
struct QatLayerConfig {
  CalibrationOptions weight{};
  /// tensor, or channel(0): a scale for each output. Of a product of numbers any: groups of inputs,
  /// say.
  Granularity weight_granularity = Granularity::channel(0);
  CalibrationOptions activation{};  ///< One scale for the tensor.
  QatProduct product = QatProduct::kCodes;
  /// Learned scales (and zero points, where affine) are parameters: backward gives their gradients,
  /// and they stay until set_weight_params or set_activation_params. Weight scales that are not
  /// learned follow the weights: they are calibrated again whenever the weights have changed.
  bool learn_weight_scale = false;
  bool learn_activation_scale = false;
  /// Of master weights and bias: f32, for activations in f32, bf16 or f16; f64 for those in f64.
  DType weight_dtype = DType::kF32;
};

/// Where backward writes. What is empty is not computed.
struct QatGradients {
  TensorView dx{};                    ///< As x.
  TensorView dweight{};               ///< [out_features, in_features] of the dtype of the weights.
  TensorView dbias{};                 ///< [out_features] of the dtype of the weights.
  LearnedScaleGradient weight{};      ///< Where learn_weight_scale; as many as its scales.
  LearnedScaleGradient activation{};  ///< Where learn_activation_scale; one.
  /// What the gradients of learned scales and zero points are multiplied with, as
  /// learned_scale_backward's gradient_scale: 1 / sqrt(N * qmax) unless given, N being the elements
  /// that share a scale. PyTorch's learnable fake quantization multiplies with 1 unless
  /// use_grad_scaling is set, and then with 1 / sqrt(N * qmax), N being all elements.
  std::optional<double> weight_gradient_scale{};
  std::optional<double> activation_gradient_scale{};
};

/// A layer's parameters as they are deployed.
struct QuantizedLayer {
  QuantizedWeights weight;   ///< Of shape [out_features, in_features].
  std::vector<double> bias;  ///< Numbers of weight.dtype.
  QuantParams activation;
};

/// A quantization-aware linear layer on the host.
///
/// Quantized weights are kept and made anew only when weights or their parameters have changed.
/// A call that throws leaves weights, bias, scales and zero points as they were, and the layer
/// usable. One thread at a time; separate layers are independent.
class QatLayer {
 public:
  /// What forward_train leaves for backward: the quantized input and which of it was clipped.
  /// Reuse one for its memory. A layer that is used several times in a step takes one for each use.
  class Saved {
   public:
    Saved() = default;

   private:
    friend class QatLayer;
    std::vector<std::byte> input_;      // Only where the scale of activations is learned.
    std::vector<std::byte> quantized_;  // The fake-quantized input.
    std::vector<std::uint8_t> clip_mask_;
    std::vector<std::uint8_t> codes_;  // Scratch of forward_train.
    Shape shape_{0};
    DType dtype_ = DType::kF32;
    std::uint64_t version_ = 0;  // Of the parameters; 0 before the first step.
  };

  /// Weights from xavier_uniform(seed), bias 0, nothing calibrated.
  /// @throws InvalidArgument for features below 1, options and a granularity that do not fit
  ///         together: a product of codes takes two integer formats or two FP8 formats, one scale
  ///         or one for each output, and FP8 no f64.
  QatLayer(std::int64_t in_features, std::int64_t out_features, const QatLayerConfig& config = {},
           std::uint64_t seed = 0);

  /// A layer of deployed parameters. Its weights are the values of the codes, its scales those of
  /// `layer`, until the weights change; forward_infer gives the bits of the layer that they are of.
  /// @throws InvalidArgument as above, where `layer` and config do not fit together, and for codes
  ///         whose values are not finite.
  static QatLayer of_quantized(const QuantizedLayer& layer, const QatLayerConfig& config,
                               const HostOptions& options = {});

  [[nodiscard]] std::int64_t in_features() const noexcept { return in_features_; }
  [[nodiscard]] std::int64_t out_features() const noexcept { return out_features_; }
  [[nodiscard]] const QatLayerConfig& config() const noexcept { return config_; }

  /// [out_features, in_features], row-major, and [out_features].
  [[nodiscard]] ConstTensorView weight() const;
  [[nodiscard]] ConstTensorView bias() const;

  /// To write, once: every call says that the weights change. Valid while the layer lives where it
  /// is.
  [[nodiscard]] TensorView change_weight();
  [[nodiscard]] TensorView change_bias();

  /// Chooses the scale of activations from batches of inputs, [rows, in_features] each of any
  /// number of rows, and those of the weights from the weights.
  /// @throws InvalidArgument for other widths or dtypes, and where no batch has a finite element.
  void calibrate_from_data(std::span<const ConstTensorView> batches,
                           const HostOptions& options = {});

  [[nodiscard]] bool is_calibrated() const noexcept { return activation_params_.has_value(); }

  /// Scale and zero point of the activations.
  /// @throws InvalidArgument before calibration.
  [[nodiscard]] const QuantParams& activation_params() const;

  /// Scales and zero points of the weights as they are.
  /// @throws InvalidArgument where weights are not finite, and where learned scales have not been
  ///         calibrated.
  const QuantParams& weight_params(const HostOptions& options = {});

  /// Scales and zero points of the caller's: from a collector, or after a step of the optimizer.
  /// They are kept as numbers of the dtype of the weights.
  /// Those of the weights hold until the weights change, if they are learned until they are set
  /// again.
  /// @throws InvalidArgument for another quantizer or granularity than config gives, and as
  ///         quantize.
  void set_activation_params(const QuantParams& params);
  void set_weight_params(const QuantParams& params);

  /// y = quantized(x) quantized(w)^T + b.
  /// Shape:  x [rows, in_features], y [rows, out_features], of one dtype: f64 where the weights
  ///         are, else f32, bf16 or f16.
  /// Values: of codes as int8_linear and fp8_linear (a NaN in x is 0 to a product of integer codes,
  ///         and NaN in the gradient of the weights); of numbers as linear, which takes the
  ///         quantized weights rounded to the dtype of x.
  /// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done.
  /// Agrees: of integer codes bit for bit on every backend, and with forward_infer; else as
  ///         fp8_linear and linear say.
  /// @param saved  becomes what backward takes; after an exception it holds nothing.
  /// @throws InvalidArgument before calibration, for shapes and dtypes that do not fit, for weights
  ///         that are not finite, for y in memory of x or of the layer.
  void forward_train(ConstTensorView x, TensorView y, Saved& saved,
                     const HostOptions& options = {});

  /// The gradients of the forward pass that left `saved`, straight through where nothing was
  /// clipped and 0 elsewhere; of learned scales and zero points as learned_scale_backward.
  /// Shape:  dy [rows, out_features] of the dtype of x.
  /// Values: dx = (dy wq) and dweight = (dy^T xq), clipped elements 0; dbias the sums of dy's
  ///         columns. wq is rounded to the dtype of x.
  /// Order:  as forward_train.
  /// Agrees: the products as gemm: of f64 bit for bit on every backend, else within its bound.
  /// @throws InvalidArgument where `saved` is of no forward pass of this layer, or weights, scales
  ///         or zero points have changed since, for shapes and dtypes that do not fit, scale
  ///         gradients that are not learned, outputs in memory of dy, of the layer or of each
  ///         other.
  void backward(ConstTensorView dy, const Saved& saved, const QatGradients& gradients,
                const HostOptions& options = {});

  /// y as forward_train with the configured product, bit for bit; keeps nothing.
  /// Shape, Values, Order, Agrees, @throws: as forward_train.
  void forward_infer(ConstTensorView x, TensorView y, const HostOptions& options = {});

  /// Codes, scales, zero points and bias as they are. A symmetric range has no zero points, another
  /// all of them.
  /// @throws InvalidArgument before calibration, for weights that are not finite.
  [[nodiscard]] QuantizedLayer quantized(const HostOptions& options = {});

 private:
  friend class DeviceQatLayer;  // Copies what is kept.

  QatLayer(const Shape& weight_shape, const QatLayerConfig& config);  // Weights and bias 0.
  [[nodiscard]] Shape weight_shape() const { return Shape{out_features_, in_features_}; }
  void quantize_weight(const HostOptions& options);
  ConstTensorView weight_numbers(DType dtype, const HostOptions& options);
  void multiply(ConstTensorView x, ConstTensorView quantized, std::vector<std::uint8_t>& codes,
                TensorView y, const HostOptions& options);

  std::int64_t in_features_;
  std::int64_t out_features_;
  QatLayerConfig config_;
  std::vector<std::byte> weight_;
  std::vector<std::byte> bias_;
  std::optional<QuantParams> weight_params_;  // Empty: to be calibrated.
  std::optional<QuantParams> activation_params_;
  std::vector<std::uint8_t> weight_codes_;  // A byte each. Empty: to be made.
  std::vector<std::byte> weight_numbers_;   // The codes' values. Empty: to be made.
  DType weight_numbers_dtype_ = DType::kF32;
  std::uint64_t version_;  // Of the parameters: no others have it.
};

}  // namespace cuqat
