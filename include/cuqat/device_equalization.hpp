// Channel equalization of tensors in device memory; equalization.hpp says what it is for.
#pragma once

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

}  // namespace cuqat
