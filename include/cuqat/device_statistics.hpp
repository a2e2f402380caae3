// Statistics of tensors in device memory, and the error that quantizing them costs.
#pragma once

#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// The statistics of the whole tensor in one read, left in device memory.
/// Shape:  x any; result one entry, 8-byte aligned.
/// Values: as the host function.
/// Order:  on the stream; it does not wait or allocate and uses the context's scratch memory.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument for another number of results, a pointer that the device cannot use or
///         that is not aligned, a result in memory that x uses; CudaError where the launch fails.
void statistics(ConstDeviceTensorView x, DeviceSpan<Statistics> result,
                const DeviceContext& context, StreamRef stream);

/// The same for each channel or group, in one read.
/// Shape:  x any; result one entry for each scale that the granularity has, 8-byte aligned.
/// Values: as the host function.
/// Order:  on the stream; it does not wait or allocate. For a single scale it uses the context's
///         scratch memory, for several the results themselves.
/// Agrees: bit for bit with every backend.
/// @throws as above; InvalidArgument as num_scales, for another number of results, and where they
///         are in memory that x uses.
void statistics(ConstDeviceTensorView x, const Granularity& granularity,
                DeviceSpan<Statistics> result, const DeviceContext& context, StreamRef stream);

/// Error of y = fake_quantize(x) in the compute type, left in device memory.
/// Shape:  x any; statistics and result one entry for each scale that params.granularity has,
///         8-byte aligned. The statistics are those of x, or of more data that x is a part of:
///         their amax() is the unit of the clipping error.
/// Values: as the host function with these amax. A scale of 0 passes x through, without an error.
/// Order:  on the stream, two launches and one read of x; it does not wait or allocate.
/// Agrees: bit for bit with every backend, for every cut of the data.
/// @throws InvalidArgument as fake_quantize, for other numbers of statistics or results, and where
///         the result is in memory that something else uses; CudaError where a launch fails.
void quantization_error(ConstDeviceTensorView x, const DeviceQuantParams& params,
                        DeviceSpan<const Statistics> statistics,
                        DeviceSpan<QuantizationError> result, const DeviceContext& context,
                        StreamRef stream);

}  // namespace cuqat
