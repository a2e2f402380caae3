// Calibration of tensors in device memory: one read of each batch, any method afterwards.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "cuqat/calibration.hpp"
#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// A CalibrationCollector in device memory, as a key histogram of everything that it has observed:
/// of bf16 and f16 the exact distribution. f32 is coarsened to 8 leading bits of the significand
/// from the first value on, as a CalibrationCollector does past kMaxExactValues; its extremes and
/// statistics are exact. Answers stay on the device, ready for the quantizing functions: a training
/// step can observe, calibrate and quantize without a word to the host, also within a CUDA graph.
///
/// All functions that take a stream put work on it, which the caller orders against other work on
/// the same collector. Only the functions that say so wait or allocate.
class DeviceCalibrationCollector {
 public:
  /// Allocates 3 MB of device memory, 6 MB for f32, and waits for that but for no stream.
  /// Granularity: tensor.
  /// @throws InvalidArgument for f64; CudaError where the memory cannot be had.
  DeviceCalibrationCollector(DType dtype, const DeviceContext& context);
  /// Work on it must have ended. Waits; never throws.
  ~DeviceCalibrationCollector();
  /// The other one can be destroyed or assigned to, and nothing else.
  DeviceCalibrationCollector(DeviceCalibrationCollector&&) noexcept;
  DeviceCalibrationCollector& operator=(DeviceCalibrationCollector&&) noexcept;

  [[nodiscard]] DType dtype() const noexcept;
  /// The histogram: kNumKeys counts in device memory. Collectors of several devices are merged by
  /// adding them, whoever does it; those of f32 by their statistics too.
  [[nodiscard]] DeviceSpan<std::uint64_t> counts() const noexcept;
  /// What f32 has beside the counts: one Statistics in device memory, of everything observed. Of
  /// several devices each of its counts is added, and the least min and the greatest max are taken.
  /// Empty for bf16 and f16, whose counts say it all.
  [[nodiscard]] DeviceSpan<Statistics> statistics() const noexcept;

  /// Adds every element of the batch.
  /// Order:  on the stream.
  /// Agrees: bit for bit with the host, for every cut and order.
  /// @throws InvalidArgument for another dtype, a pointer that the device cannot use, a context of
  ///         another device; CudaError where the launch fails.
  void observe(ConstDeviceTensorView batch, const DeviceContext& context, StreamRef stream);

  /// Adds every element of x, and y = fake_quantize(x) in the same read: calibration within a
  /// training step.
  /// Shape:  y of the dtype and shape of x, apart from it; clip_mask as in FakeQuantizeExtras, or
  ///         empty.
  /// Values: as observe and fake_quantize.
  /// Order:  on the stream, one kernel and one read; f32 is read twice, by three kernels.
  /// Agrees: bit for bit with both.
  /// @throws as observe and fake_quantize, and for y in memory of x.
  void observe_and_fake_quantize(ConstDeviceTensorView x, const DeviceQuantParams& params,
                                 DeviceTensorView y, DeviceSpan<std::uint8_t> clip_mask,
                                 const DeviceContext& context, StreamRef stream);

  /// Adds everything that another collector on the same device has observed. Associative and
  /// commutative.
  /// Order:  on the stream; work on `other` must have ended or be on the stream too.
  /// Agrees: bit for bit with the host.
  /// @throws InvalidArgument for another dtype or device; CudaError where the launch fails.
  void merge(const DeviceCalibrationCollector& other, const DeviceContext& context,
             StreamRef stream);

  /// Forgets everything.
  /// Order:  on the stream.
  /// @throws InvalidArgument for a context of another device; CudaError where the call fails.
  void reset(const DeviceContext& context, StreamRef stream);

  /// The scale and the zero point of one method on everything observed so far.
  /// Shape:  scales one entry.
  /// Values: as CalibrationCollector::compute; 1 and 0 where nothing finite was observed.
  /// Order:  on the stream, 3 to 23 kernels.
  /// Agrees: bit for bit with the host, f32 with to_host().
  /// @throws InvalidArgument for options that do not fit together, the entropy dialect kOriginal
  ///         (the host answers it), scales as minmax_scales; CudaError where a launch fails.
  void compute(const CalibrationOptions& method, const DeviceScales& scales,
               const DeviceContext& context, StreamRef stream);

  /// Everything observed, as a collector of the host, which answers with every method and what it
  /// costs, and is saved and merged with others. Its shape is [elements].
  /// Order:  waits for the stream; the first time it allocates 512 KB of pinned host memory.
  /// Agrees: bit for bit with a collector of the host, but for the shape; f32 with one that has
  ///         observed more than kMaxExactValues values.
  /// @throws InvalidArgument for a context of another device; CudaError where a call fails.
  [[nodiscard]] CalibrationCollector to_host(const DeviceContext& context, StreamRef stream) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

/// The scale and the zero point of each channel or group of x by one method, from the data itself:
/// of the weights of a layer, say.
/// Shape:  x bf16, f16 or f32; scales one entry for each scale of the granularity. For kEntropy,
///         kMse and kSqnr groups of f32 have at most kMaxSearchedElements elements.
/// Values: as calibrate; 1 and 0 for a scale without a finite element.
/// Order:  on the stream; it does not wait or allocate and uses the context's scratch memory, of
///         which calibration_workspace_bytes says how much. More lets it search more scales side by
///         side, which is faster: those take up to 23 kernels together, after those that read x
///         once for all scales and sort it.
/// Agrees: bit for bit with the host.
/// @throws InvalidArgument for f64, groups that are too long, options that do not fit together,
///         the entropy dialect kOriginal (the host answers it), scales as minmax_scales, or in
///         memory of x, too little scratch memory; CudaError where a launch fails.
void calibrate_scales(ConstDeviceTensorView x, const Granularity& granularity,
                      const CalibrationOptions& method, const DeviceScales& scales,
                      const DeviceContext& context, StreamRef stream);

/// Scratch memory of the context that calibrate_scales takes to search `scales_at_once` scales, at
/// least one and of use up to 65 535, side by side. kMinMax and kPercentile search none: their
/// memory does not depend on it. For the others a scale takes 86 KB and 32 bytes an element, at
/// most 2.2 MB, beside two copies of x and what CUB asks to sort them; one scale of bf16 or f16 2.7
/// MB in all; a scale of more than kMaxSearchedElements f32 elements 0.1 MB for kEntropy and up
/// to 5.4 MB else, beside a copy of x where the elements of a scale do not lie together.
/// Order:  does not wait.
/// @throws as calibrate_scales of such a tensor, and for less than one scale.
std::size_t calibration_workspace_bytes(DType dtype, const Shape& shape,
                                        const Granularity& granularity,
                                        const CalibrationOptions& method,
                                        std::int64_t scales_at_once, const DeviceContext& context);

/// Batches of one named layer in device memory.
struct DeviceLayerActivations {
  std::string name;
  std::vector<ConstDeviceTensorView> batches;
};

/// Calibrates the outputs of one layer, with one scale: the answer and what it costs, on the host.
/// Shape:  batches of one dtype, bf16, f16 or f32; without batches as without elements.
/// Order:  allocates up to 3 MB of device memory, for f32 also 1 MB of pinned host memory, and
///         waits for the stream. bf16 and f16 are read once. f32 is read for its statistics, for
///         a method's histogram or order statistics, and for each error, or copied to the host
///         where it has up to kMaxSearchedElements elements in all.
/// Agrees: bit for bit with calibrate_layer of the same batches on the host.
/// @throws InvalidArgument for options that do not fit together, f64, batches of different
///         dtypes, a pointer that the device cannot use; CudaError.
CalibrationResult calibrate_layer(std::span<const ConstDeviceTensorView> layer_outputs,
                                  const CalibrationOptions& method, const DeviceContext& context,
                                  StreamRef stream);

/// Calibrates every layer of a model, in the order given.
/// Order, Agrees, @throws: as calibrate_layer.
std::vector<QuantizationSpec> calibrate_model(std::span<const DeviceLayerActivations> layers,
                                              const CalibrationOptions& method,
                                              const DeviceContext& context, StreamRef stream);

}  // namespace cuqat
