// QatLayer in device memory: the same layer, on the caller's stream.
//
// Once a step of a layer has run, further ones of as many rows, of the same dtype and with the same
// gradients, only put work on the stream: they do not wait, allocate or copy to the host, and can
// be captured in a CUDA graph. Before that, memory grows and products are prepared, which waits. A
// step that needs more memory than any before ends the graphs of those before; graphs must not
// outlive layer, Saved and context. docs/training.md has the rules of streams, graphs and several
// GPUs.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>

#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/layer.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Where backward writes. What is empty is not computed.
struct DeviceQatGradients {
  DeviceTensorView dx{};       ///< As x.
  DeviceTensorView dweight{};  ///< [out_features, in_features] of the dtype of the weights.
  DeviceTensorView dbias{};    ///< [out_features] of the dtype of the weights.
  /// In the dtype of the weights; where learn_weight_scale, as many as its scales.
  DeviceLearnedScaleGradient weight{};
  /// Where learn_activation_scale; one.
  DeviceLearnedScaleGradient activation{};
  /// As QatGradients.
  std::optional<double> weight_gradient_scale{};
  std::optional<double> activation_gradient_scale{};
};

/// A quantization-aware linear layer in the memory of one device. Its functions take a context of
/// that device; work on the layer is ordered by the caller where it is on several streams.
///
/// A call that throws leaves weights, bias, scales and zero points as they were, and the layer
/// usable; what it had put on the stream until then runs.
class DeviceQatLayer {
 public:
  /// What forward_train leaves for backward, as QatLayer::Saved, in memory of the layer's device.
  /// Of a layer on another device it takes new memory; work on the old must have ended.
  class Saved {
   public:
    Saved();
    ~Saved();
    Saved(Saved&&) noexcept;
    Saved& operator=(Saved&&) noexcept;

   private:
    friend class DeviceQatLayer;
    struct State;
    std::unique_ptr<State> state_;
  };

  /// The layer that QatLayer makes of the same arguments, bit for bit. Allocates, and waits for
  /// that but for no stream.
  /// @throws as QatLayer; InvalidArgument for weight scales that the device does not calibrate (f64
  ///         by another method than min-max, the entropy dialect kOriginal) and a product of two
  ///         E5M2; CudaError where the memory cannot be had.
  DeviceQatLayer(std::int64_t in_features, std::int64_t out_features, const QatLayerConfig& config,
                 std::uint64_t seed, const DeviceContext& context);
  /// The host's layer with its weights, bias, scales, zero points and, where it has them, codes:
  /// passes then compute what the host's would. The codes hold until weights or scales change, and
  /// until forward_train is captured, whose replays quantize. A graph of forward_infer captured
  /// while they hold multiplies them at each replay: after a change it is to be captured again.
  /// Allocates and waits as above.
  /// @throws as above.
  DeviceQatLayer(const QatLayer& host, const DeviceContext& context);
  /// The layer that QatLayer::of_quantized makes of the same arguments.
  /// @throws as QatLayer::of_quantized and above.
  static DeviceQatLayer of_quantized(const QuantizedLayer& layer, const QatLayerConfig& config,
                                     const DeviceContext& context);
  /// Work on it must have ended. Waits; never throws.
  ~DeviceQatLayer();
  /// The other one can be destroyed or assigned to, and nothing else.
  DeviceQatLayer(DeviceQatLayer&&) noexcept;
  DeviceQatLayer& operator=(DeviceQatLayer&&) noexcept;

  [[nodiscard]] std::int64_t in_features() const noexcept;
  [[nodiscard]] std::int64_t out_features() const noexcept;
  [[nodiscard]] const QatLayerConfig& config() const noexcept;

  /// [out_features, in_features], row-major, and [out_features].
  [[nodiscard]] ConstDeviceTensorView weight() const;
  [[nodiscard]] ConstDeviceTensorView bias() const;
  /// To write on the stream of the next pass, or ordered before it; every call says that the
  /// weights change.
  [[nodiscard]] DeviceTensorView change_weight();
  [[nodiscard]] DeviceTensorView change_bias();

  [[nodiscard]] bool is_calibrated() const noexcept;

  /// Chooses the scale of activations from batches of inputs, [rows, in_features] each, and those
  /// of the weights from the weights.
  /// Order:  waits for the stream.
  /// Agrees: bit for bit with QatLayer.
  /// @throws InvalidArgument for other widths or dtypes, f64, and where no batch has a finite
  ///         element; CudaError.
  void calibrate_from_data(std::span<const ConstDeviceTensorView> batches,
                           const DeviceContext& context, StreamRef stream);

  /// Scales and zero points of the caller's, from the host, as QatLayer.
  /// Order:  copies to the device, and waits for that but for no stream: earlier work on the layer
  ///         must have ended.
  /// @throws as QatLayer; CudaError.
  void set_activation_params(const QuantParams& params, const DeviceContext& context);
  void set_weight_params(const QuantParams& params, const DeviceContext& context);

  /// Scales and zero points where the layer keeps them: of activations, and of the weights as the
  /// last pass quantized them.
  /// @throws InvalidArgument before they are known.
  [[nodiscard]] DeviceQuantParams activation_params() const;
  [[nodiscard]] DeviceQuantParams weight_params() const;

  /// Learned scales, to write on the stream as weights are: an optimizer's step, which must leave
  /// them positive. Every call says that they change.
  /// @throws InvalidArgument where they are not learned, or not known yet.
  [[nodiscard]] DeviceTensorView change_weight_scale();
  [[nodiscard]] DeviceTensorView change_activation_scale();
  /// Learned zero points, likewise: codes of the format.
  /// @throws InvalidArgument also where the range is symmetric.
  [[nodiscard]] DeviceSpan<std::int32_t> change_weight_zero_point();
  [[nodiscard]] DeviceSpan<std::int32_t> change_activation_zero_point();

  /// y = quantized(x) quantized(w)^T + b.
  /// Shape:  x [rows, in_features], y [rows, out_features], of one dtype, as QatLayer.
  /// Values: as QatLayer. Weights that are NaN give the codes of NaN; they are not refused.
  /// Order:  on the stream. Allocates where `saved` is of fewer rows, or of narrower elements; else
  ///         as device_gemm.hpp says of products. It uses the context's scratch memory.
  /// Agrees: of integer codes bit for bit with QatLayer; else as device_gemm.hpp says.
  /// @param saved  becomes what backward takes; after an exception it holds nothing.
  /// @throws InvalidArgument as QatLayer, but for the values of weights, for a pointer that the
  ///         device cannot use, a context of another device; CudaError.
  void forward_train(ConstDeviceTensorView x, DeviceTensorView y, Saved& saved,
                     const DeviceContext& context, StreamRef stream);

  /// The gradients of the forward pass that left `saved`.
  /// Shape, Values: as QatLayer.
  /// Order:  on the stream; allocates as forward_train, where other gradients are asked for.
  /// Agrees: as the products of device_gemm.hpp.
  /// @throws as QatLayer and forward_train.
  void backward(ConstDeviceTensorView dy, Saved& saved, const DeviceQatGradients& gradients,
                const DeviceContext& context, StreamRef stream);

  /// y as forward_train, bit for bit; keeps nothing.
  /// Order:  as forward_train, with memory of the layer's own.
  /// @throws as forward_train.
  void forward_infer(ConstDeviceTensorView x, DeviceTensorView y, const DeviceContext& context,
                     StreamRef stream);

  /// Codes, scales, zero points and bias as work on the stream leaves them: for save_layers.
  /// Order:  waits for the stream; it uses the context's scratch memory.
  /// Agrees: bit for bit with QatLayer.
  /// @throws InvalidArgument before calibration, for weights that are not finite, scales and zero
  ///         points that set_* refuse, a context of another device; CudaError.
  [[nodiscard]] QuantizedLayer quantized(const DeviceContext& context, StreamRef stream);

  /// A layer of the host with the same parameters. Waits for the stream.
  /// @throws InvalidArgument for scales and zero points that set_* refuse, a context of another
  ///         device; CudaError.
  [[nodiscard]] QatLayer to_host(const DeviceContext& context, StreamRef stream) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cuqat
