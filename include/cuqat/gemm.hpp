// Products of matrices: of codes, as inference takes them (x [m, k] is a batch of rows, w [n, k] a
// weight with a row for each output), and of real numbers, as training does.
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
/// product, the sum with the bias; then y's type.
/// Shape:  x m * k, w n * k codes of int8 or int4, a byte each. x_params: one scale, or one for
///         each row (channel(0), or groups of at least k); w_params: one, or one for each output
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

/// codes = quantize(y) of the y that int8_linear gives in f32: what the next layer of codes takes,
/// in one pass.
/// Shape:  as int8_linear, y being f32; y_params of int8 or int4 with one scale (tensor); codes
///         m * n, a byte each.
/// Values: as quantize of y, in either convention; y is in no memory and not rounded to 16 bits. A
///         NaN of the bias gives the zero point.
/// Order:  as int8_linear.
/// Agrees: bit for bit on every backend, and with int8_linear to f32 and quantize after it.
/// @throws InvalidArgument as int8_linear, and y_params as quantize and of FP8 or another
///         granularity.
void int8_linear(std::span<const std::uint8_t> x, const QuantParams& x_params,
                 std::span<const std::uint8_t> w, const QuantParams& w_params,
                 const GemmShape& shape, ConstTensorView bias, const QuantParams& y_params,
                 std::span<std::uint8_t> codes, const HostOptions& options = {});

/// y = dequantize(x) dequantize(w)^T + bias of FP8 codes, as inference runs it:
///   y[i, j] = (sx[i] * sw[j]) * t[i, j] + bias[j],
///   t[i, j] = sum over k of decode(x[i, k]) decode(w[j, k]),
/// t in f32, in an order of the backend's own (of E4M3 its products are exact); then, each rounded
/// once, in f32: sx * sw, its product with t, the sum with the bias; then y's type.
/// Shape:  x m * k codes of E4M3 or E5M2, w n * k codes of E4M3 or E5M2. Params, bias and y as
///         int8_linear, but y is not f64.
/// Values: a NaN or an infinity among the codes gives those that arithmetic gives.
/// Order:  as int8_gemm. Takes memory for w as f32 and for up to 2^18 numbers of x and of t, or
///         for one row of each.
/// Agrees: t within (k + 2) 2^-24 sum |x| |w| of the exact sum; the same bits in every run with as
///         many threads.
/// @throws InvalidArgument as int8_linear, and for integers.
void fp8_linear(std::span<const std::uint8_t> x, const QuantParams& x_params,
                std::span<const std::uint8_t> w, const QuantParams& w_params,
                const GemmShape& shape, ConstTensorView bias, TensorView y,
                const HostOptions& options = {});

/// How an operand is taken.
enum class Transpose : std::uint8_t { kNo, kYes };

/// y = op(a) op(b): with op(a) [m, k] and op(b) [k, n], of which a is [k, m] where it is
/// transposed, b [n, k]. Of a linear layer y = x w^T, dx = dy w and dw = dy^T x.
/// Shape:  a, b and y of rank 2; a and b of one dtype, y of that or, if it is not f64, of f32. Any
///         extent may be 0.
/// Values: of f64: products added in the order of k, from +0, each step rounded. Of all others:
///         sums in f32, in an order of the backend's own, then rounded to y's type.
/// Order:  as int8_gemm. Takes memory for f32 numbers of what has 16 bits, and for a transpose of
///         what is f64 or not multiplied by oneDNN.
/// Agrees: of f64 bit for bit on every backend. Of all others each backend is within
///         (k + 2) 2^-24 sum |a| |b| of the exact product, apart from the rounding to 16 bits; the
///         same bits in every run with as many threads.
/// @throws InvalidArgument for shapes and dtypes that do not fit together, and y in memory of a or
///         b.
void gemm(ConstTensorView a, Transpose of_a, ConstTensorView b, Transpose of_b, TensorView y,
          const HostOptions& options = {});

/// y = x w^T + bias, of real numbers: gemm(x, kNo, w, kYes, y), whose sums begin with the bias.
/// Shape:  x [m, k], w [n, k] and y [m, n] as gemm; bias of n numbers of the compute type, or
/// empty. Order, Agrees: as gemm, the bias being one product more.
/// @throws InvalidArgument as gemm, and for a bias that does not fit.
void linear(ConstTensorView x, ConstTensorView w, ConstTensorView bias, TensorView y,
            const HostOptions& options = {});

}  // namespace cuqat
