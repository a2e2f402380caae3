// Products of matrices in device memory: the functions of gemm.hpp, multiplied by cuBLASLt.
//
// cuBLASLt is looked for, and its memory allocated (DeviceContext::Options), by the first product
// of a context, which therefore cannot be captured in a graph. Products of codes of a shape that is
// new to the context wait where the context tunes them; apart from that all functions only put work
// on the stream, so they can be captured, and the graph must not outlive the context. Scales, zero
// points and sums are read from device memory when the work runs; outputs must not overlap them.
//
// Codes have any shape and lie at any address: what cuBLASLt does not take as it is, is copied to
// the scratch memory first. It is as it is, and fastest, where k is a multiple of 16, n of 8 (FP8:
// of 16, and m too), m more than 16 (FP8: 31) and the addresses are multiples of 16. A weight that
// is not is copied at each call: one that is used often is better kept with more columns, of its
// zero point, which add nothing whatever finite numbers x has there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/gemm.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Bytes of scratch memory with which int8_gemm, int8_linear and fp8_linear make a product of this
/// shape in one piece, wherever its operands lie; linear takes less, where k is not 0. With less
/// they make it in pieces, which DeviceContext::workspace_bytes() bounds. What the smallest takes
/// is the least: where operands are copied 48 bytes for each of up to 131 072 inputs (FP8: of k),
/// which is less than a context has unless it is told otherwise, and some KiB; 64 where y is the
/// product itself.
/// @throws InvalidArgument as int8_gemm for a shape; BackendUnavailable in a build without CUDA.
std::size_t product_workspace_bytes(const GemmShape& shape);

/// product[i, j] = sum over k of x[i, k] w[j, k], exactly.
/// Shape:  x m * k, w n * k codes of int8 or int4, a byte each; product m * n. Any extent may be 0.
/// Values: of the product nothing but the codes' sums.
/// Order:  on the stream. It may use the context's scratch memory, and does where n is no multiple
///         of 8. Waits, once for each shape, where the context tunes products.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument as the host function, for a pointer that the device cannot use, for the
///         first product of a context while the stream is captured, and for less scratch memory
///         than the smallest piece takes; BackendUnavailable where there is no cuBLASLt; CudaError
///         where a launch or cuBLASLt fails.
void int8_gemm(DeviceSpan<const std::uint8_t> x, DeviceSpan<const std::uint8_t> w,
               const GemmShape& shape, DeviceSpan<std::int32_t> product,
               const DeviceContext& context, StreamRef stream);

/// sums[i] = the sum of row i of codes, as int8: what a layer with zero points asks of its weight.
/// Shape:  codes `columns` for each sum, of int8 or int4, a byte each.
/// Values: exact.
/// Order:  on the stream.
/// Agrees: it has no namesake on the host.
/// @throws InvalidArgument for a size that does not match, a negative number of columns, and a
///         pointer that the device cannot use; CudaError where the launch fails.
void sum_code_rows(DeviceSpan<const std::uint8_t> codes, std::int64_t columns,
                   DeviceSpan<std::int64_t> sums, const DeviceContext& context, StreamRef stream);

/// y = dequantize(x) dequantize(w)^T + bias in integers, as gemm.hpp says.
/// Shape:  as the host function; scales and zero points are in device memory, of y's compute type.
///         w_sums: none, or what sum_code_rows says of w, which spares a read of it at each call;
///         used where x has zero points.
/// Values: as the host function. A scale of 0 makes zeros; others that the host refuses, and zero
///         points so large that a sum leaves int64, give unspecified numbers.
/// Order:  as int8_gemm. It uses the context's scratch memory.
/// Agrees: bit for bit with every backend.
/// @throws as int8_gemm.
void int8_linear(DeviceSpan<const std::uint8_t> x, const DeviceQuantParams& x_params,
                 DeviceSpan<const std::uint8_t> w, const DeviceQuantParams& w_params,
                 const GemmShape& shape, ConstDeviceTensorView bias,
                 DeviceSpan<const std::int64_t> w_sums, DeviceTensorView y,
                 const DeviceContext& context, StreamRef stream);

/// codes = quantize(y) of the y that int8_linear gives in f32, as gemm.hpp says: y goes through no
/// memory.
/// Shape:  as int8_linear above and the host function; all scales are f32, y_params has one.
/// Values: as the host function. Scales of x and w as above; with a y_params.scale of 0 or that the
///         host refuses, codes are unspecified.
/// Order:  as int8_linear above.
/// Agrees: bit for bit with every backend, and with int8_linear to f32 and quantize after it.
/// @throws as int8_linear above, for y_params of FP8 or another granularity.
void int8_linear(DeviceSpan<const std::uint8_t> x, const DeviceQuantParams& x_params,
                 DeviceSpan<const std::uint8_t> w, const DeviceQuantParams& w_params,
                 const GemmShape& shape, ConstDeviceTensorView bias,
                 DeviceSpan<const std::int64_t> w_sums, const DeviceQuantParams& y_params,
                 DeviceSpan<std::uint8_t> codes, const DeviceContext& context, StreamRef stream);

/// y = dequantize(x) dequantize(w)^T + bias of FP8 codes:
///   y[i, j] = (sx[i] * sw[j]) * t[i, j] + bias[j],
///   t[i, j] = sum over k of decode(x[i, k]) decode(w[j, k]),
/// t in f32, in an order of cuBLASLt's; then each step rounded once in f32, then to y's type.
/// Shape:  x m * k, w n * k codes of E4M3 or E5M2, not both of E5M2. x_params and w_params: one
///         scale, or one for each row, as int8_linear. bias of n f32 numbers, or empty. y of rank
///         2, [m, n], of f32, bf16 or f16.
/// Values: NaN and infinite codes go through as f32 has it; a NaN of y is its quiet NaN.
/// Order:  as int8_linear, but never waits: the fastest way of several might be another in the next
///         run, and with it the last bits.
/// Agrees: with no backend bit for bit. t is within 2^-6 sum |x| |w| of the exact sum: tensor cores
///         (sm_89, sm_90) may keep as few as 14 bits of sums of up to 128 products, and that is the
///         worst case. Not yet measured. From t on, y is exact as above. The same bits in every run
///         on one device and version of cuBLASLt, for as much scratch memory.
/// @throws as int8_linear; BackendUnavailable for a device below compute capability 8.9.
void fp8_linear(DeviceSpan<const std::uint8_t> x, const DeviceQuantParams& x_params,
                DeviceSpan<const std::uint8_t> w, const DeviceQuantParams& w_params,
                const GemmShape& shape, ConstDeviceTensorView bias, DeviceTensorView y,
                const DeviceContext& context, StreamRef stream);

/// y = op(a) op(b), as gemm.hpp says.
/// Shape:  as the host function. a, b and y lie where their elements do: at multiples of a number's
///         size.
/// Values: sums in f32 (f64: in f64), in an order of cuBLASLt's, then rounded to y's type. f32 is
///         not shortened to TF32. Which NaN a NaN is, is not said.
/// Order:  on the stream. Uses no scratch memory, and never waits, as fp8_linear.
/// Agrees: f32 within (k + 2) 2^-24 sum |a| |b| of the exact product, as the host; f64 within
///         (k + 2) 2^-53 of it, in another order than the host's; bf16 and f16 within
///         (k + 2) 2^-22, as tensor cores cut off what they add, apart from the rounding to 16
///         bits. The same bits in every run on one device and version of cuBLASLt.
/// @throws InvalidArgument as the host function and int8_gemm, and for an address between elements;
///         BackendUnavailable and CudaError as int8_gemm.
void gemm(ConstDeviceTensorView a, Transpose of_a, ConstDeviceTensorView b, Transpose of_b,
          DeviceTensorView y, const DeviceContext& context, StreamRef stream);

/// y = x w^T + bias, of real numbers: gemm, to f32 where y has less, and then the bias is added.
/// Shape:  x [m, k], w [n, k] and y [m, n] as gemm; bias of n numbers of the compute type, or
///         empty.
/// Values: as gemm; the sum with the bias is rounded once in the compute type, then to y's type.
/// Order:  as gemm, one kernel more. Where y has 16 bits and a bias it uses the context's scratch
///         memory for sums, 4 bytes each: with product_workspace_bytes for all of them at once,
///         with less it makes the product in pieces.
/// Agrees: as gemm, the bias being one product more; the same bits for as much scratch memory.
/// @throws as gemm, for a bias that does not fit, and for scratch memory of less than 32 bytes
///         where it is used.
void linear(ConstDeviceTensorView x, ConstDeviceTensorView w, ConstDeviceTensorView bias,
            DeviceTensorView y, const DeviceContext& context, StreamRef stream);

/// The ways to make products that the context has found so far, as bytes.
/// Order:  allocates as a first product, if there was none, and waits for that but for no stream.
/// @throws BackendUnavailable and CudaError as int8_gemm.
std::vector<std::byte> save_product_plans(const DeviceContext& context);

/// Takes the ways that save_product_plans gave, in this process or another: products of those kinds
/// are neither asked about nor tried, and have the same bits as where the plans were made.
/// Values: what cuBLASLt does not take any more is left out.
/// Order:  as save_product_plans.
/// @throws DataError for bytes that are damaged, of another version of cuqat or cuBLASLt, or of a
///         device with another compute capability or number of multiprocessors: nothing is taken
///         then; BackendUnavailable and CudaError as int8_gemm.
void load_product_plans(std::span<const std::byte> plans, const DeviceContext& context);

}  // namespace cuqat
