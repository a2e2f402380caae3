// Dynamic quantization: scales are found from the elements that share them, in the same call.
#pragma once

#include <cstdint>
#include <span>

#include "cuqat/backend.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// What is shared, and what becomes of a range. Scales and zero points are those of range_to_scale
/// over the extremes of the finite elements: CalibMethod::kMinMax of each tensor, channel or group
/// on its own. Where there is no finite element the scale is 1, the zero point 0.
struct DynamicQuantization {
  Quantizer quantizer;
  /// A row of a matrix is a group as long as its last axis, or any longer one.
  Granularity granularity;
  bool symmetric = true;  ///< Zero points are 0. FP8 has no other way.
};

/// codes = quantize(x) with the scales of x itself.
/// Shape:  x any; codes exactly codes_bytes(x.count(), layout).
/// Values: as quantize. Finite elements are not clipped, but for an end of an affine range, whose
///         zero point is rounded, and of a range near the largest numbers, whose scale is bounded.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done. Reads
///         x twice.
/// Agrees: bit for bit on every backend.
/// @return the scales and zero points, which dequantize takes.
/// @throws InvalidArgument as quantize, and for affine FP8.
QuantParams quantize_dynamic(ConstTensorView x, const DynamicQuantization& how,
                             std::span<std::uint8_t> codes, CodeLayout layout = CodeLayout::kBytes,
                             const HostOptions& options = {});

/// y = dequantize(quantize(x)) with the scales of x itself.
/// Shape:  y as x, of the same dtype; y may be x itself (in place) but not overlap it otherwise.
/// Values: as fake_quantize; clipped as quantize_dynamic.
/// Order:  as quantize_dynamic.
/// Agrees: bit for bit on every backend.
/// @return the scales and zero points.
/// @throws InvalidArgument as quantize_dynamic, and where x and y differ in dtype or shape.
QuantParams fake_quantize_dynamic(ConstTensorView x, const DynamicQuantization& how, TensorView y,
                                  const HostOptions& options = {});

}  // namespace cuqat
