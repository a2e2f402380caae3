#include "device/arguments.hpp"

#include <string>

#include "check.hpp"

namespace cuqat::detail {

void check_alignment(std::string_view name, const void* data, std::size_t alignment) {
  const std::size_t past = reinterpret_cast<std::uintptr_t>(data) % alignment;
  if (past == 0) return;
  throw_invalid(name, text(past) + " bytes past a multiple of " + text(alignment),
                "at such a multiple");
}

void check_device_pointer(std::string_view name, const void* data, std::size_t bytes,
                          const DeviceContext& context) {
  if (bytes == 0) return;
  if (data == nullptr) throw_invalid(name, "null", "an address in device memory");
  if (!context.state().check_pointers) return;
  cudaPointerAttributes attributes{};
  const cudaError_t status = cudaPointerGetAttributes(&attributes, data);
  if (status == cudaErrorInvalidValue) {
    static_cast<void>(cudaGetLastError());
    throw_invalid(name, "an address that CUDA does not know", "one in device memory");
  }
  gpu::check(status);  // a fault of earlier work, say, and no mistake of this call
  const bool usable =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  if (!usable) throw_invalid(name, "in host memory", "in device memory");
  if (attributes.type == cudaMemoryTypeDevice && attributes.device != context.device()) {
    throw_invalid(name, "on device " + text(attributes.device),
                  "on the context's device, " + text(context.device()));
  }
}

gpu::DeviceScaledTensor check_scaled(DType dtype, const Shape& shape,
                                     const DeviceQuantParams& params,
                                     const DeviceContext& context) {
  const Quantizer& quantizer = params.quantizer;
  check_quantizer("params.quantizer", quantizer);
  gpu::DeviceScaledTensor tensor{
      dtype, shape, resolve_axis(params.granularity, shape), quantizer, 0, nullptr, nullptr};
  tensor.num_scales = num_scales(tensor.granularity, shape);
  const DType compute = compute_type(dtype);
  if (params.scale.dtype() != compute) {
    throw_invalid(
        "params.scale.dtype()", to_string(params.scale.dtype()),
        std::string(to_string(compute)) + ", the compute type of " + std::string(to_string(dtype)));
  }
  constexpr std::string_view kWhy = "one for each scale of the granularity";
  const auto scales = static_cast<std::size_t>(tensor.num_scales);
  check_size("params.scale", static_cast<std::size_t>(params.scale.count()), scales, kWhy);
  check_device_pointer("params.scale", params.scale.data(), params.scale.size_bytes(), context);
  check_alignment("params.scale", params.scale.data(), dtype_bytes(compute));
  tensor.scale = params.scale.data();
  if (params.zero_point.empty()) return tensor;
  if (!is_integer(quantizer.format)) {
    check_size("params.zero_point", static_cast<std::size_t>(params.zero_point.size()), 0,
               "as FP8 has no zero point");
  }
  check_device_span("params.zero_point", params.zero_point, scales, kWhy, context);
  check_alignment("params.zero_point", params.zero_point.data(), alignof(std::int32_t));
  tensor.zero_point = params.zero_point.data();
  return tensor;
}

}  // namespace cuqat::detail
