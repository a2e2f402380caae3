// Products of codes, as layers take them: x [m, k] is a batch of rows, w [n, k] a weight with a row
// for each output.
#pragma once

#include <cstdint>
#include <span>

#include "cuqat/backend.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// x [m, k] times the transpose of w [n, k] is [m, n]. All are row-major.
struct GemmShape {
  std::int64_t m = 0;
  std::int64_t n = 0;
  std::int64_t k = 0;

  friend constexpr bool operator==(const GemmShape&, const GemmShape&) = default;
};

/// The largest k whose products of int8 codes int32 always holds: (2^31 - 1) / 128^2.
inline constexpr std::int64_t kMaxInt32Depth = 131'071;

/// product[i, j] = sum over k of x[i, k] w[j, k], exactly.
/// Shape:  x m * k, w n * k codes of int8 or int4, a byte each; product m * n. Any extent may be 0.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for a negative extent, sizes that do not match the shape, k above
///         kMaxInt32Depth, and a product in memory of x or w.
void int8_gemm(std::span<const std::uint8_t> x, std::span<const std::uint8_t> w,
               const GemmShape& shape, std::span<std::int32_t> product,
               const HostOptions& options = {});

/// y = dequantize(x) dequantize(w)^T + bias in integers, as inference runs it:
///   y[i, j] = sx[i] * sw[j] * t[i, j] + bias[j],
///   t[i, j] = sum over k of (x[i, k] - zx[i]) (w[j, k] - zw[j]),
/// t exactly, for any k; then, in y's compute type and each rounded once: t, sx * sw, their
/// product, the sum with the bias; then y's type. Shape:  x m * k, w n * k codes of int8 or int4, a
/// byte each. x_params: one scale, or one for each
///         row (channel(0), or groups of at least k); w_params: one, or one for each output
///         (channel(0)). bias of n numbers in y's compute type, or empty. y of rank 2, [m, n].
/// Order:  as int8_gemm. Takes memory for up to 2^20 sums, or n if that is more, and for n others.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for sizes and shapes that do not fit together, params as quantize and of
///         FP8 or another granularity, zero points (of the convention kOriginal) so large that a
///         sum might leave int64, and outputs in the memory of inputs.
void int8_linear(std::span<const std::uint8_t> x, const QuantParams& x_params,
                 std::span<const std::uint8_t> w, const QuantParams& w_params,
                 const GemmShape& shape, ConstTensorView bias, TensorView y,
                 const HostOptions& options = {});

}  // namespace cuqat
