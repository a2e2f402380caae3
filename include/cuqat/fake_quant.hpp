// Quantize, dequantize, fake quantize, and the gradients that train through it.
//
// In all of them C is the compute type: f64 for f64 tensors, f32 for every other. Each step is one
// correctly rounded operation in C; nothing is fused. docs/numerics.md is the full definition.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "cuqat/backend.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// How codes lie in memory.
enum class CodeLayout : std::uint8_t {
  kBytes,   ///< One code a byte: two's complement integers, or FP8 encodings.
  kNibbles  ///< int4 only: two codes a byte, the earlier element in the low four bits. A last
            ///< byte with one code has its high four bits zero.
};

/// Bytes that `count` codes take.
/// @throws InvalidArgument for a negative count.
std::size_t codes_bytes(std::int64_t count, CodeLayout layout);

/// Bytes of a packed clip mask over `count` elements: one bit each, rounded up.
/// @throws InvalidArgument for a negative count.
std::size_t clip_mask_bytes(std::int64_t count);

/// codes = quantize(x): clamp(rint(x / s) + z, qmin, qmax) for integers in the nearest-even
/// convention, encode(x / s) for FP8.
/// Shape:  x any; codes exactly codes_bytes(x.count(), layout).
/// Values: NaN gives z (integers) or the format's NaN (FP8); infinities saturate, or as
///         Quantizer::saturate says.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for a scale that is not positive and finite in C, a zero point that is
///         no code (nearest-even convention) or not 0 (FP8), counts that do not match the
///         granularity, rounding kOriginal with FP8, kNibbles with anything but int4.
void quantize(ConstTensorView x, const QuantParams& params, std::span<std::uint8_t> codes,
              CodeLayout layout = CodeLayout::kBytes, const HostOptions& options = {});

/// The codes of a matrix and those of its transpose from one read of it: what a matrix product and
/// its gradients take, as FP8 products want both operands along the summed axis.
/// codes_transposed[column * rows + row] is codes[row * columns + column].
/// Shape:  x of rank 2, [rows, columns]; codes exactly x.count(), or empty where only the transpose
///         is wanted; codes_transposed exactly x.count(). One code a byte.
/// Values: as quantize; the granularity is x's, not the transpose's.
/// Order:  as quantize.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument as quantize, where x has another rank, and where spans overlap.
void quantize_transposed(ConstTensorView x, const QuantParams& params,
                         std::span<std::uint8_t> codes, std::span<std::uint8_t> codes_transposed,
                         const HostOptions& options = {});

/// y = dequantize(codes): (q - z) * s with the subtraction in int32, decode(q) * s for FP8, rounded
/// to y's type.
/// Shape:  codes exactly codes_bytes(y.count(), layout).
/// Values: an FP8 NaN or infinity stays one. An int8 byte outside the narrow range is taken as is.
/// Order:  as quantize.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument as quantize.
void dequantize(std::span<const std::uint8_t> codes, const QuantParams& params, TensorView y,
                CodeLayout layout = CodeLayout::kBytes, const HostOptions& options = {});

/// y = dequantize(quantize(x)) in one pass, rounded to nearest even in y's type.
/// Shape:  y as x, of the same dtype; y may be x itself (in place) but not overlap it otherwise.
///         clip_mask empty, or exactly clip_mask_bytes(x.count()).
/// Values: NaN stays NaN. Integer formats give +0 for -0, FP8 keeps the sign.
///         Bit i % 8 of clip_mask[i / 8] is 1 where element i is clipped: where the rounded but
///         unclamped value is outside the format's finite range, and where x is NaN. The bits
///         after the last element are 0.
/// Order:  as quantize.
/// Agrees: bit for bit on every backend; with kOriginal and f64 equal to cuqat::original for every
///         x that is not NaN.
/// @throws InvalidArgument as quantize, and where x and y differ in dtype or shape.
void fake_quantize(ConstTensorView x, const QuantParams& params, TensorView y,
                   std::span<std::uint8_t> clip_mask = {}, const HostOptions& options = {});

/// Straight-through gradient: dx = dy where x is not clipped (as fake_quantize's mask says), else
/// +0, also where dy is NaN or infinite.
/// Shape:  dy, x and dx alike, of one dtype; dx may be dy or x itself.
/// Order:  as quantize.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument as fake_quantize.
void fake_quantize_backward(ConstTensorView dy, ConstTensorView x, const QuantParams& params,
                            TensorView dx, const HostOptions& options = {});

/// The same gradient from the packed mask of the forward pass; x need not be kept.
/// Shape:  dy and dx alike; clip_mask exactly clip_mask_bytes(dy.count()). dx may be dy itself:
///         then only clipped elements are written.
/// Order:  as quantize.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument where sizes or dtypes do not match.
void fake_quantize_backward(ConstTensorView dy, std::span<const std::uint8_t> clip_mask,
                            TensorView dx, const HostOptions& options = {});

/// Gradients of the learned scale and zero point, one entry for each scale of the granularity.
struct LearnedScaleGradient {
  std::span<double> dscale;       ///< Written; values of C.
  std::span<double> dzero_point;  ///< Written; empty where it is not wanted, and for FP8.
};

/// Straight-through dx together with the gradients of a learned scale and zero point (LSQ, Esser
/// et al. 2020; LSQ+, Bhalgat et al. 2020), in one read:
///   dscale      = g * sum dy * ((y - x) / s inside, qmin - z below, qmax - z above)
///   dzero_point = -g * s * sum dy outside,   g = 1 / sqrt(N * qmax)
/// where N is the number of elements that share the scale, y the fake-quantized value in C.
/// Shape:  dy, x and dx alike; dx may be dy or x itself. The gradient's spans have num_scales
///         entries.
/// Values: each term is rounded to C after each operation, then summed in f64 in one fixed order
///         (docs/numerics.md, "Fixed-order sum"). A NaN in x or dy of a clipped element follows
///         the same rule: x = NaN contributes 0 to both.
/// Order:  as quantize.
/// Agrees: bit for bit on every backend.
/// @param gradient_scale  replaces g where it is given.
/// @throws InvalidArgument as fake_quantize.
void learned_scale_backward(ConstTensorView dy, ConstTensorView x, const QuantParams& params,
                            TensorView dx, const LearnedScaleGradient& gradient,
                            std::optional<double> gradient_scale = std::nullopt,
                            const HostOptions& options = {});

}  // namespace cuqat
