// Quantize to codes and back: bytes (int8, int4, FP8) or two int4 in a byte.
//
// A thread takes packs of eight elements: eight bytes of codes, or four of packed ones.
//
// Bytes moved an element: sizeof(T) + 1, or sizeof(T) + 1/2 packed. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "for_each_pack.cuh"
#include "quantize_pack.cuh"

namespace cuqat::gpu {

template <typename T, typename Q>
__global__ void quantize_kernel(PackLayout layout, ScaleMap scales, Q quantizer, const void* x,
                                std::uint8_t* codes) {
  for_each_pack<T>(layout, x, [&](const PackSpan& span, const Pack<T>& pack, std::int64_t) {
    store_pack(codes, span, quantize_pack(quantizer, span, scales, pack));
  });
}

/// Packs start at the first element, so that they start at a whole byte.
template <typename T, typename Q>
__global__ void quantize_nibbles_kernel(PackLayout layout, ScaleMap scales, Q quantizer,
                                        const void* x, std::uint8_t* codes) {
  using C = scalar::ComputeType<T>;
  for_each_pack<T>(layout, x, [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
    std::uint32_t packed = 0;
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t zero_point) {
      const C value = scalar::load_compute(pack.element[i]);
      const std::int32_t code = scalar::quantize_element(quantizer, value, scale, zero_point);
      packed |= (static_cast<std::uint32_t>(code) & 0xfu) << (4 * i);
    });
    if (span.is_whole()) {
      store_element(codes, number, packed);
      return;
    }
    for (int byte = 0; 2 * byte < span.end; ++byte) {
      codes[number * 4 + byte] = static_cast<std::uint8_t>(packed >> (8 * byte));
    }
  });
}

template <typename T, typename Q>
__global__ void dequantize_kernel(PackLayout layout, ScaleMap scales, Q quantizer,
                                  const std::uint8_t* codes, void* y) {
  for_each_pack<std::uint8_t>(
      layout, codes, [&](const PackSpan& span, const Pack<std::uint8_t>& pack, std::int64_t) {
        store_pack(y, span, dequantize_pack<T>(quantizer, span, scales, pack));
      });
}

/// Packs start at the first element. `packs` are the packs of y.
template <typename T, typename Q>
__global__ void dequantize_nibbles_kernel(PackLayout layout, ScaleMap scales, Q quantizer,
                                          const std::uint8_t* codes, void* y) {
  using C = scalar::ComputeType<T>;
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  const std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (std::int64_t number = first; number < layout.num_packs; number += stride) {
    const PackSpan span = layout.span(number);
    std::uint32_t packed = 0;
    if (span.is_whole()) {
      packed = load_element<std::uint32_t>(codes, number);
    } else {
      for (int byte = 0; 2 * byte < span.end; ++byte) {
        packed |= std::uint32_t{codes[number * 4 + byte]} << (8 * byte);
      }
    }
    Pack<T> result{};
    for_each_scaled<C>(span, scales, [&](int i, C scale, std::int32_t zero_point) {
      const auto byte = static_cast<std::uint8_t>(packed >> (4 * i) & 0xfu);
      result.element[i] = scalar::store_compute<T>(
          scalar::dequantize_element(quantizer, scalar::unpack_int4_low(byte), scale, zero_point));
    });
    store_pack(y, span, result);
  }
}

}  // namespace cuqat::gpu
