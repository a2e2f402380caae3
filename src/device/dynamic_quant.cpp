#include "cuqat/device_dynamic_quant.hpp"

#include "cuqat/statistics.hpp"
#include "device/arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

/// Checked arguments of both functions, and the scales as parameters once they have been found.
struct Dynamic {
  Dynamic(ConstDeviceTensorView x, const DynamicQuantization& how, const DeviceScales& scales,
          const DeviceContext& context)
      : tensor{x.dtype(), x.shape(), 0, {how.quantizer, how.symmetric}, {}} {
    detail::check_dynamic(how);
    detail::check_device_view("x", x, context);
    granularity = resolve_axis(how.granularity, x.shape());
    num_scales = cuqat::num_scales(granularity, x.shape());
    tensor.group_size = granularity.group_size;
    tensor.scales = detail::check_scale_output(scales, x.dtype(), num_scales, how.quantizer,
                                               how.symmetric, context);
  }

  [[nodiscard]] bool is_grouped() const { return granularity.kind == Granularity::Kind::kGroup; }

  [[nodiscard]] gpu::DeviceScaledTensor scaled() const {
    return {tensor.dtype,
            tensor.shape,
            granularity,
            tensor.rule.quantizer,
            num_scales,
            tensor.scales.scale,
            tensor.scales.zero_point};
  }

  gpu::DynamicTensor tensor;
  Granularity granularity;
  std::int64_t num_scales;
};

/// Those of tensors and channels from statistics, which are left in the scratch memory.
void find_scales(const Dynamic& dynamic, ConstDeviceTensorView x, const DeviceContext& context,
                 const gpu::LaunchTarget& target) {
  if (dynamic.is_grouped()) {
    gpu::launch_dynamic_scales(dynamic.tensor, x.data(), target);
    return;
  }
  const DeviceSpan<Statistics> found =
      detail::scratch_span<Statistics>(dynamic.num_scales, context);
  gpu::launch_scale_statistics(dynamic.scaled(), x.data(), found.data(), target);
  const DType compute = detail::compute_type(x.dtype());
  gpu::launch_minmax_scales(compute, dynamic.num_scales, found.data(), dynamic.tensor.rule,
                            dynamic.tensor.scales, target);
}

/// No group begins within a byte that has the codes or clip bits of so many elements.
bool begins_at_bytes(const Dynamic& dynamic, std::int64_t elements_of_byte) {
  const std::int64_t row = dynamic.tensor.shape.extents().back();
  const std::int64_t group = dynamic.tensor.group_size;
  return row % elements_of_byte == 0 && (group % elements_of_byte == 0 || group >= row);
}

}  // namespace

std::size_t dynamic_workspace_bytes(const Shape& shape, const Granularity& granularity) {
  const auto scales = static_cast<std::size_t>(num_scales(granularity, shape));
  return granularity.kind == Granularity::Kind::kGroup ? 0 : scales * sizeof(Statistics);
}

void quantize_dynamic(ConstDeviceTensorView x, const DynamicQuantization& how,
                      DeviceSpan<std::uint8_t> codes, CodeLayout layout, const DeviceScales& scales,
                      const DeviceContext& context, StreamRef stream) {
  const Dynamic dynamic(x, how, scales, context);
  detail::check_device_codes(codes, x.count(), how.quantizer.format, layout, context);
  detail::check_apart({{"codes", as_plain(codes)},
                       {"scales.scale", as_plain(scales.scale)},
                       {"scales.zero_point", as_plain(scales.zero_point)}},
                      {{"x", as_plain(x)}});
  const gpu::LaunchTarget target = context.state().target(stream);
  if (dynamic.is_grouped() && (layout == CodeLayout::kBytes || begins_at_bytes(dynamic, 2))) {
    gpu::launch_quantize_dynamic(dynamic.tensor, x.data(), codes.data(), layout, target);
    return;
  }
  find_scales(dynamic, x, context, target);
  gpu::launch_quantize(dynamic.scaled(), x.data(), codes.data(), layout, nullptr, target);
}

void fake_quantize_dynamic(ConstDeviceTensorView x, const DynamicQuantization& how,
                           DeviceTensorView y, const DeviceScales& scales,
                           const FakeQuantizeExtras& extras, const DeviceContext& context,
                           StreamRef stream) {
  const Dynamic dynamic(x, how, scales, context);
  detail::check_alike("y", as_plain(y), "x", as_plain(x));
  detail::check_device_view("y", y, context);
  detail::check_in_place_or_disjoint({"y", as_plain(y)}, {"x", as_plain(x)});
  detail::check_extras(extras, x.count(), context);
  detail::check_apart({{"scales.scale", as_plain(scales.scale)},
                       {"scales.zero_point", as_plain(scales.zero_point)},
                       {"clip_mask", as_plain(extras.clip_mask)},
                       {"statistics", as_plain(extras.statistics)}},
                      {{"x", as_plain(x)}, {"y", as_plain(y)}});
  const gpu::LaunchTarget target = context.state().target(stream);
  std::uint8_t* const clip_mask = detail::data_or_null(extras.clip_mask);
  Statistics* const statistics = detail::data_or_null(extras.statistics);
  if (dynamic.is_grouped() && (clip_mask == nullptr || begins_at_bytes(dynamic, 8))) {
    gpu::launch_fake_quantize_dynamic(dynamic.tensor, x.data(), y.data(), clip_mask, statistics,
                                      target);
    return;
  }
  find_scales(dynamic, x, context, target);
  gpu::launch_fake_quantize(dynamic.scaled(), x.data(), y.data(), clip_mask, statistics, target);
}

}  // namespace cuqat
