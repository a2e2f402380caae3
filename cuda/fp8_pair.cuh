// FP8 codes of f32 numbers and back, a pack at a time: by the instructions that convert two
// numbers at once (sm_89 and later), elsewhere by the scalar code. The bits are the same.
//
// The instruction rounds to nearest even, takes what is past the largest finite number, infinities
// too, to that number, and keeps signs (PTX ISA, cvt with .satfinite). Where cuqat wants something
// else, of a NaN or without saturation, callers use the scalar code.
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

/// scalar::fp8_encode, saturating, of each number. None is NaN.
template <Format kFormat, bool kByPairs = kHasFp8Pairs>
__device__ inline Pack<std::uint8_t> fp8_encode_pack(const float (&value)[kPackElements]) {
  Pack<std::uint8_t> codes;
#pragma unroll
  for (int i = 0; i < kPackElements; i += 2) {
    if constexpr (kByPairs) {
      const std::uint32_t pair = detail::fp8_pair_of<kFormat>(value[i], value[i + 1]);
      codes.element[i] = static_cast<std::uint8_t>(pair);
      codes.element[i + 1] = static_cast<std::uint8_t>(pair >> 8);
    } else {
      codes.element[i] = scalar::fp8_encode<kFormat>(value[i], true);
      codes.element[i + 1] = scalar::fp8_encode<kFormat>(value[i + 1], true);
    }
  }
  return codes;
}

/// Each number becomes its scalar::fp8_round, saturating. None is NaN.
template <Format kFormat, bool kByPairs = kHasFp8Pairs>
__device__ inline void fp8_round_pack(float (&value)[kPackElements]) {
#pragma unroll
  for (int i = 0; i < kPackElements; i += 2) {
    if constexpr (kByPairs) {
      const std::uint32_t pair = detail::fp8_pair_of<kFormat>(value[i], value[i + 1]);
      const float2 numbers = detail::numbers_of<kFormat>(pair);
      value[i] = numbers.x;
      value[i + 1] = numbers.y;
    } else {
      value[i] = scalar::fp8_round<kFormat>(value[i], true);
      value[i + 1] = scalar::fp8_round<kFormat>(value[i + 1], true);
    }
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
