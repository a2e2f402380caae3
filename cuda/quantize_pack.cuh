// A pack through a quantizer: codes, values and clip bits. The one place that decides how: FP8 of
// f32 a pack at a time, everything else element by element.
//
// A thread works on packs that it holds in registers, and reads their scales.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "cuqat/scalar/element.hpp"
#include "for_each_pack.cuh"
#include "fp8_pair.cuh"

namespace cuqat::gpu {

template <typename Q, typename C>
inline constexpr bool kConvertsPacks = !is_integer(Q::kFormat) && std::is_same_v<C, float>;

/// Codes outside the span are unspecified.
template <typename T, typename Q>
__device__ inline Pack<std::uint8_t> quantize_pack(const Q& quantizer, const PackSpan& span,
                                                   const ScaleMap& scales, const Pack<T>& x) {
  using C = scalar::ComputeType<T>;
  if constexpr (kConvertsPacks<Q, C>) {
    float quotient[kPackElements] = {};
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t) {
      quotient[i] = scalar::fp8_quotient(scalar::load_compute(x.element[i]), scale);
    });
    return fp8_encode_pack<Q::kFormat>(quotient, quantizer.saturate);
  } else {
    Pack<std::uint8_t> codes{};
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t zero_point) {
      const C value = scalar::load_compute(x.element[i]);
      codes.element[i] =
          static_cast<std::uint8_t>(scalar::quantize_element(quantizer, value, scale, zero_point));
    });
    return codes;
  }
}

template <typename T, typename Q>
__device__ inline Pack<T> dequantize_pack(const Q& quantizer, const PackSpan& span,
                                          const ScaleMap& scales, const Pack<std::uint8_t>& codes) {
  using C = scalar::ComputeType<T>;
  Pack<T> y{};
  if constexpr (kConvertsPacks<Q, C>) {
    float value[kPackElements];
    fp8_decode_pack<Q::kFormat>(codes, value);
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t) {
      y.element[i] = scalar::store_compute<T>(value[i] * scale);
    });
  } else {
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t zero_point) {
      // Integer codes are signed bytes.
      const std::int32_t code =
          is_integer(Q::kFormat) ? static_cast<std::int8_t>(codes.element[i]) : codes.element[i];
      y.element[i] =
          scalar::store_compute<T>(scalar::dequantize_element(quantizer, code, scale, zero_point));
    });
  }
  return y;
}

template <typename T>
struct FakeQuantizedPack {
  Pack<T> y;
  std::uint32_t clipped;  ///< Bit i is element i's.
};

/// Bits outside the span are 0.
template <typename T, typename Q>
__device__ inline FakeQuantizedPack<T> fake_quantize_pack(const Q& quantizer, const PackSpan& span,
                                                          const ScaleMap& scales,
                                                          const Pack<T>& x) {
  using C = scalar::ComputeType<T>;
  FakeQuantizedPack<T> result{};
  const auto put = [&](int i, const scalar::Quantized<C>& one) {
    result.y.element[i] = scalar::store_compute<T>(one.value);
    result.clipped |= (one.clipped ? 1u : 0u) << i;
  };
  if constexpr (kConvertsPacks<Q, C>) {
    float scale_of[kPackElements] = {};
    float quotient[kPackElements] = {};
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t) {
      scale_of[i] = scale;
      quotient[i] = scalar::load_compute(x.element[i]) / scale;
    });
    float rounded[kPackElements];
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) rounded[i] = quotient[i];
    fp8_round_pack<Q::kFormat>(rounded, quantizer.saturate);
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      const float scale = scale_of[i];  // 0 outside the span: passes, not clipped
      const bool clipped = !scalar::fp8_in_range<Q::kFormat>(quotient[i]);
      put(i, scalar::fake_quantized(scalar::load_compute(x.element[i]), scale, rounded[i] * scale,
                                    clipped));
    }
  } else {
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t zero_point) {
      put(i, scalar::fake_quantize_element(quantizer, scalar::load_compute(x.element[i]), scale,
                                           zero_point));
    });
  }
  return result;
}

}  // namespace cuqat::gpu
