// Fake quantize with its clip mask and statistics of x, and the straight-through gradients.
//
// A thread takes packs of eight elements; a pack's eight clip bits are one byte of the mask. Scales
// are read from device memory through the caches: once a thread where it keeps to the same ones,
// else one a pack, or one an element where they change within it.
//
// Bytes moved an element: 2 sizeof(T), and 1/8 for a mask; the gradient from x 3 sizeof(T), from a
// mask 2 sizeof(T) + 1/8, in place 1/8 and a sector for each clipped element. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "for_each_pack.cuh"
#include "launch.hpp"
#include "quantize_pack.cuh"
#include "statistics.cuh"

namespace cuqat::gpu {

/// The packs of a sequence. clip_mask may be null.
template <bool kWithStatistics, int kInFlight, typename Scales, typename Seen>
__device__ inline void fake_quantize_packs(const PackLayout& layout, const PackSequence& sequence,
                                           const Scales& scales, const void* x, void* y,
                                           std::uint8_t* clip_mask, Seen& seen) {
  using T = typename Scales::Element;
  const auto finish = [&](const auto& place, const FakeQuantizedPack<T>& pack,
                          std::int64_t number) {
    store_pack(y, place, pack.y);
    if (clip_mask != nullptr) clip_mask[number] = static_cast<std::uint8_t>(pack.clipped);
  };
  const auto quick = [&](const auto& place, const Pack<T>& pack, std::int64_t number) {
    FakeQuantizedPack<T> result;
    if (!fake_quantize_quickly(scales, place, pack, clip_mask != nullptr, result)) return false;
    if constexpr (kWithStatistics && kCanPrepare<T, typename Scales::Quantizer>) {
      seen.add_finite(pack);
    }
    finish(place, result, number);
    return true;
  };
  const auto slow = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
    if constexpr (kWithStatistics) seen.add(span, pack);
    finish(span, fake_quantize_elements(scales, span, pack), number);
  };
  for_each_pack<kInFlight>(
      layout, scales.are_prepared() && layout.moves_words<T>(x) && layout.moves_words<T>(y),
      sequence, [&](const auto& place) { return load_pack<T>(x, place); }, quick, slow);
}

/// With statistics the scratch and the result are set.
template <typename Scales, bool kWithStatistics>
__global__ void __launch_bounds__(kBlockThreads, 2)
    fake_quantize_kernel(PackLayout layout, ScaleMap map, typename Scales::Quantizer quantizer,
                         const void* x, void* y, std::uint8_t* clip_mask, ReductionScratch scratch,
                         Statistics* statistics) {
  const Scales scales(quantizer, map);
  ThreadStatistics<typename Scales::Element> seen;
  fake_quantize_packs<kWithStatistics, Scales::kInFlight>(layout, scales.sequence(layout.num_packs),
                                                          scales, x, y, clip_mask, seen);
  if constexpr (kWithStatistics) {
    reduce_statistics(seen.result(), layout.count, scratch, statistics);
  }
}

/// Zero where a bit is set.
template <typename Bits>
__device__ inline Pack<Bits> without_clipped(Pack<Bits> gradient, std::uint32_t clipped) {
  if (clipped == 0) return gradient;
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    if ((clipped >> i & 1u) != 0) gradient.element[i] = 0;
  }
  return gradient;
}

/// Of two tensors that are read together.
template <typename T>
inline constexpr int kPairsInFlight = kPacksInFlight<T> > 1 ? kPacksInFlight<T> / 2 : 1;

template <typename Scales>
__global__ void fake_quantize_backward_kernel(PackLayout layout, ScaleMap map,
                                              typename Scales::Quantizer quantizer, const void* dy,
                                              const void* x, void* dx) {
  using T = typename Scales::Element;
  const Scales scales(quantizer, map);
  struct Packs {
    Pack<T> x;
    Pack<BitsOf<T>> dy;
  };
  const auto quick = [&](const auto& place, const Packs& packs, std::int64_t) {
    std::uint32_t clipped;
    if (!clip_quickly(scales, place, packs.x, clipped)) return false;
    store_pack(dx, place, without_clipped(packs.dy, clipped));
    return true;
  };
  const auto slow = [&](const PackSpan& span, const Packs& packs, std::int64_t) {
    store_pack(dx, span, without_clipped(packs.dy, clip_elements(scales, span, packs.x)));
  };
  for_each_pack<kPairsInFlight<T>>(
      layout,
      scales.are_prepared() && layout.moves_words<T>(x) && layout.moves_words<T>(dy) &&
          layout.moves_words<T>(dx),
      scales.sequence(layout.num_packs),
      [&](const auto& place) {
        return Packs{load_pack<T>(x, place), load_pack<BitsOf<T>>(dy, place)};
      },
      quick, slow);
}

/// Packs start at the first element, so a pack's bits are one byte of the mask.
template <typename Bits>
__global__ void backward_from_mask_kernel(PackLayout layout, const void* dy,
                                          const std::uint8_t* clip_mask, void* dx) {
  struct Packs {
    Pack<Bits> dy;
    std::uint32_t clipped;
  };
  for_each_pack<kPacksInFlight<Bits>>(
      layout, layout.moves_words<Bits>(dy) && layout.moves_words<Bits>(dx),
      PackSequence::of_grid(layout.num_packs),
      [&](const auto& place) {
        return Packs{load_pack<Bits>(dy, place), clip_mask[place.first / kPackElements]};
      },
      [&](const auto& place, const Packs& packs, std::int64_t) {
        store_pack(dx, place, without_clipped(packs.dy, packs.clipped));
      });
}

/// dx is dy: where the mask is clean, nothing but the mask is touched. `mask_bytes` are the packs
/// of the mask's bytes, `count` the elements of dx.
template <typename Bits>
__global__ void zero_clipped_kernel(PackLayout mask_bytes, std::int64_t count,
                                    const std::uint8_t* clip_mask, void* dx) {
  for_each_pack<kPacksInFlight<std::uint8_t>>(
      mask_bytes, mask_bytes.moves_words<std::uint8_t>(clip_mask),
      PackSequence::of_grid(mask_bytes.num_packs),
      [&](const auto& place) { return load_pack<std::uint8_t>(clip_mask, place); },
      [&](const auto& place, const Pack<std::uint8_t>& mask, std::int64_t) {
#pragma unroll
        for (int byte = 0; byte < kPackElements; ++byte) {
          if (byte < place.begin || byte >= place.end) continue;
          const std::int64_t first = (place.first + byte) * kPackElements;
          for_each_bit(mask.element[byte], [&](int bit) {
            // Spare bits of a mask from elsewhere may be set.
            if (first + bit < count) store_element<Bits>(dx, first + bit, 0);
          });
        }
      });
}

}  // namespace cuqat::gpu
