// Minimum and maximum of finite elements.
//
// A thread holds its own in registers. Those of whole packs are found two elements at a time where
// there are instructions for it (sm_80 and later); which of two zeros is found is not said.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/rounding.hpp"
#include "pack_numbers.cuh"

namespace cuqat::gpu {

/// Extremes of finite elements; low > high where there are none.
template <typename C>
struct Extremes {
  C low = scalar::from_bits(scalar::FloatTraits<C>::kInfinity);
  C high = -scalar::from_bits(scalar::FloatTraits<C>::kInfinity);

  __device__ void merge(C other_low, C other_high) {
    low = scalar::lesser(other_low, low);
    high = scalar::larger(other_high, high);
  }
  __device__ void add(C value) {
    if (scalar::is_finite(value)) merge(value, value);
  }
};

namespace detail {

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
inline constexpr bool kComparesPairs = true;
/// The lesser and the larger elements of two words of two. None is NaN.
template <typename T>
__device__ inline std::uint32_t lesser_pair(std::uint32_t a, std::uint32_t b) {
  std::uint32_t pair;
  if constexpr (dtype_of<T> == DType::kBF16) {
    asm("min.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  } else {
    asm("min.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  }
  return pair;
}
template <typename T>
__device__ inline std::uint32_t larger_pair(std::uint32_t a, std::uint32_t b) {
  std::uint32_t pair;
  if constexpr (dtype_of<T> == DType::kBF16) {
    asm("max.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  } else {
    asm("max.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  }
  return pair;
}
#else
inline constexpr bool kComparesPairs = false;
template <typename T>
__device__ inline std::uint32_t lesser_pair(std::uint32_t, std::uint32_t) {
  return 0;
}
template <typename T>
__device__ inline std::uint32_t larger_pair(std::uint32_t, std::uint32_t) {
  return 0;
}
#endif

}  // namespace detail

/// Extremes of packs that are whole and finite. T is not double.
template <typename T, bool kByPairs = detail::kComparesPairs && sizeof(T) == 2>
class PackExtremes {
 public:
  __device__ void add(const Pack<T>& pack) {
    float value[kPackElements];
    widen(pack, value);
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) all_.merge(value[i], value[i]);
  }
  [[nodiscard]] __device__ Extremes<float> result() const { return all_; }

 private:
  Extremes<float> all_;
};

/// Those of the even and those of the odd elements.
template <typename T>
class PackExtremes<T, true> {
  using Traits = detail::WordTraits<T>;

 public:
  __device__ void add(const Pack<T>& pack) {
    const auto words = __builtin_bit_cast(detail::PackWords<T>, pack);
#pragma unroll
    for (const std::uint32_t word : words.word) {
      low_ = detail::lesser_pair<T>(low_, word);
      high_ = detail::larger_pair<T>(high_, word);
    }
  }
  [[nodiscard]] __device__ Extremes<float> result() const {
    Extremes<float> all;
    all.merge(element(low_), element(high_));
    all.merge(element(low_ >> 16), element(high_ >> 16));
    return all;
  }

 private:
  __device__ static float element(std::uint32_t word) {
    return scalar::load_compute(T{static_cast<std::uint16_t>(word)});
  }

  std::uint32_t low_ = Traits::kInfinity * Traits::kOnes;
  std::uint32_t high_ = Traits::kInfinity * Traits::kOnes | Traits::kSigns;
};

/// No pack of doubles takes this way.
template <bool kByPairs>
class PackExtremes<double, kByPairs> {
 public:
  [[nodiscard]] __device__ Extremes<double> result() const { return {}; }
};

}  // namespace cuqat::gpu
