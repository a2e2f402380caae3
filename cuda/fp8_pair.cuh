// FP8 codes of f32 numbers and back, a pack at a time: by the instructions that convert two
// numbers at once (sm_89 and later), elsewhere by the scalar code. The bits are the same.
//
// The instruction rounds to nearest even, takes what is past the largest finite number, infinities
// too, to that number, and keeps signs; only what NaN it gives for a NaN is not said (PTX ISA, cvt
// with .satfinite). A pack with a number that cuqat treats in another way goes through the scalar
// code, which so remains the one definition: NaN, whose code has a sign and one payload, and
// numbers out of range where saturation is not wanted.
//
// A thread converts what it holds in registers. No memory is moved.
#pragma once

#include <cuda_fp8.h>
#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/fp8_codec.hpp"
#include "pack.cuh"

namespace cuqat::gpu {

/// Whether the instructions are there. Where there is no architecture, nvcc compiles what is never
/// run on the host, or the executor has functions that stand in for them.
#if defined(__CUDA_ARCH__)
inline constexpr bool kHasFp8Pairs = __CUDA_ARCH__ >= 890;
#else
inline constexpr bool kHasFp8Pairs = true;
#endif

namespace detail {

template <Format kFormat>
inline constexpr __nv_fp8_interpretation_t kInterpretation =
    kFormat == Format::kE4M3 ? __NV_E4M3 : __NV_E5M2;

/// The codes of two numbers, the first one's in the low byte. Saturates; a NaN gives some NaN.
template <Format kFormat>
__device__ inline std::uint32_t fp8_pair_of(float low, float high) {
  return __nv_cvt_float2_to_fp8x2(make_float2(low, high), __NV_SATFINITE, kInterpretation<kFormat>);
}

/// The numbers of two codes, which are exact in half precision; a NaN gives some NaN.
template <Format kFormat>
__device__ inline float2 numbers_of(std::uint32_t pair) {
  const auto codes = static_cast<__nv_fp8x2_storage_t>(pair);
  return __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2(codes, kInterpretation<kFormat>)));
}

}  // namespace detail

/// scalar::fp8_encode of each number.
template <Format kFormat, bool kByPairs = kHasFp8Pairs>
__device__ inline Pack<std::uint8_t> fp8_encode_pack(const float (&value)[kPackElements],
                                                     bool saturate) {
  bool special = !kByPairs;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    special |= saturate ? scalar::is_nan(value[i]) : !scalar::fp8_in_range<kFormat>(value[i]);
  }
  Pack<std::uint8_t> codes;
  if (special) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      codes.element[i] = scalar::fp8_encode<kFormat>(value[i], saturate);
    }
    return codes;
  }
#pragma unroll
  for (int i = 0; i < kPackElements; i += 2) {
    const std::uint32_t pair = detail::fp8_pair_of<kFormat>(value[i], value[i + 1]);
    codes.element[i] = static_cast<std::uint8_t>(pair);
    codes.element[i + 1] = static_cast<std::uint8_t>(pair >> 8);
  }
  return codes;
}

/// Each number becomes its scalar::fp8_round; a NaN becomes some NaN.
template <Format kFormat, bool kByPairs = kHasFp8Pairs>
__device__ inline void fp8_round_pack(float (&value)[kPackElements], bool saturate) {
  bool special = !kByPairs;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    special |= !saturate && !scalar::fp8_in_range<kFormat>(value[i]);
  }
  if (special) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      value[i] = scalar::fp8_round<kFormat>(value[i], saturate);
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kPackElements; i += 2) {
    const float2 numbers =
        detail::numbers_of<kFormat>(detail::fp8_pair_of<kFormat>(value[i], value[i + 1]));
    value[i] = numbers.x;
    value[i + 1] = numbers.y;
  }
}

/// scalar::fp8_decode of each code; a NaN gives some NaN.
template <Format kFormat, bool kByPairs = kHasFp8Pairs>
__device__ inline void fp8_decode_pack(const Pack<std::uint8_t>& codes,
                                       float (&value)[kPackElements]) {
#pragma unroll
  for (int i = 0; i < kPackElements; i += 2) {
    const std::uint32_t low = codes.element[i];
    const std::uint32_t high = codes.element[i + 1];
    if constexpr (kByPairs) {
      const float2 numbers = detail::numbers_of<kFormat>(low | high << 8);
      value[i] = numbers.x;
      value[i + 1] = numbers.y;
    } else {
      value[i] = scalar::fp8_decode<kFormat, float>(codes.element[i]);
      value[i + 1] = scalar::fp8_decode<kFormat, float>(codes.element[i + 1]);
    }
  }
}

}  // namespace cuqat::gpu
