// Counting: leading bits, equal bins, and the bits after a prefix.
#include "cpu/kernels/bit_mask.hpp"
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {

namespace {

/// A key is the leading 16 bits, the last two bytes of an element: loading just them costs less
/// than taking a wider word apart.
template <std::size_t kBytes>
void count_leading_bits(const void* x, std::int64_t n, std::uint32_t* counters) {
  constexpr std::int64_t kStep = 8;
  static_assert(kStep % kKeyCounters == 0);
  const auto key = [&](std::int64_t i) {
    return load<std::uint16_t>(static_cast<const char*>(x) + (kBytes - 2),
                               i * static_cast<std::int64_t>(kBytes / 2));
  };
  const std::int64_t whole = n / kStep * kStep;
  for (std::int64_t i = 0; i < whole; i += kStep) {
    for (std::int64_t j = 0; j < kStep; ++j) {
      ++counters[key(i + j) * kKeyCounters + static_cast<std::size_t>(j) % kKeyCounters];
    }
  }
  for (std::int64_t i = whole; i < n; ++i) ++counters[key(i) * kKeyCounters];
}

}  // namespace

void count_keys(std::size_t element_bytes, const void* x, std::int64_t n, std::uint32_t* counters) {
  if (element_bytes == 2) return count_leading_bits<2>(x, n, counters);
  if (element_bytes == 4) return count_leading_bits<4>(x, n, counters);
  count_leading_bits<8>(x, n, counters);
}

namespace {

/// floor(value) of a number in the range of int32. (Without SSE4.1 there is no instruction for it.)
CUQAT_INLINE std::int32_t floor_to_int(double value) {
  const auto whole = static_cast<std::int32_t>(value);
  return whole - (static_cast<double>(whole) > value ? 1 : 0);
}

/// The bin of an element of f32 or narrower, exactly. The quotient is rounded once; where that
/// could have lifted it to a whole number, the sign of the exact remainder decides.
template <bool kExactQuotient>
CUQAT_INLINE std::int32_t linear_bin(const LinearBins& layout, float x) {
  const auto value = static_cast<double>(layout.magnitude ? scalar::magnitude(x) : x);
  const bool counted = scalar::magnitude(value) <= layout.amax;
  const double scaled = (counted ? value : 0.0) * layout.bins_per_amax;
  const double quotient = scaled / layout.amax;
  std::int32_t bin = floor_to_int(quotient);
  if constexpr (!kExactQuotient) {
    const auto whole = static_cast<double>(bin);
    if (whole == quotient && __builtin_fma(whole, layout.amax, -scaled) > 0.0) --bin;
  }
  bin += layout.offset;
  bin = bin > layout.last ? layout.last : bin;
  return counted ? bin : layout.skipped;
}

/// The bin of an f64 element, by the formula of docs/numerics.md.
template <bool>
CUQAT_INLINE std::int32_t linear_bin(const LinearBins& layout, double x) {
  const double size = scalar::magnitude(x);
  const bool counted = size <= layout.amax;
  const double place = (counted ? size : 0.0) / layout.amax * layout.bins_per_amax;
  const std::int32_t down = floor_to_int(place);
  const std::int32_t up = down + (static_cast<double>(down) < place || place == 0.0 ? 1 : 0);
  std::int32_t bin = layout.offset + down;
  bin = bin > layout.last ? layout.last : bin;
  bin = !layout.magnitude && x < 0.0 ? layout.offset - up : bin;
  return counted ? bin : layout.skipped;
}

}  // namespace

void linear_bins(DType dtype, const LinearBins& layout, const void* x, std::int64_t n,
                 std::int32_t* bins) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    // Both x * bins_per_amax and whole * amax have at most 49 significant bits where amax has 24:
    // a quotient below a whole number is then more than a rounding error below it.
    with_bool(sizeof(T) == 8 || layout.amax_is_f32, [&](auto exact) {
      const LinearBins copy = layout;
      CUQAT_INDEPENDENT
      for (std::int64_t i = 0; i < n; ++i) {
        bins[i] = linear_bin<decltype(exact)::value>(copy, scalar::load_compute(load<T>(x, i)));
      }
    });
  });
}

namespace {

template <typename Bits>
void count_after_prefix(const PrefixMatch& match, const void* x, std::int64_t n,
                        std::uint64_t* counts) {
  constexpr std::int64_t kBlock = 64;
  const auto keep = static_cast<Bits>(match.keep);
  const auto prefix = static_cast<Bits>(match.prefix);
  const int shift = match.shift;
  alignas(64) std::uint8_t flags[kBlock];
  for (std::int64_t first = 0; first < n; first += kBlock) {
    const std::int64_t length = n - first < kBlock ? n - first : kBlock;
    if (length == kBlock) {
      for (std::int64_t i = 0; i < kBlock; ++i) {
        flags[i] = ((load<Bits>(x, first + i) & keep) >> shift) == prefix ? 1 : 0;
      }
    } else {
      for (std::int64_t i = 0; i < kBlock; ++i) {
        flags[i] = i < length && ((load<Bits>(x, first + i) & keep) >> shift) == prefix ? 1 : 0;
      }
    }
    for (std::uint64_t bits = pack_flags(flags); bits != 0; bits &= bits - 1) {
      const Bits pattern = load<Bits>(x, first + __builtin_ctzll(bits));
      ++counts[(pattern >> (shift - 16)) & 0xffff];
    }
  }
}

}  // namespace

void count_matching(std::size_t element_bytes, const PrefixMatch& match, const void* x,
                    std::int64_t n, std::uint64_t* counts) {
  if (element_bytes == 4) return count_after_prefix<std::uint32_t>(match, x, n, counts);
  count_after_prefix<std::uint64_t>(match, x, n, counts);
}

}  // namespace cuqat::cpu::CUQAT_ISA
