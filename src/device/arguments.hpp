// Checks that the device functions share. All of them throw InvalidArgument, before any launch.
#pragma once

#include <cstdint>
#include <string_view>

#include "cuqat/calibration.hpp"
#include "cuqat/device_fake_quant.hpp"
#include "cuqat/device_observers.hpp"
#include "device/context.hpp"
#include "host/arguments.hpp"
#include "launchers.hpp"

namespace cuqat::detail {

/// The same elements, for the checks that only compare shapes and addresses.
template <bool IsConst>
ConstTensorView as_plain(const BasicTensorView<IsConst, MemorySpace::kDevice>& view) {
  return {view.data(), view.dtype(), view.shape()};
}
template <typename T>
std::span<T> as_plain(const DeviceSpan<T>& span) {
  return {span.data(), static_cast<std::size_t>(span.size())};
}

/// The scales and zero points, as inputs of the work.
Region scale_region(const DeviceQuantParams& params);
Region zero_point_region(const DeviceQuantParams& params);

/// An address that the context's device can use; anything where there are no bytes.
void check_device_pointer(std::string_view name, const void* data, std::size_t bytes,
                          const DeviceContext& context);

/// A context of the device that what is asked, "batch" say, has its memory on.
void check_context_of(std::string_view owner, int device, const DeviceContext& context);

void check_alignment(std::string_view name, const void* data, std::size_t alignment);

/// The statistics of one tensor, which the device writes.
void check_statistics(std::string_view name, const DeviceSpan<Statistics>& statistics,
                      const DeviceContext& context);

/// The mask and the statistics of `count` elements, where they are wanted.
void check_extras(const FakeQuantizeExtras& extras, std::int64_t count,
                  const DeviceContext& context);

/// An empty span may have any address.
template <typename T>
T* data_or_null(const DeviceSpan<T>& span) {
  return span.empty() ? nullptr : span.data();
}

template <bool IsConst>
void check_device_view(std::string_view name,
                       const BasicTensorView<IsConst, MemorySpace::kDevice>& view,
                       const DeviceContext& context) {
  check_view(name, as_plain(view));
  check_device_pointer(name, view.data(), view.size_bytes(), context);
}

template <typename T>
void check_device_span(std::string_view name, const DeviceSpan<T>& span, std::size_t expected,
                       std::string_view why, const DeviceContext& context) {
  check_size(name, static_cast<std::size_t>(span.size()), expected, why);
  check_device_pointer(name, span.data(), expected * sizeof(T), context);
}

/// Codes as many as the elements, and a layout that the format has.
void check_device_codes(DeviceSpan<const std::uint8_t> codes, std::int64_t count, Format format,
                        CodeLayout layout, const DeviceContext& context);

/// One entry for each scale of the granularity, at the alignment of its type.
template <typename T>
void check_per_scale(std::string_view name, const DeviceSpan<T>& entries, std::int64_t num_scales,
                     const DeviceContext& context) {
  check_device_span(name, entries, static_cast<std::size_t>(num_scales),
                    "one for each scale of the granularity", context);
  check_alignment(name, entries.data(), alignof(T));
}
/// The same of entries in the compute type of tensors of `dtype`.
void check_per_scale(std::string_view name, const ConstDeviceTensorView& entries, DType dtype,
                     std::int64_t num_scales, const DeviceContext& context);

/// Scales and zero points that the device writes, for tensors of `dtype`.
gpu::ScaleOutput check_scale_output(const DeviceScales& scales, DType dtype,
                                    std::int64_t num_scales, const Quantizer& quantizer,
                                    bool symmetric, const DeviceContext& context);

/// Of a tensor whose distribution the device answers from: any dtype but F64.
void check_calibrated_dtype(std::string_view name, DType dtype);

/// Options that fit together, of a method that the device answers.
void check_calibration(const CalibrationOptions& method);

/// A dtype that must be the compute type of `dtype`.
void check_compute_type(std::string_view name, DType found, DType dtype);

/// Scratch memory apart from that of reductions, aligned as cudaMalloc aligns.
/// @throws InvalidArgument where there is less.
void* scratch(std::size_t bytes, const DeviceContext& context);

/// The same for `size` objects.
template <typename T>
DeviceSpan<T> scratch_span(std::int64_t size, const DeviceContext& context) {
  return {static_cast<T*>(scratch(static_cast<std::size_t>(size) * sizeof(T), context)), size};
}

/// How elements map to scales, without scales.
gpu::DeviceScaledTensor unscaled_tensor(DType dtype, const Shape& shape,
                                        const Granularity& granularity);

/// Checked parameters over a tensor of this dtype and shape.
gpu::DeviceScaledTensor check_scaled(DType dtype, const Shape& shape,
                                     const DeviceQuantParams& params, const DeviceContext& context);

/// Checked arguments of fake_quantize.
gpu::FakeQuantizeWork check_fake_quantize(const ConstDeviceTensorView& x,
                                          const DeviceQuantParams& params,
                                          const DeviceTensorView& y,
                                          const FakeQuantizeExtras& extras,
                                          const DeviceContext& context);

}  // namespace cuqat::detail
