// Fake quantize with its clip mask and statistics of x, and the straight-through gradients.
//
// A thread takes packs of eight elements; a pack's eight clip bits are one byte of the mask. Scales
// are read from device memory through the caches: one a pack, or one an element where they change
// within it.
//
// Bytes moved an element: 2 sizeof(T), and 1/8 for a mask; the gradient from x 3 sizeof(T), from a
// mask 2 sizeof(T) + 1/8, in place 1/8 and a sector for each clipped element. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "for_each_pack.cuh"
#include "quantize_pack.cuh"
#include "statistics.cuh"

namespace cuqat::gpu {

/// The packs of a sequence. clip_mask may be null.
template <bool kWithStatistics, typename Scales, typename Seen>
__device__ inline void fake_quantize_packs(const PackLayout& layout, const PackSequence& sequence,
                                           const Scales& scales, const void* x, void* y,
                                           std::uint8_t* clip_mask, Seen& seen) {
  using T = typename Scales::Element;
  const auto finish = [&](const PackSpan& span, const FakeQuantizedPack<T>& pack,
                          std::int64_t number) {
    store_pack(y, span, pack.y);
    if (clip_mask != nullptr) clip_mask[number] = static_cast<std::uint8_t>(pack.clipped);
  };
  const auto quick = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
    FakeQuantizedPack<T> result;
    if (!fake_quantize_quickly(scales, span, pack, result)) return false;
    if constexpr (kWithStatistics && kCanPrepare<T, typename Scales::Quantizer>) {
      seen.add_finite(pack);
    }
    finish(span, result, number);
    return true;
  };
  const auto slow = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
    if constexpr (kWithStatistics) seen.add(span, pack);
    finish(span, fake_quantize_elements(scales, span, pack), number);
  };
  for_each_pack<T>(layout, x, sequence, quick, slow);
}

/// With statistics the scratch and the result are set.
template <typename Scales, bool kWithStatistics>
__global__ void fake_quantize_kernel(PackLayout layout, ScaleMap map,
                                     typename Scales::Quantizer quantizer, const void* x, void* y,
                                     std::uint8_t* clip_mask, ReductionScratch scratch,
                                     Statistics* statistics) {
  const Scales scales(quantizer, map);
  ThreadStatistics<scalar::ComputeType<typename Scales::Element>> seen;
  fake_quantize_packs<kWithStatistics>(layout, scales.sequence(), scales, x, y, clip_mask, seen);
  if constexpr (kWithStatistics) {
    reduce_statistics(seen.result(), layout.count, scratch, statistics);
  }
}

/// Zero where a bit is set.
template <typename Bits>
__device__ inline Pack<Bits> without_clipped(Pack<Bits> gradient, std::uint32_t clipped) {
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    if ((clipped >> i & 1u) != 0) gradient.element[i] = 0;
  }
  return gradient;
}

template <typename Scales>
__global__ void fake_quantize_backward_kernel(PackLayout layout, ScaleMap map,
                                              typename Scales::Quantizer quantizer, const void* dy,
                                              const void* x, void* dx) {
  using T = typename Scales::Element;
  const Scales scales(quantizer, map);
  const auto finish = [&](const PackSpan& span, std::uint32_t clipped) {
    store_pack(dx, span, without_clipped(load_pack<BitsOf<T>>(dy, span), clipped));
  };
  const auto quick = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t) {
    std::uint32_t clipped;
    if (!clip_quickly(scales, span, pack, clipped)) return false;
    finish(span, clipped);
    return true;
  };
  const auto slow = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t) {
    finish(span, clip_elements(scales, span, pack));
  };
  for_each_pack<T>(layout, x, scales.sequence(), quick, slow);
}

/// Packs start at the first element, so a pack's bits are one byte of the mask.
template <typename Bits>
__global__ void backward_from_mask_kernel(PackLayout layout, const void* dy,
                                          const std::uint8_t* clip_mask, void* dx) {
  for_each_pack<Bits>(layout, dy,
                      [&](const PackSpan& span, const Pack<Bits>& pack, std::int64_t number) {
                        store_pack(dx, span, without_clipped(pack, clip_mask[number]));
                      });
}

/// dx is dy: where the mask is clean, nothing but the mask is touched. `mask_bytes` are the packs
/// of the mask's bytes, `count` the elements of dx.
template <typename Bits>
__global__ void zero_clipped_kernel(PackLayout mask_bytes, std::int64_t count,
                                    const std::uint8_t* clip_mask, void* dx) {
  for_each_pack<std::uint8_t>(
      mask_bytes, clip_mask,
      [&](const PackSpan& span, const Pack<std::uint8_t>& mask, std::int64_t) {
#pragma unroll
        for (int byte = 0; byte < kPackElements; ++byte) {
          if (byte < span.begin || byte >= span.end) continue;
          const std::int64_t first = (span.first + byte) * kPackElements;
          for_each_bit(mask.element[byte], [&](int bit) {
            // Spare bits of a mask from elsewhere may be set.
            if (first + bit < count) store_element<Bits>(dx, first + bit, 0);
          });
        }
      });
}

}  // namespace cuqat::gpu
