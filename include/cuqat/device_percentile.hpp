// Exact percentiles of tensors in device memory, several at once.
//
// Two ways to the same bits. By selection: the elements are counted by their upper 16 bits, and of
// f32 those of the keys in which the wanted ranks lie once more by their lower ones; nothing is
// copied. By sorting: a copy of the elements is sorted by CUB; any dtype, and every granularity.
#pragma once

#include <cstddef>
#include <span>

#include "cuqat/device_context.hpp"
#include "cuqat/format.hpp"
#include "cuqat/percentile.hpp"
#include "cuqat/quant_params.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Percentiles that one call may ask for.
inline constexpr std::size_t kMaxPercentiles = 16;

/// Scratch memory of the context that percentile_ranges takes: 513 KB for bf16 and f16, for f32
/// 512 KB more for each percentile, or for each end of a range by value. That is less than a
/// context has where its options do not say otherwise up to 14 percentiles of f32 by magnitude, or
/// 7 by value.
/// @throws InvalidArgument for f64, more than kMaxPercentiles.
std::size_t percentile_workspace_bytes(DType dtype, OrderBy order, std::size_t num_percentiles);

/// The percentile ranges of all finite elements of x, left in device memory.
/// Shape:  x of dtype bf16, f16 or f32, any shape; percentiles in [0, 100], result one entry for
///         each, 8-byte aligned.
/// Values: by magnitude [-a, a] with a = magnitude_percentile(x, p), by value percentile_range(x,
///         p); [0, 0] where nothing is finite.
/// Order:  on the stream; it does not wait or allocate and uses the context's scratch memory, of
///         which percentile_workspace_bytes says how much. Reads x once, f32 twice.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument for f64 (sorted_percentile_ranges has them), a percentile outside
///         [0, 100], more than kMaxPercentiles, another number of results, a pointer that the
///         device cannot use or that is not aligned, results in memory of x, too little scratch
///         memory; CudaError where a launch fails.
void percentile_ranges(ConstDeviceTensorView x, OrderBy order, std::span<const double> percentiles,
                       DeviceSpan<Range> result, const DeviceContext& context, StreamRef stream);

/// Scratch memory of the context that sorted_percentile_ranges takes for a tensor of this dtype,
/// shape and granularity on the context's device: two copies of the elements, and what CUB asks.
/// Order:  does not wait.
/// @throws InvalidArgument as num_scales, and for a context of another device than the current one;
///         CudaError where CUB refuses.
std::size_t sorted_percentile_workspace_bytes(DType dtype, const Shape& shape,
                                              const Granularity& granularity,
                                              const DeviceContext& context);

/// The same for each channel or group, by sorting (cub::DeviceRadixSort, and
/// cub::DeviceSegmentedRadixSort where there are many scales).
/// Shape:  x any; result [number of scales, number of percentiles], row-major, 8-byte aligned.
/// Values: as percentile_ranges, of the elements of each scale.
/// Order:  on the stream; it does not wait or allocate and uses the context's scratch memory, of
///         which sorted_percentile_workspace_bytes says how much. For less than one scale for each
///         multiprocessor, or scales of 2^31 elements and more, CUB is called for each scale.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument as percentile_ranges but for f64, and as num_scales; CudaError where a
///         launch fails.
void sorted_percentile_ranges(ConstDeviceTensorView x, const Granularity& granularity,
                              OrderBy order, std::span<const double> percentiles,
                              DeviceSpan<Range> result, const DeviceContext& context,
                              StreamRef stream);

}  // namespace cuqat
