// Layers of codes.
#include <string>
#include <string_view>

#include "cuqat/device_gemm.hpp"
#include "cuqat/error.hpp"
#include "device/multiplier.hpp"
#include "device/product_arguments.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;
using detail::check_device_span;
using detail::number_type;
using detail::text;
using detail::throw_invalid;

/// One operand of a layer, with `rows` rows.
struct OperandArguments {
  std::string_view name;
  DeviceSpan<const std::uint8_t> codes;
  const DeviceQuantParams& params;
  std::int64_t rows;
  bool takes_groups;
};

/// One scale, or one for each row.
bool has_scale_of_each_row(const OperandArguments& operand, std::int64_t k) {
  const Granularity& granularity = operand.params.granularity;
  if (granularity.kind == Granularity::Kind::kTensor) return false;
  const bool by_row = granularity.kind == Granularity::Kind::kChannel
                          ? granularity.axis == 0 || granularity.axis == -2
                          : operand.takes_groups && k > 0 && granularity.group_size >= k;
  if (!by_row) {
    throw_invalid(std::string(operand.name) + "_params.granularity", "another",
                  operand.takes_groups
                      ? "tensor, channel(0), or a group of at least k, where k is not 0"
                      : "tensor or channel(0)");
  }
  return true;
}

gpu::RowScales check_operand(const OperandArguments& operand, std::int64_t k, DType y_dtype,
                             bool is_fp8, const DeviceContext& context) {
  const std::string params = std::string(operand.name) + "_params";
  const DeviceQuantParams& given = operand.params;
  detail::check_quantizer(params + ".quantizer", given.quantizer);
  if (is_integer(given.quantizer.format) == is_fp8) {
    throw_invalid(params + ".quantizer.format", to_string(given.quantizer.format),
                  is_fp8 ? "e4m3 or e5m2" : "int8 or int4");
  }
  detail::check_codes(operand.name, operand.codes, operand.rows, k, context);
  const bool by_row = has_scale_of_each_row(operand, k);
  const std::int64_t num_scales = by_row ? operand.rows : 1;
  detail::check_per_scale(params + ".scale", given.scale, y_dtype, num_scales, context);
  if (given.zero_point.empty()) return {given.scale.data(), nullptr, by_row};
  if (is_fp8) {
    detail::check_size(params + ".zero_point", static_cast<std::size_t>(given.zero_point.size()), 0,
                       "as FP8 has no zero point");
  }
  detail::check_per_scale(params + ".zero_point", given.zero_point, num_scales, context);
  return {given.scale.data(), given.zero_point.data(), by_row};
}

/// Where a layer writes.
struct OutputArguments {
  detail::Region region;
  DType dtype;  ///< Of y.
  void* data;
};

OutputArguments check_numbers(const GemmShape& shape, const DeviceTensorView& y,
                              const DeviceContext& context) {
  detail::check_device_view("y", y, context);
  const Shape outputs{shape.m, shape.n};
  if (y.shape() != outputs) throw_invalid("y.shape()", text(y.shape()), "[m, n], " + text(outputs));
  return {{"y", as_plain(y)}, y.dtype(), y.data()};
}

OutputArguments check_output_codes(const GemmShape& shape, DeviceSpan<std::uint8_t> codes,
                                   const DeviceContext& context) {
  check_device_span("codes", codes, static_cast<std::size_t>(shape.m * shape.n),
                    "one for each output", context);
  return {{"codes", as_plain(codes)}, DType::kF32, codes.data()};
}

/// What makes codes of y; apart from them.
gpu::CodesOfOutputs check_output_params(const DeviceQuantParams& params,
                                        const OutputArguments& outputs,
                                        const DeviceContext& context) {
  detail::check_output_quantizer(params.quantizer, params.granularity);
  detail::check_per_scale("y_params.scale", params.scale, outputs.dtype, 1, context);
  gpu::CodesOfOutputs codes{params.quantizer, params.scale.data(), nullptr};
  if (!params.zero_point.empty()) {
    detail::check_per_scale("y_params.zero_point", params.zero_point, 1, context);
    codes.zero_point = params.zero_point.data();
  }
  detail::check_apart({outputs.region}, {{"y_params.scale", as_plain(params.scale)},
                                         {"y_params.zero_point", as_plain(params.zero_point)}});
  return codes;
}

/// What both layers check.
gpu::LinearLayer check_layer(const OperandArguments& x, const OperandArguments& w,
                             const GemmShape& shape, const ConstDeviceTensorView& bias,
                             const OutputArguments& outputs, bool is_fp8,
                             const DeviceContext& context) {
  detail::check_bias(as_plain(bias), shape.n, outputs.dtype, outputs.region);
  if (bias.count() != 0) {
    detail::check_device_view("bias", bias, context);
    detail::check_alignment("bias", bias.data(), dtype_bytes(bias.dtype()));
  }
  gpu::LinearLayer layer{};
  layer.x = check_operand(x, shape.k, outputs.dtype, is_fp8, context);
  layer.w = check_operand(w, shape.k, outputs.dtype, is_fp8, context);
  layer.product = {shape, x.codes.data(), w.codes.data(), number_type(x.params.quantizer.format),
                   number_type(w.params.quantizer.format)};
  layer.bias = bias.count() == 0 ? nullptr : bias.data();
  layer.dtype = outputs.dtype;
  layer.y = outputs.data;
  detail::check_apart({outputs.region}, {{"x", as_plain(x.codes)},
                                         {"w", as_plain(w.codes)},
                                         {"bias", as_plain(bias)},
                                         {"x_params.scale", as_plain(x.params.scale)},
                                         {"x_params.zero_point", as_plain(x.params.zero_point)},
                                         {"w_params.scale", as_plain(w.params.scale)},
                                         {"w_params.zero_point", as_plain(w.params.zero_point)}});
  return layer;
}

/// Sums of w's rows that are given, or none.
void set_w_sums(gpu::LinearLayer& layer, DeviceSpan<const std::int64_t> w_sums,
                const detail::Region& outputs, const DeviceContext& context) {
  if (w_sums.empty()) return;
  check_device_span("w_sums", w_sums, static_cast<std::size_t>(layer.product.shape.n),
                    "one for each output, or none", context);
  detail::check_alignment("w_sums", w_sums.data(), alignof(std::int64_t));
  detail::check_apart({outputs}, {{"w_sums", as_plain(w_sums)}});
  layer.w_sums = w_sums.data();
}

void run_layer(const gpu::LinearLayer& layer, const DeviceContext& context,
               const gpu::LaunchTarget& target) {
  if (detail::is_empty(layer.product.shape)) return;
  const gpu::Scratch scratch = detail::check_scratch(layer.product, nullptr, context);
  gpu::launch_linear(layer, scratch, detail::multiplier(context.state(), target), target);
}

}  // namespace

void int8_linear(DeviceSpan<const std::uint8_t> x, const DeviceQuantParams& x_params,
                 DeviceSpan<const std::uint8_t> w, const DeviceQuantParams& w_params,
                 const GemmShape& shape, ConstDeviceTensorView bias,
                 DeviceSpan<const std::int64_t> w_sums, DeviceTensorView y,
                 const DeviceContext& context, StreamRef stream) {
  detail::check_gemm_shape(shape);
  const OutputArguments outputs = check_numbers(shape, y, context);
  gpu::LinearLayer layer =
      check_layer({"x", x, x_params, shape.m, true}, {"w", w, w_params, shape.n, false}, shape,
                  bias, outputs, false, context);
  set_w_sums(layer, w_sums, outputs.region, context);
  run_layer(layer, context, context.state().target(stream));
}

void int8_linear(DeviceSpan<const std::uint8_t> x, const DeviceQuantParams& x_params,
                 DeviceSpan<const std::uint8_t> w, const DeviceQuantParams& w_params,
                 const GemmShape& shape, ConstDeviceTensorView bias,
                 DeviceSpan<const std::int64_t> w_sums, const DeviceQuantParams& y_params,
                 DeviceSpan<std::uint8_t> codes, const DeviceContext& context, StreamRef stream) {
  detail::check_gemm_shape(shape);
  const OutputArguments outputs = check_output_codes(shape, codes, context);
  gpu::LinearLayer layer =
      check_layer({"x", x, x_params, shape.m, true}, {"w", w, w_params, shape.n, false}, shape,
                  bias, outputs, false, context);
  layer.codes = check_output_params(y_params, outputs, context);
  set_w_sums(layer, w_sums, outputs.region, context);
  run_layer(layer, context, context.state().target(stream));
}

void fp8_linear(DeviceSpan<const std::uint8_t> x, const DeviceQuantParams& x_params,
                DeviceSpan<const std::uint8_t> w, const DeviceQuantParams& w_params,
                const GemmShape& shape, ConstDeviceTensorView bias, DeviceTensorView y,
                const DeviceContext& context, StreamRef stream) {
  constexpr int kLeastCapability = 89;
  detail::check_gemm_shape(shape);
  if (y.dtype() == DType::kF64) {
    throw_invalid("y.dtype()", to_string(y.dtype()), "F32, F16 or BF16");
  }
  const gpu::LinearLayer layer =
      check_layer({"x", x, x_params, shape.m, true}, {"w", w, w_params, shape.n, false}, shape,
                  bias, check_numbers(shape, y, context), true, context);
  if (x_params.quantizer.format == Format::kE5M2 && w_params.quantizer.format == Format::kE5M2) {
    throw_invalid("w_params.quantizer.format", to_string(Format::kE5M2), "e4m3 where x is e5m2");
  }
  const gpu::LaunchTarget target = context.state().target(stream);
  const int capability = context.state().compute_capability;
  if (capability < kLeastCapability) {
    throw BackendUnavailable(
        "FP8 products need a device of compute capability 8.9 or more; that of"
        " the context has " +
        text(capability / 10) + "." + text(capability % 10));
  }
  run_layer(layer, context, target);
}

}  // namespace cuqat
