#include "cuqat/fake_quant.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "host/arguments.hpp"
#include "host/operation_table.hpp"

namespace cuqat {

namespace {

using detail::Region;

/// ceil(count / per_byte) for a count of elements.
std::size_t packed_bytes(std::int64_t count, std::int64_t per_byte) {
  if (count < 0) detail::throw_invalid("count", detail::text(count), "at least 0");
  return static_cast<std::size_t>(count / per_byte + (count % per_byte != 0 ? 1 : 0));
}

void check_mask(std::size_t size, std::int64_t count) {
  detail::check_size("clip_mask", size, clip_mask_bytes(count), "as clip_mask_bytes says");
}

/// What every gradient asks of its tensors, apart from the parameters.
void check_gradient(ConstTensorView dy, ConstTensorView x, ConstTensorView dx) {
  detail::check_view("x", x);
  detail::check_alike("dy", dy, "x", x);
  detail::check_alike("dx", dx, "x", x);
  detail::check_in_place_or_disjoint({"dx", dx}, {"dy", dy});
  detail::check_in_place_or_disjoint({"dx", dx}, {"x", x});
}

/// Elements that share scale `index`. Only a row's last group differs from the others.
std::int64_t elements_of_scale(const detail::ScaledTensor& tensor, std::int64_t index) {
  const std::int64_t count = tensor.shape.count();
  switch (tensor.granularity.kind) {
    case Granularity::Kind::kTensor:
      return count;
    case Granularity::Kind::kChannel:
      return count / tensor.num_scales;
    case Granularity::Kind::kGroup: {
      const std::int64_t last = tensor.shape[tensor.shape.rank() - 1];
      const std::int64_t groups = tensor.num_scales / (count / last);
      const std::int64_t begin = index % groups * tensor.granularity.group_size;
      return std::min(tensor.granularity.group_size, last - begin);
    }
  }
  return 0;
}

/// g of each scale. Where no element shares a scale its gradient is 0, and not 0 * infinity.
std::vector<double> gradient_scales(const detail::ScaledTensor& tensor,
                                    std::optional<double> gradient_scale) {
  std::vector<double> result(static_cast<std::size_t>(tensor.num_scales));
  for (std::size_t i = 0; i < result.size(); ++i) {
    const auto count = static_cast<double>(elements_of_scale(tensor, static_cast<std::int64_t>(i)));
    const double own = count == 0.0 ? 0.0 : 1.0 / std::sqrt(count * qmax(tensor.quantizer));
    result[i] = gradient_scale.value_or(own);
  }
  return result;
}

void check_learned(const detail::ScaledTensor& tensor, const LearnedScaleGradient& gradient,
                   std::optional<double> gradient_scale) {
  const auto scales = static_cast<std::size_t>(tensor.num_scales);
  constexpr std::string_view kWhy = "one for each scale of the granularity";
  detail::check_size("gradient.dscale", gradient.dscale.size(), scales, kWhy);
  if (!gradient.dzero_point.empty()) {
    if (!is_integer(tensor.quantizer.format)) {
      detail::check_size("gradient.dzero_point", gradient.dzero_point.size(), 0,
                         "as FP8 has no zero point");
    }
    detail::check_size("gradient.dzero_point", gradient.dzero_point.size(), scales, kWhy);
  }
  detail::check_disjoint({"gradient.dscale", gradient.dscale},
                         {"gradient.dzero_point", gradient.dzero_point});
  if (gradient_scale && !std::isfinite(*gradient_scale)) {
    detail::throw_invalid("gradient_scale", detail::text(*gradient_scale), "finite");
  }
}

}  // namespace

std::size_t codes_bytes(std::int64_t count, CodeLayout layout) {
  return packed_bytes(count, layout == CodeLayout::kNibbles ? 2 : 1);
}

std::size_t clip_mask_bytes(std::int64_t count) { return packed_bytes(count, 8); }

void quantize(ConstTensorView x, const QuantParams& params, std::span<std::uint8_t> codes,
              CodeLayout layout, const HostOptions& options) {
  const detail::ScaledArguments arguments(x, params, options);
  detail::check_codes(codes.size(), x.count(), params.quantizer.format, layout);
  detail::check_disjoint({"codes", codes}, {"x", x});
  options.backend.operations().quantize(arguments.tensor(), x.data(), codes.data(), layout);
}

void quantize_transposed(ConstTensorView x, const QuantParams& params,
                         std::span<std::uint8_t> codes, std::span<std::uint8_t> codes_transposed,
                         const HostOptions& options) {
  const detail::ScaledArguments arguments(x, params, options);
  detail::check_transposed_codes(x, codes, codes_transposed);
  options.backend.operations().quantize_transposed(arguments.tensor(), x.data(),
                                                   codes.empty() ? nullptr : codes.data(),
                                                   codes_transposed.data());
}

void dequantize(std::span<const std::uint8_t> codes, const QuantParams& params, TensorView y,
                CodeLayout layout, const HostOptions& options) {
  detail::check_view("y", y);
  const detail::ScaledArguments arguments(y, params, options);
  detail::check_codes(codes.size(), y.count(), params.quantizer.format, layout);
  detail::check_disjoint({"y", y}, {"codes", codes});
  options.backend.operations().dequantize(arguments.tensor(), codes.data(), layout, y.data());
}

void fake_quantize(ConstTensorView x, const QuantParams& params, TensorView y,
                   std::span<std::uint8_t> clip_mask, const HostOptions& options) {
  const detail::ScaledArguments arguments(x, params, options);
  detail::check_alike("y", y, "x", x);
  detail::check_in_place_or_disjoint({"y", y}, {"x", x});
  if (!clip_mask.empty()) check_mask(clip_mask.size(), x.count());
  detail::check_disjoint({"clip_mask", clip_mask}, {"x", x});
  detail::check_disjoint({"clip_mask", clip_mask}, {"y", y});
  options.backend.operations().fake_quantize(arguments.tensor(), x.data(), y.data(),
                                             clip_mask.empty() ? nullptr : clip_mask.data());
}

void fake_quantize_backward(ConstTensorView dy, ConstTensorView x, const QuantParams& params,
                            TensorView dx, const HostOptions& options) {
  const detail::ScaledArguments arguments(x, params, options);
  check_gradient(dy, x, dx);
  options.backend.operations().fake_quantize_backward(arguments.tensor(), dy.data(), x.data(),
                                                      dx.data());
}

void fake_quantize_backward(ConstTensorView dy, std::span<const std::uint8_t> clip_mask,
                            TensorView dx, const HostOptions& options) {
  const int num_threads = cuqat::num_threads(options);
  detail::check_view("dy", dy);
  detail::check_alike("dx", dx, "dy", dy);
  check_mask(clip_mask.size(), dy.count());
  detail::check_in_place_or_disjoint({"dx", dx}, {"dy", dy});
  detail::check_disjoint({"dx", dx}, {"clip_mask", clip_mask});
  options.backend.operations().fake_quantize_backward_from_mask(
      dy.dtype(), dy.count(), dy.data(), clip_mask.data(), dx.data(), num_threads);
}

void learned_scale_backward(ConstTensorView dy, ConstTensorView x, const QuantParams& params,
                            TensorView dx, const LearnedScaleGradient& gradient,
                            std::optional<double> gradient_scale, const HostOptions& options) {
  const detail::ScaledArguments arguments(x, params, options);
  check_gradient(dy, x, dx);
  check_learned(arguments.tensor(), gradient, gradient_scale);
  for (const Region& output : {Region{"gradient.dscale", gradient.dscale},
                               Region{"gradient.dzero_point", gradient.dzero_point}}) {
    for (const Region& other : {Region{"dy", dy}, Region{"x", x}, Region{"dx", dx}}) {
      detail::check_disjoint(output, other);
    }
  }
  const std::vector<double> g = gradient_scales(arguments.tensor(), gradient_scale);
  options.backend.operations().learned_scale_backward(
      arguments.tensor(), dy.data(), x.data(), dx.data(), g.data(), gradient.dscale.data(),
      gradient.dzero_point.empty() ? nullptr : gradient.dzero_point.data());
}

}  // namespace cuqat
