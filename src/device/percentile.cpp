#include "cuqat/device_percentile.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include "device/arguments.hpp"
#include "host/enumerators.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

void check_dtype(std::string_view name, DType dtype) {
  detail::check_enumerator(name, dtype, DType::kBF16);
  if (dtype == DType::kF64) {
    detail::throw_invalid(name, to_string(dtype), "F32, F16 or BF16; sorting has it");
  }
}

void check_num_percentiles(std::string_view name, std::size_t num_percentiles) {
  if (num_percentiles > kMaxPercentiles) {
    detail::throw_invalid(name, detail::text(num_percentiles),
                          "at most " + detail::text(kMaxPercentiles));
  }
}

/// The percentiles, and results for as many on each of `num_scales` scales.
gpu::PercentileRequest check_request(const ConstDeviceTensorView& x, OrderBy order,
                                     std::span<const double> percentiles, std::int64_t num_scales,
                                     const DeviceSpan<Range>& result,
                                     const DeviceContext& context) {
  detail::check_enumerator("order", order, OrderBy::kMagnitude);
  check_num_percentiles("percentiles.size()", percentiles.size());
  for (std::size_t i = 0; i < percentiles.size(); ++i) {
    detail::check_percentile("percentiles[" + detail::text(i) + "]", percentiles[i]);
  }
  detail::check_device_span("result", result,
                            static_cast<std::size_t>(num_scales) * percentiles.size(),
                            "one for each percentile of each scale", context);
  detail::check_alignment("result", result.data(), alignof(Range));
  detail::check_disjoint({"result", as_plain(result)}, {"x", as_plain(x)});
  gpu::PercentileRequest request{order, static_cast<int>(percentiles.size()), {}};
  std::copy(percentiles.begin(), percentiles.end(), request.percentile);
  return request;
}

}  // namespace

std::size_t percentile_workspace_bytes(DType dtype, OrderBy order, std::size_t num_percentiles) {
  check_dtype("dtype", dtype);
  detail::check_enumerator("order", order, OrderBy::kMagnitude);
  check_num_percentiles("num_percentiles", num_percentiles);
  return gpu::percentile_scratch_bytes(dtype, order, num_percentiles);
}

void percentile_ranges(ConstDeviceTensorView x, OrderBy order, std::span<const double> percentiles,
                       DeviceSpan<Range> result, const DeviceContext& context, StreamRef stream) {
  detail::check_device_view("x", x, context);
  check_dtype("x.dtype()", x.dtype());
  const gpu::PercentileRequest request = check_request(x, order, percentiles, 1, result, context);
  void* const scratch =
      detail::scratch(gpu::percentile_scratch_bytes(x.dtype(), order, percentiles.size()), context);
  const gpu::LaunchTarget target = context.state().target(stream);
  if (percentiles.empty()) return;
  gpu::launch_percentiles(x.dtype(), x.count(), x.data(), request, result.data(), scratch, target);
}

std::size_t sorted_percentile_workspace_bytes(DType dtype, const Shape& shape,
                                              const Granularity& granularity,
                                              const DeviceContext& context) {
  detail::check_enumerator("dtype", dtype, DType::kBF16);
  return gpu::sort_scratch_bytes(detail::unscaled_tensor(dtype, shape, granularity),
                                 context.state().target_without_stream());
}

void sorted_percentile_ranges(ConstDeviceTensorView x, const Granularity& granularity,
                              OrderBy order, std::span<const double> percentiles,
                              DeviceSpan<Range> result, const DeviceContext& context,
                              StreamRef stream) {
  detail::check_device_view("x", x, context);
  const gpu::DeviceScaledTensor tensor = detail::unscaled_tensor(x.dtype(), x.shape(), granularity);
  const gpu::PercentileRequest request =
      check_request(x, order, percentiles, tensor.num_scales, result, context);
  const gpu::LaunchTarget target = context.state().target(stream);
  if (result.empty()) return;
  const std::size_t scratch_bytes = gpu::sort_scratch_bytes(tensor, target);
  void* const scratch = detail::scratch(scratch_bytes, context);
  gpu::launch_sorted_percentiles(tensor, x.data(), request, result.data(), scratch, scratch_bytes,
                                 target);
}

}  // namespace cuqat
