// Extrema and counts of special values.
//
// Extrema are found among integers that are ordered as the numbers are: unlike a floating-point
// minimum, theirs can be reduced in any order, so the loop vectorises.
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {
namespace {

/// The pattern of an element as a signed integer of its width.
template <typename T>
struct PatternTraits;
template <>
struct PatternTraits<float> {
  using Signed = std::int32_t;
  using Unsigned = std::uint32_t;
  static constexpr Signed kMagnitude = 0x7fff'ffff;
  static constexpr Signed kInfinity = 0x7f80'0000;
};
template <>
struct PatternTraits<double> {
  using Signed = std::int64_t;
  using Unsigned = std::uint64_t;
  static constexpr Signed kMagnitude = 0x7fff'ffff'ffff'ffff;
  static constexpr Signed kInfinity = 0x7ff0'0000'0000'0000;
};
template <>
struct PatternTraits<float16> {
  using Signed = std::int16_t;
  using Unsigned = std::uint16_t;
  static constexpr Signed kMagnitude = 0x7fff;
  static constexpr Signed kInfinity = 0x7c00;
};
template <>
struct PatternTraits<bfloat16> {
  using Signed = std::int16_t;
  using Unsigned = std::uint16_t;
  static constexpr Signed kMagnitude = 0x7fff;
  static constexpr Signed kInfinity = 0x7f80;
};

/// The value of an integer that orders a pattern (its own inverse map).
template <typename T>
CUQAT_INLINE double value_of_key(typename PatternTraits<T>::Signed key) {
  using Traits = PatternTraits<T>;
  const auto pattern =
      static_cast<typename Traits::Signed>(key < 0 ? key ^ Traits::kMagnitude : key);
  return static_cast<double>(scalar::load_compute(__builtin_bit_cast(T, pattern)));
}

/// A tile that holds something that is not finite: rare, and not worth a vector loop.
template <typename T>
PartialStatistics mixed_statistics(const void* x, std::int64_t n) {
  PartialStatistics result{};
  result.min = __builtin_inf();
  result.max = -__builtin_inf();
  for (std::int64_t i = 0; i < n; ++i) {
    const auto value = static_cast<double>(scalar::load_compute(load<T>(x, i)));
    if (scalar::is_finite(value)) {
      result.zeros += value == 0.0 ? 1 : 0;
      result.min = value < result.min ? value : result.min;
      result.max = value > result.max ? value : result.max;
    } else if (scalar::is_nan(value)) {
      ++result.nan;
    } else {
      ++(value < 0.0 ? result.neg_inf : result.pos_inf);
    }
  }
  return result;
}

template <typename T>
PartialStatistics tile_statistics(const void* x, std::int64_t n) {
  using Traits = PatternTraits<T>;
  using Signed = typename Traits::Signed;
  using Unsigned = typename Traits::Unsigned;
  constexpr Signed kMagnitude = Traits::kMagnitude;
  Signed least = kMagnitude;
  Signed largest = static_cast<Signed>(-kMagnitude - 1);
  Signed largest_magnitude = 0;
  // A tile has fewer elements than 16 bits count.
  Unsigned zeros = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto pattern = load<Signed>(x, i);
    const auto rest = static_cast<Signed>(pattern & kMagnitude);
    const auto key = static_cast<Signed>(pattern < 0 ? pattern ^ kMagnitude : pattern);
    least = key < least ? key : least;
    largest = key > largest ? key : largest;
    largest_magnitude = rest > largest_magnitude ? rest : largest_magnitude;
    zeros = static_cast<Unsigned>(zeros + (rest == 0 ? 1 : 0));
  }
  if (largest_magnitude >= Traits::kInfinity) return mixed_statistics<T>(x, n);
  return {
      0, 0, 0, static_cast<std::int64_t>(zeros), value_of_key<T>(least), value_of_key<T>(largest)};
}

}  // namespace

PartialStatistics statistics(DType dtype, const void* x, std::int64_t n) {
  PartialStatistics result{};
  with_type(dtype,
            [&](auto type) { result = tile_statistics<typename decltype(type)::Type>(x, n); });
  return result;
}

void statistics_columns(DType dtype, const void* x, std::int64_t rows, std::int64_t columns,
                        std::int64_t stride, const ColumnStatistics& result) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    using C = scalar::ComputeType<T>;
    constexpr C kInfinity = scalar::from_bits(scalar::FloatTraits<C>::kInfinity);
    auto* const min = static_cast<C*>(result.min);
    auto* const max = static_cast<C*>(result.max);
    for (std::int64_t row = 0; row < rows; ++row) {
      CUQAT_INDEPENDENT
      for (std::int64_t i = 0; i < columns; ++i) {
        const C value = scalar::load_compute(load<T>(x, row * stride + i));
        const bool finite = scalar::is_finite(value);
        const C low = finite ? value : kInfinity;
        const C high = finite ? value : -kInfinity;
        min[i] = low < min[i] ? low : min[i];
        max[i] = high > max[i] ? high : max[i];
        result.nan[i] += scalar::is_nan(value) ? 1u : 0u;
        result.pos_inf[i] += value == kInfinity ? 1u : 0u;
        result.neg_inf[i] += value == -kInfinity ? 1u : 0u;
        result.zeros[i] += value == C{0} ? 1u : 0u;
      }
    }
  });
}

}  // namespace cuqat::cpu::CUQAT_ISA
