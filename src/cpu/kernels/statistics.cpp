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

/// Counts what is not finite, in a tile known to hold some.
template <typename T>
void count_special(const void* x, std::int64_t n, PartialStatistics& result) {
  using Traits = PatternTraits<T>;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto pattern = load<typename Traits::Signed>(x, i);
    const auto rest = static_cast<typename Traits::Signed>(pattern & Traits::kMagnitude);
    if (rest < Traits::kInfinity) continue;
    if (rest > Traits::kInfinity) {
      ++result.nan;
    } else if (pattern < 0) {
      ++result.neg_inf;
    } else {
      ++result.pos_inf;
    }
  }
}

template <typename T>
PartialStatistics tile_statistics(const void* x, std::int64_t n) {
  using Traits = PatternTraits<T>;
  using Signed = typename Traits::Signed;
  using Unsigned = typename Traits::Unsigned;
  constexpr Signed kMax = Traits::kMagnitude;
  constexpr auto kMin = static_cast<Signed>(-kMax - 1);
  Signed least = kMax;
  Signed largest = kMin;
  // A tile has fewer elements than 16 bits count.
  Unsigned special = 0;
  Unsigned zeros = 0;
  for (std::int64_t i = 0; i < n; ++i) {
    const auto pattern = load<Signed>(x, i);
    const auto rest = static_cast<Signed>(pattern & kMax);
    const auto key = static_cast<Signed>(pattern < 0 ? pattern ^ kMax : pattern);
    const bool finite = rest < Traits::kInfinity;
    const Signed low = finite ? key : kMax;
    const Signed high = finite ? key : kMin;
    least = low < least ? low : least;
    largest = high > largest ? high : largest;
    special = static_cast<Unsigned>(special + (finite ? 0 : 1));
    zeros = static_cast<Unsigned>(zeros + (rest == 0 ? 1 : 0));
  }
  PartialStatistics result{};
  result.zeros = static_cast<std::int64_t>(zeros);
  const bool any_finite = static_cast<std::int64_t>(special) < n;
  result.min = any_finite ? value_of_key<T>(least) : __builtin_inf();
  result.max = any_finite ? value_of_key<T>(largest) : -__builtin_inf();
  if (special != 0) count_special<T>(x, n, result);
  return result;
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
