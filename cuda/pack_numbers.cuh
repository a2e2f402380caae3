// A pack as numbers: whether all are finite, how many are zero, and f32 in and out by the
// conversion instructions. Words of two 16-bit elements are looked at as a whole.
//
// A thread works on packs that it holds in registers.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/half.hpp"
#include "pack.cuh"

namespace cuqat::gpu {

namespace detail {

template <typename T>
struct PackWords {
  std::uint32_t word[sizeof(Pack<T>) / 4];
};

/// Of a word of elements: a 1 in each, and every sign bit; and the pattern of an infinity.
template <typename T>
struct WordTraits;
template <>
struct WordTraits<float> {
  static constexpr std::uint32_t kOnes = 1;
  static constexpr std::uint32_t kSigns = 0x8000'0000u;
  static constexpr std::uint32_t kInfinity = 0x7f80'0000u;
};
template <>
struct WordTraits<bfloat16> {
  static constexpr std::uint32_t kOnes = 0x0001'0001u;
  static constexpr std::uint32_t kSigns = 0x8000'8000u;
  static constexpr std::uint32_t kInfinity = 0x7f80u;
};
template <>
struct WordTraits<float16> {
  static constexpr std::uint32_t kOnes = 0x0001'0001u;
  static constexpr std::uint32_t kSigns = 0x8000'8000u;
  static constexpr std::uint32_t kInfinity = 0x7c00u;
};

}  // namespace detail

/// The finite elements up to a magnitude. T is not double.
template <typename T>
class MagnitudeBound {
  using Traits = detail::WordTraits<T>;

 public:
  /// All that are finite.
  MagnitudeBound() = default;
  /// Those that are also no larger than `largest`, which is not NaN and not negative.
  __device__ explicit MagnitudeBound(float largest) {
    const T nearest = scalar::store_compute<T>(largest);
    std::uint32_t pattern = __builtin_bit_cast(BitsOf<T>, nearest);
    if (scalar::load_compute(nearest) > largest) --pattern;
    const std::uint32_t least_outside =
        pattern < Traits::kInfinity ? pattern + 1 : Traits::kInfinity;
    to_signs_ = Traits::kSigns - least_outside * Traits::kOnes;
  }

  __device__ bool holds_all(const Pack<T>& pack) const {
    const auto words = __builtin_bit_cast(detail::PackWords<T>, pack);
    std::uint32_t carries = 0;
#pragma unroll
    for (const std::uint32_t word : words.word) {
      carries |= (word & ~Traits::kSigns) + to_signs_;  // into the sign of one that is outside
    }
    return (carries & Traits::kSigns) == 0;
  }

 private:
  /// In each element, the distance from the least pattern outside to the sign bit.
  std::uint32_t to_signs_ = Traits::kSigns - Traits::kInfinity * Traits::kOnes;
};
template <>
class MagnitudeBound<double> {};

/// No element is infinite or NaN. T is not double.
template <typename T>
__device__ inline bool all_finite(const Pack<T>& pack) {
  return MagnitudeBound<T>().holds_all(pack);
}

/// Elements that are +0 or -0. T is not double.
template <typename T>
__device__ inline std::uint32_t num_zeros(const Pack<T>& pack) {
  using Traits = detail::WordTraits<T>;
  const auto words = __builtin_bit_cast(detail::PackWords<T>, pack);
  std::uint32_t flags = 0;
  int shift = 0;
#pragma unroll
  for (const std::uint32_t word : words.word) {
    // The sign bit stays where nothing is subtracted.
    flags |= ((Traits::kSigns - (word & ~Traits::kSigns)) & Traits::kSigns) >> shift++;
  }
  return static_cast<std::uint32_t>(__popc(flags));
}

/// The elements in f32. They are finite.
template <typename T>
__device__ inline void widen(const Pack<T>& pack, float (&value)[kPackElements]) {
  if constexpr (dtype_of<T> == DType::kBF16) {
    // Two instructions a word; as elements they would first be taken apart.
    const auto words = __builtin_bit_cast(detail::PackWords<T>, pack);
#pragma unroll
    for (int i = 0; i < kPackElements; i += 2) {
      value[i] = scalar::from_bits(words.word[i / 2] << 16);
      value[i + 1] = scalar::from_bits(words.word[i / 2] & 0xffff'0000u);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
#if defined(__CUDA_ARCH__)
      if constexpr (dtype_of<T> == DType::kF16) {
        asm("cvt.f32.f16 %0, %1;" : "=f"(value[i]) : "h"(pack.element[i].bits));
        continue;
      }
#endif
      value[i] = scalar::load_compute(pack.element[i]);
    }
  }
}

namespace detail {

/// sm_80 and later narrow two numbers in one instruction.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
inline constexpr bool kNarrowsPairs = true;
template <typename T>
__device__ inline std::uint32_t narrow_pair(float low, float high) {
  std::uint32_t pair;
  if constexpr (dtype_of<T> == DType::kBF16) {
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  } else {
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  }
  return pair;
}
#else
inline constexpr bool kNarrowsPairs = false;
template <typename T>
__device__ inline std::uint32_t narrow_pair(float, float) {
  return 0;
}
#endif

}  // namespace detail

/// From f32 to the elements' type, to nearest even. No value is NaN.
template <typename T>
__device__ inline Pack<T> narrow(const float (&value)[kPackElements]) {
  if constexpr (detail::kNarrowsPairs && sizeof(T) == 2) {
    detail::PackWords<T> words;
#pragma unroll
    for (int i = 0; i < kPackElements; i += 2) {
      words.word[i / 2] = detail::narrow_pair<T>(value[i], value[i + 1]);
    }
    return __builtin_bit_cast(Pack<T>, words);
  } else {
    Pack<T> pack;
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      pack.element[i] = scalar::store_compute<T>(value[i]);
    }
    return pack;
  }
}

}  // namespace cuqat::gpu
