// Quantize, dequantize, fake quantize and their gradients on tensors in device memory: the
// functions of fake_quant.hpp, with the same bits.
//
// All of them only put work on the stream: they do not wait, allocate or copy to the host, so they
// can be captured in a CUDA graph, which must not outlive the context. Scales and zero points are
// read from device memory when the work runs; outputs must not overlap them. Tensors, codes and
// masks may have any alignment, 16 bytes being fastest (another costs a head and a tail, or more
// with a clip mask or packed codes, whose bytes begin with the first element); scales, zero points
// and statistics have their type's. Device memory is what cudaMalloc and its kin give, on the
// context's device.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>

#include "cuqat/device_context.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// QuantParams with scales and zero points in device memory.
struct DeviceQuantParams {
  Quantizer quantizer;
  Granularity granularity;
  /// One entry for each scale of the granularity, in any shape: f64 for f64 tensors, else f32. A
  /// scale of 0 passes x through fake_quantize unchanged (a NaN as the quiet NaN) and unclipped;
  /// others that the host functions refuse (negative, NaN, infinite) give unspecified numbers.
  ConstDeviceTensorView scale;
  /// As many as scales, or none for all zero. Codes of an integer format; FP8 has none.
  DeviceSpan<const std::int32_t> zero_point;
};

/// codes = quantize(x), as fake_quant.hpp says.
/// Shape:  x any; codes exactly codes_bytes(x.count(), layout).
/// Values: as the host function; with a scale of 0 unspecified.
/// Order:  on the stream.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument where counts do not match the granularity, the scales' dtype is not x's
///         compute type, rounding is kOriginal with FP8, the layout does not fit the format, or a
///         pointer is not one that the device can use; CudaError where the launch fails.
void quantize(ConstDeviceTensorView x, const DeviceQuantParams& params,
              DeviceSpan<std::uint8_t> codes, CodeLayout layout, const DeviceContext& context,
              StreamRef stream);

/// The same, and the statistics of x in the same read.
/// Shape:  statistics one entry, 8-byte aligned.
/// Order:  on the stream. It uses the context's scratch memory.
/// Agrees: bit for bit with every backend.
/// @throws as quantize.
void quantize(ConstDeviceTensorView x, const DeviceQuantParams& params,
              DeviceSpan<std::uint8_t> codes, CodeLayout layout, DeviceSpan<Statistics> statistics,
              const DeviceContext& context, StreamRef stream);

/// The codes of a matrix and those of its transpose in one read of it, as fake_quant.hpp says.
/// Shape:  x of rank 2, [rows, columns]; codes exactly x.count(), or empty where only the transpose
///         is wanted; codes_transposed exactly x.count(). Fastest where rows and columns are
///         multiples of 16.
/// Values: as quantize.
/// Order:  on the stream.
/// Agrees: bit for bit with every backend.
/// @throws as quantize, where x has another rank, and where spans overlap.
void quantize_transposed(ConstDeviceTensorView x, const DeviceQuantParams& params,
                         DeviceSpan<std::uint8_t> codes, DeviceSpan<std::uint8_t> codes_transposed,
                         const DeviceContext& context, StreamRef stream);

/// y = dequantize(codes).
/// Shape:  codes exactly codes_bytes(y.count(), layout).
/// Values: as the host function.
/// Order:  on the stream.
/// Agrees: bit for bit with every backend.
/// @throws as quantize.
void dequantize(DeviceSpan<const std::uint8_t> codes, const DeviceQuantParams& params,
                DeviceTensorView y, CodeLayout layout, const DeviceContext& context,
                StreamRef stream);

/// What fake_quantize may write besides y, in the same read of x.
struct FakeQuantizeExtras {
  /// None, or exactly clip_mask_bytes(x.count()): bit i % 8 of byte i / 8 is 1 where element i is
  /// clipped or NaN; 0 where the scale is 0.
  DeviceSpan<std::uint8_t> clip_mask;
  /// None, or one entry, the statistics of x; 8-byte aligned.
  DeviceSpan<Statistics> statistics;
};

/// y = dequantize(quantize(x)) in one pass.
/// Shape:  y as x, of the same dtype; y may be x itself (in place) but not overlap it otherwise.
/// Values: as the host function.
/// Order:  on the stream. With statistics it uses the context's scratch memory.
/// Agrees: bit for bit with every backend.
/// @throws as quantize, and where x and y differ in dtype or shape or overlap otherwise.
void fake_quantize(ConstDeviceTensorView x, const DeviceQuantParams& params, DeviceTensorView y,
                   const FakeQuantizeExtras& extras, const DeviceContext& context,
                   StreamRef stream);

/// dx = dy where x is not clipped, else +0: the straight-through gradient.
/// Shape:  dy, x and dx alike, of one dtype; dx may be dy or x itself (in place).
/// Values: dy's bits, NaN included, where x is not clipped; +0 elsewhere, whatever dy is.
/// Order:  on the stream.
/// Agrees: bit for bit with every backend.
/// @throws as fake_quantize.
void fake_quantize_backward(ConstDeviceTensorView dy, ConstDeviceTensorView x,
                            const DeviceQuantParams& params, DeviceTensorView dx,
                            const DeviceContext& context, StreamRef stream);

/// The same from the mask that fake_quantize wrote; x is not needed.
/// Shape:  dx as dy; clip_mask exactly clip_mask_bytes(dy.count()). In place (dx is dy) only the
///         clipped elements are written, and dy is not read.
/// Order:  on the stream.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument where shapes, dtypes or sizes differ; CudaError where the launch fails.
void fake_quantize_backward(ConstDeviceTensorView dy, DeviceSpan<const std::uint8_t> clip_mask,
                            DeviceTensorView dx, const DeviceContext& context, StreamRef stream);

/// Gradients of the learned scale and zero point, one entry for each scale of the granularity, in
/// x's compute type and aligned as that is.
struct DeviceLearnedScaleGradient {
  DeviceTensorView dscale;       ///< Written.
  DeviceTensorView dzero_point;  ///< Written; empty where it is not wanted, and for FP8.
};

/// Bytes of scratch memory that learned_scale_backward takes for a tensor of this shape: what
/// DeviceContext::workspace_bytes() must be at least. 0 where no scale has more than 4 096
/// elements, else 256 and at most 1/32 of a byte for each element.
/// @throws InvalidArgument as num_scales; BackendUnavailable in a build without CUDA code.
std::size_t learned_scale_workspace_bytes(const Shape& shape, const Granularity& granularity);

/// Straight-through dx together with the gradients of a learned scale and zero point, as
/// fake_quant.hpp says, in one read of dy and x.
/// Shape:  dy, x and dx alike, of one dtype; dx may be dy or x itself (in place).
/// Values: as the host function, summed in its order. A scale of 0 passes x through: dx = dy, and
///         each of its terms is 0, so both gradients are +0 or -0.
/// Order:  on the stream, one launch and one more for each round of the sums past the first: none
///         up to 4 096 elements a scale, one up to 2^24. It uses the context's scratch memory.
/// Agrees: bit for bit with every backend.
/// @param gradient_scale  replaces g = 1 / sqrt(N * qmax) where it is given.
/// @throws as fake_quantize; InvalidArgument for a gradient scale that is not finite, and where the
///         context has less scratch memory than learned_scale_workspace_bytes says.
void learned_scale_backward(ConstDeviceTensorView dy, ConstDeviceTensorView x,
                            const DeviceQuantParams& params, DeviceTensorView dx,
                            const DeviceLearnedScaleGradient& gradient,
                            std::optional<double> gradient_scale, const DeviceContext& context,
                            StreamRef stream);

}  // namespace cuqat
