#include <string>
#include <string_view>
#include <utility>

#include "check.hpp"
#include "cuqat/device_gemm.hpp"
#include "cuqat/error.hpp"
#include "device/arguments.hpp"
#include "host/gemm_arguments.hpp"
#include "products.hpp"

namespace cuqat {
namespace {

using detail::as_plain;
using detail::check_device_span;
using detail::text;
using detail::throw_invalid;

/// Of devices that cuBLASLt makes products on alike.
std::uint64_t device_kind(const DeviceContext::State& state, std::source_location operation) {
  int num_multiprocessors = 0;
  gpu::check(
      cudaDeviceGetAttribute(&num_multiprocessors, cudaDevAttrMultiProcessorCount, state.device),
      "cudaDeviceGetAttribute", operation);
  return std::uint64_t{1'000'000} * static_cast<std::uint64_t>(state.compute_capability) +
         static_cast<std::uint64_t>(num_multiprocessors);
}

/// Makes it where the context has none. Allocates, and waits for that but for no stream.
gpu::Multiplier& any_multiplier(const DeviceContext::State& state, std::source_location operation) {
  if (state.multiplier == nullptr) {
    detail::DeviceMemory workspace;
    if (state.gemm_workspace_bytes > 0) {
      workspace = detail::DeviceMemory(state.gemm_workspace_bytes, operation);
    }
    state.multiplier = std::make_shared<gpu::Multiplier>(
        gpu::Multiplier::Options{workspace.data(), state.gemm_workspace_bytes, state.tunes_products,
                                 device_kind(state, operation)},
        operation);
    state.gemm_workspace = std::move(workspace);
  }
  return *state.multiplier;
}

/// For work on a stream.
gpu::Multiplier& multiplier(const DeviceContext::State& state, const gpu::LaunchTarget& target) {
  if (state.multiplier == nullptr) {
    cudaStreamCaptureStatus status{};
    gpu::check(cudaStreamIsCapturing(target.stream, &status), "cudaStreamIsCapturing",
               target.operation);
    if (status != cudaStreamCaptureStatusNone) {
      throw_invalid("stream", "captured",
                    "one that is not at the first product of a context, which allocates");
    }
  }
  return any_multiplier(state, target.operation);
}

gpu::NumberType number_type(DType dtype) {
  switch (dtype) {
    case DType::kF64:
      return gpu::NumberType::kF64;
    case DType::kF16:
      return gpu::NumberType::kF16;
    case DType::kBF16:
      return gpu::NumberType::kBF16;
    case DType::kF32:
      break;
  }
  return gpu::NumberType::kF32;
}

gpu::NumberType number_type(Format format) {
  return is_integer(format)        ? gpu::NumberType::kInt8
         : format == Format::kE4M3 ? gpu::NumberType::kE4M3
                                   : gpu::NumberType::kE5M2;
}

void check_codes(std::string_view name, DeviceSpan<const std::uint8_t> codes, std::int64_t rows,
                 std::int64_t k, const DeviceContext& context) {
  check_device_span(name, codes, static_cast<std::size_t>(rows * k), "one code for each element",
                    context);
}

/// All of the context's, if it is enough for the smallest pieces.
gpu::Scratch check_scratch(const gpu::CodeProduct& product, const std::int32_t* y,
                           const DeviceContext& context) {
  return {detail::scratch(gpu::least_product_scratch_bytes(product, y), context),
          context.workspace_bytes()};
}

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
  check_codes(operand.name, operand.codes, operand.rows, k, context);
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

void check_outputs(const GemmShape& shape, const ConstDeviceTensorView& bias,
                   const DeviceTensorView& y, const DeviceContext& context) {
  detail::check_device_view("y", y, context);
  const Shape outputs{shape.m, shape.n};
  if (y.shape() != outputs) throw_invalid("y.shape()", text(y.shape()), "[m, n], " + text(outputs));
  if (bias.count() == 0) return;
  detail::check_compute_type("bias", bias.dtype(), y.dtype());
  detail::check_size("bias", static_cast<std::size_t>(bias.count()),
                     static_cast<std::size_t>(shape.n), "one for each output, or none");
  detail::check_device_view("bias", bias, context);
  detail::check_alignment("bias", bias.data(), dtype_bytes(bias.dtype()));
}

/// What both layers check.
gpu::LinearLayer check_layer(const OperandArguments& x, const OperandArguments& w,
                             const GemmShape& shape, const ConstDeviceTensorView& bias,
                             const DeviceTensorView& y, bool is_fp8, const DeviceContext& context) {
  check_outputs(shape, bias, y, context);
  gpu::LinearLayer layer{};
  layer.x = check_operand(x, shape.k, y.dtype(), is_fp8, context);
  layer.w = check_operand(w, shape.k, y.dtype(), is_fp8, context);
  layer.product = {shape, x.codes.data(), w.codes.data(), number_type(x.params.quantizer.format),
                   number_type(w.params.quantizer.format)};
  layer.bias = bias.count() == 0 ? nullptr : bias.data();
  layer.dtype = y.dtype();
  layer.y = y.data();
  detail::check_apart({{"y", as_plain(y)}},
                      {{"x", as_plain(x.codes)},
                       {"w", as_plain(w.codes)},
                       {"bias", as_plain(bias)},
                       {"x_params.scale", as_plain(x.params.scale)},
                       {"x_params.zero_point", as_plain(x.params.zero_point)},
                       {"w_params.scale", as_plain(w.params.scale)},
                       {"w_params.zero_point", as_plain(w.params.zero_point)}});
  return layer;
}

bool is_empty(const GemmShape& shape) { return shape.m == 0 || shape.n == 0; }

}  // namespace

std::size_t product_workspace_bytes(const GemmShape& shape) {
  detail::check_gemm_shape(shape);
  return gpu::product_scratch_bytes(shape);
}

void int8_gemm(DeviceSpan<const std::uint8_t> x, DeviceSpan<const std::uint8_t> w,
               const GemmShape& shape, DeviceSpan<std::int32_t> product,
               const DeviceContext& context, StreamRef stream) {
  detail::check_gemm_shape(shape);
  check_codes("x", x, shape.m, shape.k, context);
  check_codes("w", w, shape.n, shape.k, context);
  check_device_span("product", product, static_cast<std::size_t>(shape.m * shape.n), "m * n",
                    context);
  detail::check_alignment("product", product.data(), alignof(std::int32_t));
  if (shape.k > kMaxInt32Depth) {
    throw_invalid("shape.k", text(shape.k), "at most " + text(kMaxInt32Depth));
  }
  detail::check_apart({{"product", as_plain(product)}}, {{"x", as_plain(x)}, {"w", as_plain(w)}});
  const gpu::CodeProduct codes{shape, x.data(), w.data(), gpu::NumberType::kInt8,
                               gpu::NumberType::kInt8};
  const gpu::LaunchTarget target = context.state().target(stream);
  if (is_empty(shape)) return;
  const gpu::Scratch scratch = check_scratch(codes, product.data(), context);
  gpu::launch_int8_gemm(codes, product.data(), scratch, multiplier(context.state(), target),
                        target);
}

void sum_code_rows(DeviceSpan<const std::uint8_t> codes, std::int64_t columns,
                   DeviceSpan<std::int64_t> sums, const DeviceContext& context, StreamRef stream) {
  if (columns < 0) throw_invalid("columns", text(columns), "at least 0");
  const Shape shape{sums.size(), columns};
  check_device_span("codes", codes, static_cast<std::size_t>(shape.count()),
                    "`columns` for each sum", context);
  detail::check_per_scale("sums", sums, sums.size(), context);
  detail::check_apart({{"sums", as_plain(sums)}}, {{"codes", as_plain(codes)}});
  gpu::launch_code_sums(shape[0], columns, codes.data(), sums.data(),
                        context.state().target(stream));
}

void int8_linear(DeviceSpan<const std::uint8_t> x, const DeviceQuantParams& x_params,
                 DeviceSpan<const std::uint8_t> w, const DeviceQuantParams& w_params,
                 const GemmShape& shape, ConstDeviceTensorView bias,
                 DeviceSpan<const std::int64_t> w_sums, DeviceTensorView y,
                 const DeviceContext& context, StreamRef stream) {
  detail::check_gemm_shape(shape);
  gpu::LinearLayer layer =
      check_layer({"x", x, x_params, shape.m, true}, {"w", w, w_params, shape.n, false}, shape,
                  bias, y, false, context);
  if (!w_sums.empty()) {
    check_device_span("w_sums", w_sums, static_cast<std::size_t>(shape.n),
                      "one for each output, or none", context);
    detail::check_alignment("w_sums", w_sums.data(), alignof(std::int64_t));
    detail::check_apart({{"y", as_plain(y)}}, {{"w_sums", as_plain(w_sums)}});
    layer.w_sums = w_sums.data();
  }
  const gpu::LaunchTarget target = context.state().target(stream);
  if (is_empty(shape)) return;
  const gpu::Scratch scratch = check_scratch(layer.product, nullptr, context);
  gpu::launch_linear(layer, scratch, multiplier(context.state(), target), target);
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
                  bias, y, true, context);
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
  if (is_empty(shape)) return;
  const gpu::Scratch scratch = check_scratch(layer.product, nullptr, context);
  gpu::launch_linear(layer, scratch, multiplier(context.state(), target), target);
}

void gemm(ConstDeviceTensorView a, Transpose of_a, ConstDeviceTensorView b, Transpose of_b,
          DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  const GemmShape shape =
      detail::check_gemm({"a", as_plain(a)}, of_a, {"b", as_plain(b)}, of_b, as_plain(y));
  const auto check = [&](std::string_view name, const ConstDeviceTensorView& view) {
    detail::check_device_view(name, view, context);
    if (view.count() != 0) detail::check_alignment(name, view.data(), dtype_bytes(view.dtype()));
  };
  check("a", a);
  check("b", b);
  check("y", y);
  const gpu::LaunchTarget target = context.state().target(stream);
  if (is_empty(shape)) return;
  if (shape.k == 0) {
    gpu::check(cudaMemsetAsync(y.data(), 0, y.size_bytes(), target.stream), "cudaMemsetAsync",
               target.operation);
    return;
  }
  const auto operand = [](const ConstDeviceTensorView& view, Transpose how) {
    return gpu::Operand{number_type(view.dtype()), view.data(), view.shape()[1],
                        how == Transpose::kYes};
  };
  multiplier(context.state(), target)
      .multiply(
          {shape, operand(a, of_a), operand(b, of_b), number_type(y.dtype()), y.data(), shape.n},
          target);
}

std::vector<std::byte> save_product_plans(const DeviceContext& context) {
  const gpu::LaunchTarget target = context.state().target_without_stream();
  return any_multiplier(context.state(), target.operation).save();
}

void load_product_plans(std::span<const std::byte> plans, const DeviceContext& context) {
  const gpu::LaunchTarget target = context.state().target_without_stream();
  any_multiplier(context.state(), target.operation).restore(plans, target.operation);
}

}  // namespace cuqat
