#include "cuqat/device_observers.hpp"

#include "device/arguments.hpp"

namespace cuqat {
namespace {

using detail::as_plain;

constexpr int kMostMargin = 1000;

void check_batch(DeviceSpan<const Statistics> batch, const DeviceScales& scales,
                 const DeviceContext& context) {
  detail::check_device_span("batch", batch, static_cast<std::size_t>(scales.scale.count()),
                            "one for each scale", context);
  detail::check_alignment("batch", batch.data(), alignof(Statistics));
}

}  // namespace

void minmax_scales(DeviceSpan<const Statistics> batch, const Quantizer& quantizer, bool symmetric,
                   const DeviceScales& scales, const DeviceContext& context, StreamRef stream) {
  const auto output =
      detail::check_scale_output(scales, batch.size(), quantizer, symmetric, context);
  check_batch(batch, scales, context);
  detail::check_apart({{"scales.scale", as_plain(scales.scale)},
                       {"scales.zero_point", as_plain(scales.zero_point)}},
                      {{"batch", as_plain(batch)}});
  gpu::launch_minmax_scales(scales.scale.dtype(), batch.size(), batch.data(),
                            {quantizer, symmetric}, output, context.state().target(stream));
}

void update_moving_average(DeviceSpan<const Statistics> batch, double momentum,
                           DeviceSpan<MovingAverageState> state, const Quantizer& quantizer,
                           bool symmetric, const DeviceScales& scales, const DeviceContext& context,
                           StreamRef stream) {
  if (!(momentum > 0.0 && momentum <= 1.0)) {
    detail::throw_invalid("momentum", detail::text(momentum), "in (0, 1]");
  }
  const auto output =
      detail::check_scale_output(scales, batch.size(), quantizer, symmetric, context);
  check_batch(batch, scales, context);
  detail::check_device_span("state", state, static_cast<std::size_t>(batch.size()),
                            "one for each scale", context);
  detail::check_alignment("state", state.data(), alignof(MovingAverageState));
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
  const auto output = detail::check_scale_output(scales, batch.size(), quantizer, true, context);
  check_batch(batch, scales, context);
  const std::int64_t n = batch.size();
  const std::int64_t length = n == 0 ? 0 : history.amax.size() / n;
  if (n > 0 && (length < 1 || history.amax.size() % n != 0)) {
    detail::throw_invalid("history.amax.size()", detail::text(history.amax.size()),
                          "a multiple of " + detail::text(n) + ", the number of scales");
  }
  detail::check_device_span("history.amax", history.amax, static_cast<std::size_t>(n * length),
                            "whole rows", context);
  detail::check_alignment("history.amax", history.amax.data(), alignof(double));
  detail::check_device_span("history.num_steps", history.num_steps, static_cast<std::size_t>(n),
                            "one for each scale", context);
  detail::check_alignment("history.num_steps", history.num_steps.data(), alignof(std::int64_t));
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
