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
#include "launch.hpp"
#include "quantize_pack.cuh"
#include "statistics.cuh"

namespace cuqat::gpu {

/// Blocks of quantize_kernel that fit on a multiprocessor without a spill.
template <typename Scales>
inline constexpr int kQuantizeBlocks =
    Scales::kInFlight < kPacksInFlight<typename Scales::Element> ? 2 : 3;

/// finish(place, codes, number of the pack) for every pack of x; and its statistics, for which the
/// scratch and the result are set.
template <bool kWithStatistics, typename Scales, typename Finish>
__device__ inline void for_each_quantized(const PackLayout& layout, bool moves_words,
                                          const Scales& scales, const void* x,
                                          const ReductionScratch& scratch, Statistics* statistics,
                                          const Finish& finish) {
  using T = typename Scales::Element;
  ThreadStatistics<T> seen;
  const auto quick = [&](const auto& place, const Pack<T>& pack, std::int64_t number) {
    Pack<std::uint8_t> codes;
    if (!quantize_quickly(scales, place, pack, codes)) return false;
    if constexpr (kWithStatistics && kCanPrepare<T, typename Scales::Quantizer>) {
      seen.add_finite(pack);
    }
    finish(place, codes, number);
    return true;
  };
  const auto slow = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
    if constexpr (kWithStatistics) seen.add(span, pack);
    finish(span, quantize_elements(scales, span, pack), number);
  };
  for_each_pack<Scales::kInFlight>(
      layout, scales.are_prepared() && moves_words && layout.moves_words<T>(x),
      scales.sequence(layout.num_packs), [&](const auto& place) { return load_pack<T>(x, place); },
      quick, slow);
  if constexpr (kWithStatistics) {
    reduce_statistics(seen.result(), layout.count, scratch, statistics);
  }
}

template <typename Scales, bool kWithStatistics>
__global__ void __launch_bounds__(kBlockThreads, kQuantizeBlocks<Scales>)
    quantize_kernel(PackLayout layout, ScaleMap map, typename Scales::Quantizer quantizer,
                    const void* x, std::uint8_t* codes, ReductionScratch scratch,
                    Statistics* statistics) {
  for_each_quantized<kWithStatistics>(layout, layout.moves_words<std::uint8_t>(codes),
                                      Scales(quantizer, map), x, scratch, statistics,
                                      [&](const auto& place, const Pack<std::uint8_t>& pack,
                                          std::int64_t) { store_pack(codes, place, pack); });
}

/// Packs start at the first element, so that they start at a whole byte.
template <typename Scales, bool kWithStatistics>
__global__ void __launch_bounds__(kBlockThreads, 2)
    quantize_nibbles_kernel(PackLayout layout, ScaleMap map, typename Scales::Quantizer quantizer,
                            const void* x, std::uint8_t* codes, ReductionScratch scratch,
                            Statistics* statistics) {
  for_each_quantized<kWithStatistics>(
      layout, detail::is_aligned(codes, 4), Scales(quantizer, map), x, scratch, statistics,
      [&](const auto& place, const Pack<std::uint8_t>& pack, std::int64_t number) {
        store_nibbles(codes + number * 4, place, pack);
      });
}

template <typename Scales>
__global__ void dequantize_kernel(PackLayout layout, ScaleMap map,
                                  typename Scales::Quantizer quantizer, const std::uint8_t* codes,
                                  void* y) {
  const Scales scales(quantizer, map);
  for_each_pack<kPacksInFlight<std::uint8_t>>(
      layout,
      layout.moves_words<std::uint8_t>(codes) && layout.moves_words<typename Scales::Element>(y),
      scales.sequence(layout.num_packs),
      [&](const auto& place) { return load_pack<std::uint8_t>(codes, place); },
      [&](const auto& place, const Pack<std::uint8_t>& pack, std::int64_t) {
        store_pack(y, place, dequantize_pack(scales, place, pack));
      });
}

/// Packs start at the first element. The layout is that of y.
template <typename Scales>
__global__ void dequantize_nibbles_kernel(PackLayout layout, ScaleMap map,
                                          typename Scales::Quantizer quantizer,
                                          const std::uint8_t* codes, void* y) {
  const Scales scales(quantizer, map);
  for_each_pack<kPacksInFlight<std::uint8_t>>(
      layout, layout.moves_words<typename Scales::Element>(y) && detail::is_aligned(codes, 4),
      scales.sequence(layout.num_packs),
      [&](const auto& place) { return load_nibbles(nibbles_at(codes, place), place); },
      [&](const auto& place, const Pack<std::uint8_t>& pack, std::int64_t) {
        store_pack(y, place, dequantize_pack(scales, place, pack));
      });
}

}  // namespace cuqat::gpu
