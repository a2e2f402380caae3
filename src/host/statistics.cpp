#include "cuqat/statistics.hpp"

#include <algorithm>
#include <cmath>

#include "cuqat/scalar/squared_error.hpp"
#include "host/arguments.hpp"
#include "host/operation_table.hpp"

namespace cuqat {

namespace {

// Standard C++ has no integer of 128 bits; both compilers that cuqat is built with do.
__extension__ using Uint128 = unsigned __int128;

Uint128 join(const SquaredSum& sum) { return (static_cast<Uint128>(sum.high) << 64) | sum.low; }

SquaredSum split(Uint128 sum) {
  return {static_cast<std::uint64_t>(sum >> 64), static_cast<std::uint64_t>(sum)};
}

}  // namespace

void Statistics::merge(const Statistics& other) noexcept {
  count += other.count;
  nan += other.nan;
  pos_inf += other.pos_inf;
  neg_inf += other.neg_inf;
  zeros += other.zeros;
  min = std::min(min, other.min);
  max = std::max(max, other.max);
}

void QuantizationError::merge(const QuantizationError& other) noexcept {
  count += other.count;
  clipped += other.clipped;
  rounding.merge(other.rounding);
  clipping.merge(other.clipping);
  signal.merge(other.signal);
}

void SquaredSum::merge(const SquaredSum& other) noexcept {
  *this = split(join(*this) + join(other));
}

void SquaredSum::add(std::uint64_t term, std::uint64_t count) noexcept {
  *this = split(join(*this) + static_cast<Uint128>(term) * count);
}

double SquaredSum::value(double unit) const noexcept {
  return scalar::squared_sum_value(high, low, unit);
}

double rounding_unit(Format format, double scale, double amax) noexcept {
  return scalar::rounding_unit(format, scale, amax);
}

Statistics statistics(ConstTensorView x, const HostOptions& options) {
  return statistics(x, Granularity::tensor(), options).front();
}

std::vector<Statistics> statistics(ConstTensorView x, const Granularity& granularity,
                                   const HostOptions& options) {
  const detail::ScaledTensor tensor = detail::make_unscaled_tensor(x, granularity, options);
  std::vector<Statistics> result(static_cast<std::size_t>(tensor.num_scales));
  options.backend.operations().statistics(tensor, x.data(), result.data());
  return result;
}

std::vector<QuantizationError> quantization_error(ConstTensorView x, const QuantParams& params,
                                                  std::span<const double> amax,
                                                  const HostOptions& options) {
  const detail::ScaledArguments arguments(x, params, options);
  const auto scales = static_cast<std::size_t>(arguments.tensor().num_scales);
  detail::check_size("amax", amax.size(), scales, "one for each scale of the granularity");
  for (std::size_t i = 0; i < scales; ++i) {
    if (std::isfinite(amax[i]) && amax[i] >= 0.0) continue;
    detail::throw_invalid("amax[" + detail::text(i) + "]", detail::text(amax[i]),
                          "finite and at least 0");
  }
  std::vector<QuantizationError> result(scales);
  options.backend.operations().quantization_error(arguments.tensor(), x.data(), amax.data(),
                                                  result.data());
  return result;
}

}  // namespace cuqat
