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
#include "statistics.cuh"

namespace cuqat::gpu {

/// finish(span, codes, number of the pack) for every pack of x; and its statistics, if they are
/// asked for.
template <typename Scales, typename Finish>
__device__ inline void for_each_quantized(const PackLayout& layout, const Scales& scales,
                                          const void* x, const ReductionScratch& scratch,
                                          Statistics* statistics, const Finish& finish) {
  using T = typename Scales::Element;
  const bool with_statistics = statistics != nullptr;
  ThreadStatistics<scalar::ComputeType<T>> seen;
  const auto quick = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
    Pack<std::uint8_t> codes;
    if (!quantize_quickly(scales, span, pack, codes)) return false;
    if constexpr (kCanPrepare<T, typename Scales::Quantizer>) {
      if (with_statistics) seen.add_finite(pack);
    }
    finish(span, codes, number);
    return true;
  };
  const auto slow = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
    if (with_statistics) seen.add(span, pack);
    finish(span, quantize_elements(scales, span, pack), number);
  };
  for_each_pack<T>(layout, x, scales.sequence(), quick, slow);
  if (with_statistics) reduce_statistics(seen.result(), layout.count, scratch, statistics);
}

/// statistics may be null.
template <typename Scales>
__global__ void quantize_kernel(PackLayout layout, ScaleMap map,
                                typename Scales::Quantizer quantizer, const void* x,
                                std::uint8_t* codes, ReductionScratch scratch,
                                Statistics* statistics) {
  for_each_quantized(layout, Scales(quantizer, map), x, scratch, statistics,
                     [&](const PackSpan& span, const Pack<std::uint8_t>& pack, std::int64_t) {
                       store_pack(codes, span, pack);
                     });
}

/// Packs start at the first element, so that they start at a whole byte.
template <typename Scales>
__global__ void quantize_nibbles_kernel(PackLayout layout, ScaleMap map,
                                        typename Scales::Quantizer quantizer, const void* x,
                                        std::uint8_t* codes, ReductionScratch scratch,
                                        Statistics* statistics) {
  for_each_quantized(layout, Scales(quantizer, map), x, scratch, statistics,
                     [&](const PackSpan& span, const Pack<std::uint8_t>& pack,
                         std::int64_t number) { store_nibbles(codes + number * 4, span, pack); });
}

template <typename Scales>
__global__ void dequantize_kernel(PackLayout layout, ScaleMap map,
                                  typename Scales::Quantizer quantizer, const std::uint8_t* codes,
                                  void* y) {
  const Scales scales(quantizer, map);
  for_each_pack<std::uint8_t>(
      layout, codes, [&](const PackSpan& span, const Pack<std::uint8_t>& pack, std::int64_t) {
        store_pack(y, span, dequantize_pack(scales, span, pack));
      });
}

/// Packs start at the first element. The layout is that of y.
template <typename Scales>
__global__ void dequantize_nibbles_kernel(PackLayout layout, ScaleMap map,
                                          typename Scales::Quantizer quantizer,
                                          const std::uint8_t* codes, void* y) {
  const Scales scales(quantizer, map);
  const PackSequence packs = PackSequence::of_grid();
  for (std::int64_t number = packs.first; number < layout.num_packs; number += packs.stride) {
    const PackSpan span = layout.span(number);
    const Pack<std::uint8_t> pack = load_nibbles(codes + number * 4, span);
    store_pack(y, span, dequantize_pack(scales, span, pack));
  }
}

}  // namespace cuqat::gpu
