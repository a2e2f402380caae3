#include "cuqat/dynamic_quant.hpp"

#include "cuqat/calibration.hpp"
#include "cuqat/statistics.hpp"
#include "host/arguments.hpp"

namespace cuqat {
namespace {

/// The scales of x, once everything has been checked that does not depend on them.
QuantParams params_of(ConstTensorView x, const DynamicQuantization& how,
                      const HostOptions& options) {
  QuantParams params{how.quantizer, how.granularity, {}, {}};
  for (const Statistics& part : statistics(x, how.granularity, options)) {
    const Range range = part.finite() == 0 ? Range{} : Range{part.min, part.max};
    const ScaleZeroPoint chosen = range_to_scale(range, how.quantizer, how.symmetric, x.dtype());
    params.scale.push_back(chosen.scale);
    params.zero_point.push_back(chosen.zero_point);
  }
  return params;
}

}  // namespace

QuantParams quantize_dynamic(ConstTensorView x, const DynamicQuantization& how,
                             std::span<std::uint8_t> codes, CodeLayout layout,
                             const HostOptions& options) {
  detail::check_dynamic(how);
  detail::check_codes(codes.size(), x.count(), how.quantizer.format, layout);
  QuantParams params = params_of(x, how, options);
  quantize(x, params, codes, layout, options);
  return params;
}

QuantParams fake_quantize_dynamic(ConstTensorView x, const DynamicQuantization& how, TensorView y,
                                  const HostOptions& options) {
  detail::check_dynamic(how);
  detail::check_alike("y", y, "x", x);
  QuantParams params = params_of(x, how, options);
  fake_quantize(x, params, y, {}, options);
  return params;
}

}  // namespace cuqat
