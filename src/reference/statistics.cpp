// Statistics, and the error that quantizing costs.
#include <cmath>

#include "reference/element.hpp"
#include "reference/number.hpp"
#include "reference/operations.hpp"
#include "reference/scales.hpp"

namespace cuqat::reference {

namespace {

void add(Statistics& statistics, double x) {
  ++statistics.count;
  if (std::isnan(x)) {
    ++statistics.nan;
  } else if (std::isinf(x)) {
    ++(x > 0 ? statistics.pos_inf : statistics.neg_inf);
  } else {
    const double value = x == 0.0 ? 0.0 : x;  // -0 becomes +0.
    if (value == 0.0) ++statistics.zeros;
    if (value < statistics.min) statistics.min = value;
    if (value > statistics.max) statistics.max = value;
  }
}

/// The widest step between neighbouring values, or amax: no rounding error exceeds either.
double unit_of(Format format, double scale, double amax) {
  double step = scale;
  if (format == Format::kE4M3) step = 32.0 * scale;
  if (format == Format::kE5M2) step = 8192.0 * scale;
  return step < amax ? step : amax;
}

/// An error in units, squared and rounded to a multiple of 2^-51 that is not 0.
std::uint64_t squared_term(double error, double unit) {
  if (error == 0.0) return 0;
  const double reciprocal = 1.0 / unit;
  const double t = error * reciprocal;
  const double square = t * t;
  // Not std::min: a NaN, from a code that has no finite value, counts as 1.
  const double fraction = square < 1.0 ? square : 1.0;
  const auto rounded = static_cast<std::uint64_t>(std::nearbyint(fraction * 0x1p51));
  return rounded == 0 ? 1 : rounded;
}

void add(SquaredSum& sum, std::uint64_t term) {
  sum.low += term;
  if (sum.low < term) ++sum.high;
}

template <typename C>
void add_errors(const detail::ScaledTensor& tensor, const void* data, const double* amax,
                QuantizationError* result) {
  for (std::int64_t i = 0; i < tensor.shape.count(); ++i) {
    const double x = load(tensor.dtype, data, i);
    if (!std::isfinite(x)) continue;
    const std::int64_t index = scale_index(tensor, i);
    const ScaleOf<C> of = scale_at<C>(tensor, index);
    const Outcome<C> outcome =
        quantize_element(tensor.quantizer, static_cast<C>(x), of.scale, of.zero_point);
    const double error = x - double{outcome.value};
    QuantizationError& sums = result[index];
    ++sums.count;
    add(sums.signal, squared_term(x, amax[index]));
    if (outcome.clipped) {
      ++sums.clipped;
      add(sums.clipping, squared_term(error, amax[index]));
    } else {
      const double unit = unit_of(tensor.quantizer.format, of.scale, amax[index]);
      add(sums.rounding, squared_term(error, unit));
    }
  }
}

}  // namespace

void statistics(const detail::ScaledTensor& tensor, const void* x, Statistics* result) {
  for (std::int64_t i = 0; i < tensor.num_scales; ++i) result[i] = {};
  for (std::int64_t i = 0; i < tensor.shape.count(); ++i) {
    add(result[scale_index(tensor, i)], load(tensor.dtype, x, i));
  }
}

void quantization_error(const detail::ScaledTensor& tensor, const void* x, const double* amax,
                        QuantizationError* result) {
  for (std::int64_t i = 0; i < tensor.num_scales; ++i) result[i] = {};
  in_compute_type(tensor.dtype,
                  [&](auto zero) { add_errors<decltype(zero)>(tensor, x, amax, result); });
}

}  // namespace cuqat::reference
