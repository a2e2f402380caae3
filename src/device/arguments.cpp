#include "device/arguments.hpp"

#include <string>

#include "calibration/methods.hpp"
#include "check.hpp"
#include "host/enumerators.hpp"

namespace cuqat::detail {

Region scale_region(const DeviceQuantParams& params) {
  return {"params.scale", as_plain(params.scale)};
}
Region zero_point_region(const DeviceQuantParams& params) {
  return {"params.zero_point", as_plain(params.zero_point)};
}

void check_context_of(std::string_view owner, int device, const DeviceContext& context) {
  if (context.device() == device) return;
  throw_invalid("context.device()", text(context.device()),
                "that of the " + std::string(owner) + ", " + text(device));
}

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
  // A fault of earlier work, say, and no mistake of this call.
  gpu::check(status, "cudaPointerGetAttributes");
  const bool usable =
      attributes.type == cudaMemoryTypeDevice || attributes.type == cudaMemoryTypeManaged;
  if (!usable) throw_invalid(name, "in host memory", "in device memory");
  if (attributes.type == cudaMemoryTypeDevice && attributes.device != context.device()) {
    throw_invalid(name, "on device " + text(attributes.device),
                  "on the context's device, " + text(context.device()));
  }
}

void check_statistics(std::string_view name, const DeviceSpan<Statistics>& statistics,
                      const DeviceContext& context) {
  check_device_span(name, statistics, 1, "for the whole tensor", context);
  check_alignment(name, statistics.data(), alignof(Statistics));
}

void check_extras(const FakeQuantizeExtras& extras, std::int64_t count,
                  const DeviceContext& context) {
  if (!extras.clip_mask.empty()) {
    check_device_span("clip_mask", extras.clip_mask, clip_mask_bytes(count),
                      "as clip_mask_bytes says", context);
  }
  if (!extras.statistics.empty()) {
    check_statistics("statistics", extras.statistics, context);
  }
}

void check_device_codes(DeviceSpan<const std::uint8_t> codes, std::int64_t count, Format format,
                        CodeLayout layout, const DeviceContext& context) {
  const auto size = static_cast<std::size_t>(codes.size());
  check_codes(size, count, format, layout);
  check_device_pointer("codes", codes.data(), size, context);
}

void check_compute_type(std::string_view name, DType found, DType dtype) {
  const DType compute = compute_type(dtype);
  if (found == compute) return;
  throw_invalid(
      std::string(name) + ".dtype()", to_string(found),
      std::string(to_string(compute)) + ", the compute type of " + std::string(to_string(dtype)));
}

void check_per_scale(std::string_view name, const ConstDeviceTensorView& entries, DType dtype,
                     std::int64_t num_scales, const DeviceContext& context) {
  check_compute_type(name, entries.dtype(), dtype);
  check_size(name, static_cast<std::size_t>(entries.count()), static_cast<std::size_t>(num_scales),
             "one for each scale of the granularity");
  check_device_view(name, entries, context);
  check_alignment(name, entries.data(), dtype_bytes(entries.dtype()));
}

gpu::ScaleOutput check_scale_output(const DeviceScales& scales, DType dtype,
                                    std::int64_t num_scales, const Quantizer& quantizer,
                                    bool symmetric, const DeviceContext& context) {
  check_quantizer("quantizer", quantizer);
  check_per_scale("scales.scale", scales.scale, dtype, num_scales, context);
  if (!symmetric && !is_integer(quantizer.format)) {
    throw_invalid("symmetric", "false",
                  "true, as " + std::string(to_string(quantizer.format)) + " has no zero point");
  }
  if (symmetric && scales.zero_point.empty()) return {scales.scale.data(), nullptr};
  check_per_scale("scales.zero_point", scales.zero_point, num_scales, context);
  return {scales.scale.data(), scales.zero_point.data()};
}

void check_calibrated_dtype(std::string_view name, DType dtype) {
  check_enumerator(name, dtype, DType::kBF16);
  if (dtype == DType::kF64) throw_invalid(name, to_string(dtype), "F32, F16 or BF16");
}

void check_calibration(const CalibrationOptions& method) {
  calibration::check(method);
  if (method.method == CalibMethod::kEntropy && method.dialect == EntropyDialect::kOriginal) {
    throw_invalid("method.dialect", to_string(method.dialect),
                  "modelopt or onnxruntime on the device; a collector of the host answers it");
  }
}

void* scratch(std::size_t bytes, const DeviceContext& context) {
  const DeviceContext::State& state = context.state();
  const std::size_t offset = gpu::reduction_workspace_bytes(state.num_multiprocessors);
  if (state.workspace_bytes < bytes) {
    throw_invalid("context.workspace_bytes()", text(state.workspace_bytes),
                  "at least " + text(bytes) + " for this tensor");
  }
  return static_cast<char*>(state.workspace.data()) + offset;
}

gpu::DeviceScaledTensor unscaled_tensor(DType dtype, const Shape& shape,
                                        const Granularity& granularity) {
  gpu::DeviceScaledTensor tensor{};
  tensor.dtype = dtype;
  tensor.shape = shape;
  tensor.granularity = resolve_axis(granularity, shape);
  tensor.num_scales = num_scales(tensor.granularity, shape);
  return tensor;
}

gpu::DeviceScaledTensor check_scaled(DType dtype, const Shape& shape,
                                     const DeviceQuantParams& params,
                                     const DeviceContext& context) {
  const Quantizer& quantizer = params.quantizer;
  check_quantizer("params.quantizer", quantizer);
  gpu::DeviceScaledTensor tensor = unscaled_tensor(dtype, shape, params.granularity);
  tensor.quantizer = quantizer;
  check_per_scale("params.scale", params.scale, dtype, tensor.num_scales, context);
  tensor.scale = params.scale.data();
  if (params.zero_point.empty()) return tensor;
  if (!is_integer(quantizer.format)) {
    check_size("params.zero_point", static_cast<std::size_t>(params.zero_point.size()), 0,
               "as FP8 has no zero point");
  }
  check_per_scale("params.zero_point", params.zero_point, tensor.num_scales, context);
  tensor.zero_point = params.zero_point.data();
  return tensor;
}

gpu::FakeQuantizeWork check_fake_quantize(const ConstDeviceTensorView& x,
                                          const DeviceQuantParams& params,
                                          const DeviceTensorView& y,
                                          const FakeQuantizeExtras& extras,
                                          const DeviceContext& context) {
  check_device_view("x", x, context);
  const gpu::DeviceScaledTensor tensor = check_scaled(x.dtype(), x.shape(), params, context);
  check_alike("y", as_plain(y), "x", as_plain(x));
  check_device_view("y", y, context);
  check_in_place_or_disjoint({"y", as_plain(y)}, {"x", as_plain(x)});
  check_extras(extras, x.count(), context);
  const Region clip_mask{"clip_mask", as_plain(extras.clip_mask)};
  const Region statistics{"statistics", as_plain(extras.statistics)};
  check_apart({{"y", as_plain(y)}, clip_mask, statistics},
              {scale_region(params), zero_point_region(params)});
  check_apart({clip_mask, statistics}, {{"x", as_plain(x)}});
  return {tensor, x.data(), y.data(), data_or_null(extras.clip_mask)};
}

}  // namespace cuqat::detail
