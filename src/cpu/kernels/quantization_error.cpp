// Squared quantization errors as integers (docs/numerics.md, "Squared errors").
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"
#include "cuqat/scalar/squared_error.hpp"

namespace cuqat::cpu::CUQAT_ISA {
namespace {

/// Elements whose errors wait in L1.
constexpr std::int64_t kBlock = 256;

/// Fake-quantized values in C, and which sum takes an element: 1 or 0 each, both 0 where the
/// element is not finite.
template <typename C>
struct Values {
  alignas(64) C x[kBlock];
  alignas(64) C y[kBlock];
  alignas(64) PatternOf<C> inside[kBlock];
  alignas(64) PatternOf<C> outside[kBlock];
};

/// The steps in C. Apart from those in f64, so that each loop has values of one width: else it does
/// not vectorise.
template <typename T, bool kPerElement, typename Q, typename C>
void quantize_values(const Q q, const Scales<C, kPerElement> scales, const void* x, std::int64_t n,
                     Values<C>& values) {
  using Bits = PatternOf<C>;
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const C value = scalar::load_compute(load<T>(x, i));
    const C scale = scales.scale(i);
    const std::int32_t zero_point = scales.zero_point(i);
    const Bits finite = scalar::is_finite(value) ? 1 : 0;
    const Bits clipped = scalar::is_clipped(q, value, scale, zero_point) ? 1 : 0;
    values.x[i] = value;
    values.y[i] = scalar::fake_quantize_element(q, value, scale, zero_point).value;
    values.inside[i] = finite & (clipped ^ 1);
    values.outside[i] = finite & clipped;
  }
}

/// All ones for 1, 0 for 0.
template <typename Bits>
CUQAT_INLINE std::uint64_t mask_of(Bits flag) {
  return std::uint64_t{0} - std::uint64_t{flag};
}

CUQAT_INLINE double select(std::uint64_t mask, double where_set, double otherwise) {
  return scalar::from_bits((scalar::to_bits(where_set) & mask) |
                           (scalar::to_bits(otherwise) & ~mask));
}

template <typename C>
PartialError sum_errors(const Values<C>& values, const ErrorUnits units, std::int64_t n) {
  PartialError sum{};
  for (std::int64_t i = 0; i < n; ++i) {
    const std::uint64_t outside = mask_of(values.outside[i]);
    const std::uint64_t inside = mask_of(values.inside[i]);
    const auto x = static_cast<double>(values.x[i]);
    const double error = x - static_cast<double>(values.y[i]);
    const std::uint64_t term =
        scalar::squared_term(error, select(outside, units.amax, units.rounding));
    sum.count -= static_cast<std::int64_t>(inside | outside);
    sum.clipped -= static_cast<std::int64_t>(outside);
    sum.rounding += term & inside;
    sum.clipping += term & outside;
    sum.signal += scalar::squared_term(x, units.amax) & (inside | outside);
  }
  return sum;
}

template <typename C>
void add_row_errors(const Values<C>& values, std::int64_t first, std::int64_t n,
                    const ColumnErrors result) {
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t column = first + i;
    const std::uint64_t outside = mask_of(values.outside[i]);
    const std::uint64_t inside = mask_of(values.inside[i]);
    const auto x = static_cast<double>(values.x[i]);
    const double error = x - static_cast<double>(values.y[i]);
    const double amax = result.amax_unit[column];
    const std::uint64_t term =
        scalar::squared_term(error, select(outside, amax, result.rounding_unit[column]));
    result.count[column] -= inside | outside;
    result.clipped[column] -= outside;
    result.rounding[column] += term & inside;
    result.clipping[column] += term & outside;
    result.signal[column] += scalar::squared_term(x, amax) & (inside | outside);
  }
}

}  // namespace

PartialError quantization_error(const TileQuantizer& quantizer, const TileScale& scale,
                                const ErrorUnits& units, const void* x, std::int64_t n) {
  PartialError result{};
  with_type(quantizer.dtype, [&](auto type) {
    with_quantizer(quantizer, [&](auto q) {
      using T = typename decltype(type)::Type;
      using C = scalar::ComputeType<T>;
      const Scales<C, false> scales(scale);
      Values<C> values;
      for (std::int64_t first = 0; first < n; first += kBlock) {
        const std::int64_t length = n - first < kBlock ? n - first : kBlock;
        quantize_values<T>(q, scales, element_address<T>(x, first), length, values);
        const PartialError part = sum_errors(values, units, length);
        result.count += part.count;
        result.clipped += part.clipped;
        result.rounding += part.rounding;
        result.clipping += part.clipping;
        result.signal += part.signal;
      }
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
      using C = scalar::ComputeType<T>;
      Values<C> values;
      for (std::int64_t first = 0; first < columns; first += kBlock) {
        const std::int64_t length = columns - first < kBlock ? columns - first : kBlock;
        const Scales<C, true> scales(
            TileScale{static_cast<const C*>(scale.scale) + first, scale.zero_point + first, true});
        for (std::int64_t row = 0; row < rows; ++row) {
          quantize_values<T>(q, scales, element_address<T>(x, row * stride + first), length,
                             values);
          add_row_errors(values, first, length, result);
        }
      }
    });
  });
}

}  // namespace cuqat::cpu::CUQAT_ISA
