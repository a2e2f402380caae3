#include "cuqat/device_observers.hpp"

#include <string_view>

#include "device/arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

constexpr int kMostMargin = 1000;

/// What scales are made of, one for each. f32 and f64 are their own compute types.
template <typename T>
gpu::ScaleOutput check_observed(std::string_view name, DeviceSpan<const T> observed,
                                const DeviceScales& scales, const Quantizer& quantizer,
                                bool symmetric, const DeviceContext& context) {
  const auto output = detail::check_scale_output(scales, scales.scale.dtype(), observed.size(),
                                                 quantizer, symmetric, context);
  detail::check_per_scale(name, observed, scales.scale.count(), context);
  return output;
}

}  // namespace

void minmax_scales(DeviceSpan<const Statistics> batch, const Quantizer& quantizer, bool symmetric,
                   const DeviceScales& scales, const DeviceContext& context, StreamRef stream) {
  const auto output = check_observed("batch", batch, scales, quantizer, symmetric, context);
  detail::check_apart({{"scales.scale", as_plain(scales.scale)},
                       {"scales.zero_point", as_plain(scales.zero_point)}},
                      {{"batch", as_plain(batch)}});
  gpu::launch_minmax_scales(scales.scale.dtype(), batch.size(), batch.data(),
                            {quantizer, symmetric}, output, context.state().target(stream));
}

void range_scales(DeviceSpan<const Range> ranges, const Quantizer& quantizer, bool symmetric,
                  const DeviceScales& scales, const DeviceContext& context, StreamRef stream) {
  const auto output = check_observed("ranges", ranges, scales, quantizer, symmetric, context);
  detail::check_apart({{"scales.scale", as_plain(scales.scale)},
                       {"scales.zero_point", as_plain(scales.zero_point)}},
                      {{"ranges", as_plain(ranges)}});
  gpu::launch_range_scales(scales.scale.dtype(), ranges.size(), ranges.data(),
                           {quantizer, symmetric}, output, context.state().target(stream));
}

void update_moving_average(DeviceSpan<const Statistics> batch, double momentum,
                           DeviceSpan<MovingAverageState> state, const Quantizer& quantizer,
                           bool symmetric, const DeviceScales& scales, const DeviceContext& context,
                           StreamRef stream) {
  if (!(momentum > 0.0 && momentum <= 1.0)) {
    detail::throw_invalid("momentum", detail::text(momentum), "in (0, 1]");
  }
  const auto output = check_observed("batch", batch, scales, quantizer, symmetric, context);
  detail::check_per_scale("state", state, batch.size(), context);
  detail::check_apart({{"scales.scale", as_plain(scales.scale)},
                       {"scales.zero_point", as_plain(scales.zero_point)},
                       {"state", as_plain(state)}},
                      {{"batch", as_plain(batch)}});
  gpu::launch_moving_average(scales.scale.dtype(), batch.size(), batch.data(), momentum,
                             state.data(), {quantizer, symmetric}, output,
                             context.state().target(stream));
}

void update_amax_history(DeviceSpan<const Statistics> batch, const DeviceAmaxHistory& history,
                         const Quantizer& quantizer, int margin, const DeviceScales& scales,
                         const DeviceContext& context, StreamRef stream) {
  if (margin < -kMostMargin || margin > kMostMargin) {
    detail::throw_invalid(
        "margin", detail::text(margin),
        "in [-" + detail::text(kMostMargin) + ", " + detail::text(kMostMargin) + "]");
  }
  const auto output = check_observed("batch", batch, scales, quantizer, true, context);
  const std::int64_t n = batch.size();
  const std::int64_t length = n == 0 ? 0 : history.amax.size() / n;
  if (n > 0 && (length < 1 || history.amax.size() % n != 0)) {
    detail::throw_invalid("history.amax.size()", detail::text(history.amax.size()),
                          "a multiple of " + detail::text(n) + ", the number of scales");
  }
  detail::check_device_span("history.amax", history.amax, static_cast<std::size_t>(n * length),
                            "whole rows", context);
  detail::check_alignment("history.amax", history.amax.data(), alignof(double));
  detail::check_per_scale("history.num_steps", history.num_steps, n, context);
  detail::check_apart({{"scales.scale", as_plain(scales.scale)},
                       {"scales.zero_point", as_plain(scales.zero_point)},
                       {"history.amax", as_plain(history.amax)},
                       {"history.num_steps", as_plain(history.num_steps)}},
                      {{"batch", as_plain(batch)}});
  gpu::launch_amax_history(scales.scale.dtype(), n, batch.data(), history.amax.data(), length,
                           history.num_steps.data(), margin, quantizer, output,
                           context.state().target(stream));
}

}  // namespace cuqat
