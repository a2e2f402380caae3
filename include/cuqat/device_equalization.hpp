// Channel equalization of tensors in device memory; equalization.hpp says what it is for.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuqat/device_context.hpp"
#include "cuqat/equalization.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// The factors of equalization_factors, from statistics of channels that the device has.
/// Shape:  activations and weights one Statistics for each input channel; factors as many, in any
///         shape, of dtype f32.
/// Values: as the host function.
/// Order:  on the stream; it does not wait or allocate.
/// Agrees: bit for bit with the host.
/// @throws InvalidArgument for sizes that differ, an alpha outside [0, 1], factors in memory of the
///         statistics, a pointer that the device cannot use; CudaError where the launch fails.
void equalization_factors(DeviceSpan<const Statistics> activations,
                          DeviceSpan<const Statistics> weights, double alpha,
                          DeviceTensorView factors, const DeviceContext& context, StreamRef stream);

/// y = x / factor, or x * factor, of each element's channel, as equalization.hpp says.
/// Shape:  y as x, which may be x itself; factors one for each index of the axis, f64 for f64
///         tensors, f32 for all others.
/// Values: as the host functions. A factor of 0 or one that is not finite gives what the division
///         or the product is.
/// Order:  on the stream; it does not wait or allocate.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument for shapes or dtypes that differ, an axis that x does not have, y in
///         memory that x uses otherwise or factors use, a pointer that the device cannot use;
///         CudaError where the launch fails.
void divide_channels(ConstDeviceTensorView x, int axis, ConstDeviceTensorView factors,
                     DeviceTensorView y, const DeviceContext& context, StreamRef stream);
void multiply_channels(ConstDeviceTensorView x, int axis, ConstDeviceTensorView factors,
                       DeviceTensorView y, const DeviceContext& context, StreamRef stream);

/// Relative squared error of a quantized linear layer, left in device memory.
/// Shape:  x and xq [rows, inputs], w and wq [outputs, inputs], of any dtypes; result one entry,
///         8-byte aligned.
/// Values: as the host function.
/// Order:  on the stream; it does not wait or allocate and uses the context's scratch memory, of
///         which output_error_workspace_bytes says how much. Both products are made in f64 by
///         a kernel of cuqat's own, as cuBLASLt promises no order of its sums: rows * inputs *
///         outputs steps each, whose rate is that of f64 arithmetic.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument for shapes that do not fit together, another number of results, a
///         pointer that the device cannot use, a result that is not aligned or in memory that is
///         read, too little scratch memory; CudaError where a launch fails.
void output_error(ConstDeviceTensorView x, ConstDeviceTensorView w, ConstDeviceTensorView xq,
                  ConstDeviceTensorView wq, DeviceSpan<double> result, const DeviceContext& context,
                  StreamRef stream);

/// Scratch memory of the context that output_error takes to compare `rows_at_once` rows at once, at
/// least one: 256 bytes, and for each row 16 and 16 for each output. Where there is memory for 64
/// rows it takes a multiple of that many at once. A block makes 64 rows of 128 outputs: an H100,
/// which holds 264 blocks, is busy where rows_at_once / 64 * outputs / 128 is as much.
/// @throws InvalidArgument for fewer than 0 outputs or one row, or more bytes than there can be.
std::size_t output_error_workspace_bytes(std::int64_t outputs, std::int64_t rows_at_once);

/// The strength of least output error, found on the device; only the errors and what the best
/// strength gives come to the host.
/// Shape:  as the host function.
/// Values: as the host function.
/// Order:  waits for the stream: once for the errors of all strengths and once for the answer. It
///         allocates device memory: a copy of x and of w, 8 bytes for each output of each row (x
///         w^T, which is multiplied once for all strengths), what calibrate_scales takes for each
///         of x and w (the larger), up to 64 MB, or 1 KiB an output if that is more, for the
///         products of a strength, and 200 bytes an input or output; and pinned host memory for
///         the answer.
/// Agrees: bit for bit with the host, in all that it returns.
/// @throws InvalidArgument as the host function, for a method other than kMinMax for f64, the
///         entropy dialect kOriginal (the host answers them), a pointer that the device cannot use;
///         CudaError.
Equalization find_equalization(ConstDeviceTensorView x, ConstDeviceTensorView w,
                               const EqualizationOptions& options, const DeviceContext& context,
                               StreamRef stream);

}  // namespace cuqat
