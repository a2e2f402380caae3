#include "cuqat/device_histogram.hpp"

#include "device/arguments.hpp"

namespace cuqat {
namespace {

void check_key_histogram(const ConstDeviceTensorView& x, const DeviceSpan<std::uint64_t>& counts,
                         const DeviceContext& context) {
  detail::check_device_view("x", x, context);
  if (x.dtype() == DType::kF64) {
    detail::throw_invalid("x.dtype()", to_string(x.dtype()), "F32, F16 or BF16");
  }
  detail::check_device_span("counts", counts, kNumKeys, "one for each key", context);
  detail::check_alignment("counts", counts.data(), alignof(std::uint64_t));
  detail::check_disjoint({"counts", detail::as_plain(counts)}, {"x", detail::as_plain(x)});
}

}  // namespace

void accumulate_key_histogram(ConstDeviceTensorView x, DeviceSpan<std::uint64_t> counts,
                              const DeviceContext& context, StreamRef stream) {
  check_key_histogram(x, counts, context);
  gpu::launch_key_histogram(x.dtype(), x.count(), x.data(), counts.data(), nullptr,
                            context.state().target(stream));
}

void accumulate_key_histogram(ConstDeviceTensorView x, DeviceSpan<std::uint64_t> counts,
                              DeviceSpan<Statistics> result, const DeviceContext& context,
                              StreamRef stream) {
  check_key_histogram(x, counts, context);
  detail::check_statistics("result", result, context);
  detail::check_apart({{"result", detail::as_plain(result)}, {"counts", detail::as_plain(counts)}},
                      {{"x", detail::as_plain(x)}});
  gpu::launch_key_histogram(x.dtype(), x.count(), x.data(), counts.data(), result.data(),
                            context.state().target(stream));
}

}  // namespace cuqat
