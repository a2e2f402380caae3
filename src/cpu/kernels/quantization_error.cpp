// Squared quantization errors as integers (docs/numerics.md, "Squared errors").
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {
namespace {

/// min((error * reciprocal)^2, 1) in units of 2^-51, to nearest even. No error is 0 also where the
/// reciprocal is infinite.
CUQAT_INLINE std::uint64_t squared_term(double error, double reciprocal) {
  const double t = error * reciprocal;
  const double square = t * t;
  const double capped = square < 1.0 ? square : 1.0;
  // The unit in the last place of 2^52 is 1: the addition rounds to a whole number.
  const double rounded = capped * 0x1p51 + 0x1p52;
  return error == 0.0 ? 0 : scalar::to_bits(rounded) - scalar::to_bits(0x1p52);
}

/// What an element adds. Its condition is given for each sum apart, as the loops must not keep
/// structures.
struct ErrorTerm {
  std::uint64_t error;
  std::uint64_t signal;
};

template <typename Q, typename C>
CUQAT_INLINE ErrorTerm error_term(const Q& q, C x, C scale, std::int32_t zero_point, bool clipped,
                                  double rounding_unit, double amax_unit) {
  const C y = scalar::fake_quantize_element(q, x, scale, zero_point).value;
  const double error = static_cast<double>(x) - static_cast<double>(y);
  return {squared_term(error, clipped ? amax_unit : rounding_unit),
          squared_term(static_cast<double>(x), amax_unit)};
}

template <typename T, typename Q>
PartialError error_loop(const Q q, const Scales<scalar::ComputeType<T>, false> scales,
                        const ErrorUnits units, const void* x, std::int64_t n) {
  PartialError sum{};
  for (std::int64_t i = 0; i < n; ++i) {
    const auto value = scalar::load_compute(load<T>(x, i));
    const auto scale = scales.scale(i);
    const std::int32_t zero_point = scales.zero_point(i);
    const bool clipped = scalar::is_clipped(q, value, scale, zero_point);
    const bool finite = scalar::is_finite(value);
    const ErrorTerm term =
        error_term(q, value, scale, zero_point, clipped, units.rounding, units.amax);
    sum.count += finite ? 1 : 0;
    sum.clipped += finite && clipped ? 1 : 0;
    sum.rounding += finite && !clipped ? term.error : 0;
    sum.clipping += finite && clipped ? term.error : 0;
    sum.signal += finite ? term.signal : 0;
  }
  return sum;
}

template <typename T, typename Q>
void error_row(const Q q, const Scales<scalar::ComputeType<T>, true> scales, const void* x,
               std::int64_t columns, const ColumnErrors result) {
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < columns; ++i) {
    const auto value = scalar::load_compute(load<T>(x, i));
    const auto scale = scales.scale(i);
    const std::int32_t zero_point = scales.zero_point(i);
    const bool clipped = scalar::is_clipped(q, value, scale, zero_point);
    const bool finite = scalar::is_finite(value);
    const ErrorTerm term = error_term(q, value, scale, zero_point, clipped, result.rounding_unit[i],
                                      result.amax_unit[i]);
    result.count[i] += finite ? 1u : 0u;
    result.clipped[i] += finite && clipped ? 1u : 0u;
    result.rounding[i] += finite && !clipped ? term.error : 0;
    result.clipping[i] += finite && clipped ? term.error : 0;
    result.signal[i] += finite ? term.signal : 0;
  }
}

}  // namespace

PartialError quantization_error(const TileQuantizer& quantizer, const TileScale& scale,
                                const ErrorUnits& units, const void* x, std::int64_t n) {
  PartialError result{};
  with_type(quantizer.dtype, [&](auto type) {
    with_quantizer(quantizer, [&](auto q) {
      using T = typename decltype(type)::Type;
      result = error_loop<T>(q, Scales<scalar::ComputeType<T>, false>(scale), units, x, n);
    });
  });
  return result;
}

void quantization_error_columns(const TileQuantizer& quantizer, const TileScale& scale,
                                const void* x, std::int64_t rows, std::int64_t columns,
                                std::int64_t stride, const ColumnErrors& result) {
  with_type(quantizer.dtype, [&](auto type) {
    with_quantizer(quantizer, [&](auto q) {
      using T = typename decltype(type)::Type;
      const Scales<scalar::ComputeType<T>, true> scales(scale);
      for (std::int64_t row = 0; row < rows; ++row) {
        error_row<T>(q, scales, element_address<T>(x, row * stride), columns, result);
      }
    });
  });
}

}  // namespace cuqat::cpu::CUQAT_ISA
