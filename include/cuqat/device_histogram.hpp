// Histograms of tensors in device memory.
#pragma once

#include <cstdint>

#include "cuqat/device_context.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Adds the tensor's keys to `counts`: of bf16 and f16 elements, after one read, the exact
/// distribution. Merging histograms is adding them; zero bytes are an empty one.
/// Shape:  x of dtype bf16, f16 or f32, any shape; counts kNumKeys entries in device memory.
/// Values: as the host function. Counts are exact up to 2^64 - 1.
/// Order:  on the stream; it does not wait or allocate.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument for f64, another number of counts, a pointer that the device cannot use
///         or that is not 8-byte aligned, counts in memory of x; CudaError where the launch fails.
void accumulate_key_histogram(ConstDeviceTensorView x, DeviceSpan<std::uint64_t> counts,
                              const DeviceContext& context, StreamRef stream);

/// The same, with the statistics of x alone in the same read.
/// Shape:  result one entry, 8-byte aligned.
/// Values: as the host functions.
/// Order:  as above; it uses the context's scratch memory.
/// Agrees: bit for bit with every backend.
/// @throws as above, and for another number of results.
void accumulate_key_histogram(ConstDeviceTensorView x, DeviceSpan<std::uint64_t> counts,
                              DeviceSpan<Statistics> result, const DeviceContext& context,
                              StreamRef stream);

}  // namespace cuqat
