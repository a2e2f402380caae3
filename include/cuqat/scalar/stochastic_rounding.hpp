// Stochastic rounding: floor(x / s + u), u uniform in [0, 1) from a counter-based generator, so the
// bits depend on the seed and the element's index alone, never on the launch shape.
//
// Source of the generator: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2,
// 3", SC 2011 (Philox4x32-10).
#pragma once

#include <cstdint>

#include "cuqat/scalar/rounding.hpp"

namespace cuqat::scalar {

/// Four random words.
struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Philox4x32 with ten rounds.
CUQAT_HD constexpr PhiloxBlock philox4x32_10(PhiloxBlock counter, std::uint32_t key0,
                                             std::uint32_t key1) {
  constexpr std::uint64_t kMultiplier0 = 0xD251'1F53u;
  constexpr std::uint64_t kMultiplier1 = 0xCD9E'8D57u;
  constexpr std::uint32_t kWeyl0 = 0x9E37'79B9u;
  constexpr std::uint32_t kWeyl1 = 0xBB67'AE85u;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = kMultiplier0 * counter.word[0];
    const std::uint64_t product1 = kMultiplier1 * counter.word[2];
    counter = {{static_cast<std::uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0,
                static_cast<std::uint32_t>(product1),
                static_cast<std::uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1,
                static_cast<std::uint32_t>(product0)}};
    key0 += kWeyl0;
    key1 += kWeyl1;
  }
  return counter;
}

/// Uniform in [0, 1), a multiple of 2^-24: word index % 4 of the block with counter index / 4 and
/// the seed as key.
CUQAT_HD constexpr float uniform_from_index(std::uint64_t seed, std::uint64_t index) {
  const std::uint64_t counter = index / 4;
  const PhiloxBlock block = philox4x32_10(
      {{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), 0u, 0u}},
      static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32));
  return static_cast<float>(block.word[index % 4] >> 8) * 0x1p-24f;
}

CUQAT_HD float round_down(float value) { return __builtin_floorf(value); }
CUQAT_HD double round_down(double value) { return __builtin_floor(value); }

/// The integer code of x: clamp(floor(x / s + u) + z, low, high); NaN gives z.
template <typename C>
CUQAT_HD std::int32_t stochastic_integer_code(C x, C scale, std::int32_t zero_point,
                                              std::int32_t low, std::int32_t high, C u) {
  const C zero = static_cast<C>(zero_point);
  const C number = is_nan(x) ? zero : round_down(x / scale + u) + zero;
  return static_cast<std::int32_t>(clamp(number, static_cast<C>(low), static_cast<C>(high)));
}

}  // namespace cuqat::scalar
