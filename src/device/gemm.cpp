#include "cuqat/device_gemm.hpp"

#include <string_view>

#include "check.hpp"
#include "device/multiplier.hpp"
#include "device/product_arguments.hpp"
#include "host/gemm_arguments.hpp"

namespace cuqat {

using detail::as_plain;
using detail::check_device_span;
using detail::number_type;
using detail::text;
using detail::throw_invalid;

std::size_t product_workspace_bytes(const GemmShape& shape) {
  detail::check_gemm_shape(shape);
  return gpu::product_scratch_bytes(shape);
}

void int8_gemm(DeviceSpan<const std::uint8_t> x, DeviceSpan<const std::uint8_t> w,
               const GemmShape& shape, DeviceSpan<std::int32_t> product,
               const DeviceContext& context, StreamRef stream) {
  detail::check_gemm_shape(shape);
  detail::check_codes("x", x, shape.m, shape.k, context);
  detail::check_codes("w", w, shape.n, shape.k, context);
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
  if (detail::is_empty(shape)) return;
  const gpu::Scratch scratch = detail::check_scratch(codes, product.data(), context);
  gpu::launch_int8_gemm(codes, product.data(), scratch, detail::multiplier(context.state(), target),
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
  if (detail::is_empty(shape)) return;
  if (shape.k == 0) {
    gpu::check(cudaMemsetAsync(y.data(), 0, y.size_bytes(), target.stream), "cudaMemsetAsync",
               target.operation);
    return;
  }
  const auto operand = [](const ConstDeviceTensorView& view, Transpose how) {
    return gpu::Operand{number_type(view.dtype()), view.data(), view.shape()[1],
                        how == Transpose::kYes};
  };
  detail::multiplier(context.state(), target)
      .multiply(
          {shape, operand(a, of_a), operand(b, of_b), number_type(y.dtype()), y.data(), shape.n},
          target);
}

}  // namespace cuqat
