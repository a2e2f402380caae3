#include <algorithm>
#include <string_view>

#include "cuqat/device_gemm.hpp"
#include "device/arguments.hpp"
#include "host/gemm_arguments.hpp"
#include "products.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

/// Numbers that rows of a piece are multiples of, where they can be: whole tiles.
constexpr std::int64_t kTileRows = 128;

/// Elements from the begin of row `row` on, of `rows` rows.
template <typename View>
View rows_of(const View& matrix, std::int64_t row, std::int64_t rows) {
  const std::int64_t columns = matrix.shape()[1];
  const auto offset = static_cast<std::int64_t>(dtype_bytes(matrix.dtype())) * row * columns;
  return {static_cast<const char*>(matrix.data()) + offset, matrix.dtype(), Shape{rows, columns}};
}

/// y of 16 bits, from sums in f32, so that the sum with the bias is what is rounded.
void add_bias_to_sums(const ConstDeviceTensorView& x, const ConstDeviceTensorView& w,
                      const ConstDeviceTensorView& bias, const DeviceTensorView& y,
                      const DeviceContext& context, StreamRef stream,
                      const gpu::LaunchTarget& target) {
  constexpr std::int64_t kLeastOutputs = 8;
  constexpr std::int64_t kSumBytes = sizeof(float);
  const std::int64_t m = y.shape()[0];
  const std::int64_t n = y.shape()[1];
  const std::int64_t least = std::min(n, kLeastOutputs) * kSumBytes;
  auto* const sums = static_cast<float*>(detail::scratch(static_cast<std::size_t>(least), context));
  const std::int64_t most = static_cast<std::int64_t>(context.workspace_bytes()) / kSumBytes;
  const std::int64_t outputs = most < n ? most / kLeastOutputs * kLeastOutputs : n;
  const std::int64_t most_rows = std::min(m, most / outputs);
  const std::int64_t num_pieces = (m - 1) / most_rows + 1;
  const std::int64_t rows = std::min(most_rows, gpu::round_up((m - 1) / num_pieces + 1, kTileRows));
  const auto* const bias_data = static_cast<const float*>(bias.data());
  auto* const y_data = static_cast<char*>(y.data());
  const auto y_bytes = static_cast<std::int64_t>(dtype_bytes(y.dtype()));
  for (std::int64_t output = 0; output < n; output += outputs) {
    const std::int64_t num_outputs = std::min(outputs, n - output);
    for (std::int64_t row = 0; row < m; row += rows) {
      const std::int64_t num_rows = std::min(rows, m - row);
      gemm(rows_of(x, row, num_rows), Transpose::kNo, rows_of(w, output, num_outputs),
           Transpose::kYes, {sums, DType::kF32, Shape{num_rows, num_outputs}}, context, stream);
      gpu::launch_add_bias(y.dtype(), num_rows, num_outputs, bias_data + output, sums,
                           y_data + (row * n + output) * y_bytes, n, target);
    }
  }
}

}  // namespace

void linear(ConstDeviceTensorView x, ConstDeviceTensorView w, ConstDeviceTensorView bias,
            DeviceTensorView y, const DeviceContext& context, StreamRef stream) {
  const GemmShape shape = detail::check_gemm({"x", as_plain(x)}, Transpose::kNo, {"w", as_plain(w)},
                                             Transpose::kYes, as_plain(y));
  detail::check_bias(as_plain(bias), shape.n, y.dtype(), {"y", as_plain(y)});
  const auto check = [&](std::string_view name, const ConstDeviceTensorView& view) {
    if (view.count() == 0) return;
    detail::check_device_view(name, view, context);
    detail::check_alignment(name, view.data(), dtype_bytes(view.dtype()));
  };
  check("x", x);
  check("w", w);
  check("bias", bias);
  check("y", y);
  if (bias.count() == 0) return gemm(x, Transpose::kNo, w, Transpose::kYes, y, context, stream);
  const gpu::LaunchTarget target = context.state().target(stream);
  if (y.count() == 0) return;
  if (dtype_bytes(y.dtype()) == 2) {
    return add_bias_to_sums(x, w, bias, y, context, stream, target);
  }
  gemm(x, Transpose::kNo, w, Transpose::kYes, y, context, stream);
  gpu::launch_add_bias(y.dtype(), shape.m, shape.n, bias.data(), y.data(), y.data(), shape.n,
                       target);
}

}  // namespace cuqat
