// Fake quantize with its clip mask, and the straight-through gradients.
#include "cpu/kernels/bit_mask.hpp"
#include "cpu/kernels/entry_points.hpp"
#include "cpu/kernels/loop.hpp"

namespace cuqat::cpu::CUQAT_ISA {
namespace {

/// Writes the bits of n flags; the flags are readable and the spare ones 0 up to a multiple of 64.
void write_mask(const std::uint8_t* flags, std::uint8_t* clip_mask, std::int64_t n) {
  for (std::int64_t first = 0; first < n; first += 64) {
    const std::uint64_t bits = pack_flags(flags + first);
    const std::int64_t bytes = (n - first >= 64 ? 64 : n - first + 7) / 8;
    if (bytes == 8) {
      store(clip_mask, first / 64, bits);
    } else {
      for (std::int64_t i = 0; i < bytes; ++i) {
        clip_mask[first / 8 + i] = static_cast<std::uint8_t>(bits >> (8 * i));
      }
    }
  }
}

template <typename Bits>
struct BitTable {
  static constexpr int kCount = static_cast<int>(sizeof(Bits) * 8);
  Bits bit[kCount];
};

template <typename Bits>
constexpr BitTable<Bits> make_bit_table() {
  BitTable<Bits> table{};
  for (int i = 0; i < BitTable<Bits>::kCount; ++i) {
    table.bit[i] = static_cast<Bits>(Bits{1} << i);
  }
  return table;
}

/// Elements as bits; a word of the mask holds as many as an element has bits.
template <typename Bits>
void zero_masked(const void* dy, const std::uint8_t* clip_mask, void* dx, std::int64_t n) {
  static constexpr BitTable<Bits> kTable = make_bit_table<Bits>();
  constexpr std::int64_t kWord = BitTable<Bits>::kCount;
  const std::int64_t whole = n / kWord;
  for (std::int64_t word = 0; word < whole; ++word) {
    const Bits mask = load<Bits>(clip_mask, word);
    CUQAT_INDEPENDENT
    for (std::int64_t j = 0; j < kWord; ++j) {
      const Bits value = load<Bits>(dy, word * kWord + j);
      store<Bits>(dx, word * kWord + j, (mask & kTable.bit[j]) != 0 ? Bits{0} : value);
    }
  }
  for (std::int64_t i = whole * kWord; i < n; ++i) {
    const bool clipped = ((clip_mask[i / 8] >> (i % 8)) & 1) != 0;
    store<Bits>(dx, i, clipped ? Bits{0} : load<Bits>(dy, i));
  }
}

/// With flags, one for each element: whether it was clipped.
template <typename T, bool kPerElement, bool kWithFlags, typename Q>
void fake_quantize_loop(const Q q, const Scales<scalar::ComputeType<T>, kPerElement> scales,
                        const void* x, void* y, std::uint8_t* flags, std::int64_t n) {
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const auto value = scalar::load_compute(load<T>(x, i));
    const auto scale = scales.scale(i);
    const std::int32_t zero_point = scales.zero_point(i);
    const auto result = scalar::fake_quantize_element(q, value, scale, zero_point).value;
    // Not the flag of fake_quantize_element: g++ 12 keeps a structure that holds a bool in memory,
    // and then the loop does not vectorise. What the two share is computed once all the same.
    if constexpr (kWithFlags) flags[i] = scalar::is_clipped(q, value, scale, zero_point) ? 1 : 0;
    store<T>(y, i, scalar::store_compute<T>(result));
  }
}

template <typename T, bool kPerElement, typename Q>
void backward_loop(const Q q, const Scales<scalar::ComputeType<T>, kPerElement> scales,
                   const void* dy, const void* x, void* dx, std::int64_t n) {
  using Bits = PatternOf<T>;
  CUQAT_INDEPENDENT
  for (std::int64_t i = 0; i < n; ++i) {
    const auto value = scalar::load_compute(load<T>(x, i));
    const bool clipped = scalar::is_clipped(q, value, scales.scale(i), scales.zero_point(i));
    const Bits gradient = load<Bits>(dy, i);
    store<Bits>(dx, i, clipped ? Bits{0} : gradient);
  }
}

}  // namespace

void fake_quantize(const TileQuantizer& quantizer, const TileScale& scale, const void* x, void* y,
                   std::uint8_t* clip_mask, std::int64_t n) {
  alignas(64) std::uint8_t flags[kTile];
  with_loop(quantizer, scale, [&](auto type, auto q, auto per_element) {
    using T = typename decltype(type)::Type;
    constexpr bool kPerElement = decltype(per_element)::value;
    const Scales<scalar::ComputeType<T>, kPerElement> scales(scale);
    if (clip_mask == nullptr) {
      fake_quantize_loop<T, kPerElement, false>(q, scales, x, y, flags, n);
    } else {
      fake_quantize_loop<T, kPerElement, true>(q, scales, x, y, flags, n);
    }
  });
  if (clip_mask == nullptr) return;
  for (std::int64_t i = n; i % 64 != 0; ++i) flags[i] = 0;
  write_mask(flags, clip_mask, n);
}

void backward(const TileQuantizer& quantizer, const TileScale& scale, const void* dy, const void* x,
              void* dx, std::int64_t n) {
  with_loop(quantizer, scale, [&](auto type, auto q, auto per_element) {
    using T = typename decltype(type)::Type;
    constexpr bool kPerElement = decltype(per_element)::value;
    const Scales<scalar::ComputeType<T>, kPerElement> scales(scale);
    backward_loop<T, kPerElement>(q, scales, dy, x, dx, n);
  });
}

void backward_from_mask(std::size_t element_bytes, const void* dy, const std::uint8_t* clip_mask,
                        void* dx, std::int64_t n) {
  if (element_bytes == 2) return zero_masked<std::uint16_t>(dy, clip_mask, dx, n);
  if (element_bytes == 4) return zero_masked<std::uint32_t>(dy, clip_mask, dx, n);
  zero_masked<std::uint64_t>(dy, clip_mask, dx, n);
}

}  // namespace cuqat::cpu::CUQAT_ISA
