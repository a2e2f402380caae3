// Checks that the device functions share. All of them throw InvalidArgument, before any launch.
#pragma once

#include <cstdint>
#include <string_view>

#include "cuqat/device_fake_quant.hpp"
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

/// An address that the context's device can use; anything where there are no bytes.
void check_device_pointer(std::string_view name, const void* data, std::size_t bytes,
                          const DeviceContext& context);

void check_alignment(std::string_view name, const void* data, std::size_t alignment);

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

/// Checked parameters over a tensor of this dtype and shape.
gpu::DeviceScaledTensor check_scaled(DType dtype, const Shape& shape,
                                     const DeviceQuantParams& params, const DeviceContext& context);

}  // namespace cuqat::detail
