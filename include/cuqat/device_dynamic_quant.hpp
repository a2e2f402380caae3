// Dynamic quantization of tensors in device memory: the functions of dynamic_quant.hpp, with the
// same bits.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cuqat/device_context.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_observers.hpp"
#include "cuqat/dynamic_quant.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Bytes of scratch memory that the functions below take for a tensor of this shape: what
/// DeviceContext::workspace_bytes() must be at least. sizeof(Statistics) for each scale of tensors
/// and channels, 0 for groups.
/// @throws InvalidArgument as num_scales; BackendUnavailable in a build without CUDA code.
std::size_t dynamic_workspace_bytes(const Shape& shape, const Granularity& granularity);

/// codes = quantize(x) with the scales of x itself, which are left in device memory.
/// Shape:  x any; codes exactly codes_bytes(x.count(), layout); scales one for each scale of the
///         granularity, with zero points where the range is affine.
/// Values: as the host function.
/// Order:  on the stream; it does not wait or allocate. Groups and rows: one launch (two for packed
///         codes of groups that begin within a byte) and one read of x, of which a block keeps 16
///         KiB of a row on chip; the rest of longer rows is read again. A block for each long row:
///         a tensor of a few such rows is faster as tensors or channels. Tensors and channels: two
///         reads, several launches, and the context's scratch memory.
/// Agrees: bit for bit with every backend.
/// @throws InvalidArgument as the host function, for sizes that do not match the granularity, a
///         pointer that the device cannot use, less scratch memory than dynamic_workspace_bytes
///         says; CudaError where a launch fails.
void quantize_dynamic(ConstDeviceTensorView x, const DynamicQuantization& how,
                      DeviceSpan<std::uint8_t> codes, CodeLayout layout, const DeviceScales& scales,
                      const DeviceContext& context, StreamRef stream);

/// y = dequantize(quantize(x)) with the scales of x itself, which are left in device memory.
/// Shape:  y as x, of the same dtype; y may be x itself (in place) but not overlap it otherwise.
/// Values: as the host function; mask and statistics as those of fake_quantize with these scales.
/// Order:  as quantize_dynamic; groups and rows take two launches and two reads of x where there is
///         a mask and a group begins within a byte of it. Statistics take scratch memory, which
///         every context has.
/// Agrees: bit for bit with every backend.
/// @throws as quantize_dynamic and fake_quantize.
void fake_quantize_dynamic(ConstDeviceTensorView x, const DynamicQuantization& how,
                           DeviceTensorView y, const DeviceScales& scales,
                           const FakeQuantizeExtras& extras, const DeviceContext& context,
                           StreamRef stream);

}  // namespace cuqat
