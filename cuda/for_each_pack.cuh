// The loops of every kernel that streams over tensors.
#pragma once

#include "pack.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// Packs that a thread loads before it works on the first: 64 bytes, which keeps enough of them in
/// flight to cover the latency of memory.
template <typename T>
inline constexpr int kPacksInFlight = sizeof(T) >= 8 ? 1 : static_cast<int>(8 / sizeof(T));

/// The packs of a thread: `count` of them, first, first + stride, ... That it is an int keeps
/// the loop's comparisons to one instruction; 2^31 packs are more than any thread of a grid that
/// fills a device has.
struct PackSequence {
  std::int64_t first;
  std::int64_t stride;
  int count;

  /// Those below `end`.
  __device__ static PackSequence until(std::int64_t end, std::int64_t first, std::int64_t stride) {
    return {first, stride, first < end ? static_cast<int>((end - first - 1) / stride) + 1 : 0};
  }

  /// Those below `end`, over all threads of the grid.
  __device__ static PackSequence of_grid(std::int64_t end) {
    return until(end, std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
                 std::int64_t{gridDim.x} * blockDim.x);
  }
};

/// For every pack of the sequence what load(place) gave, in quick(place, loaded, number of the
/// pack) or, where that returns false and has done nothing, in slow(...) with the same.
///
/// Where the tensors are moved by words (PackLayout::moves_words of each), the place of a whole
/// pack is a WholePack, and several are loaded before the first is worked on. All others are
/// PackSpans, one at a time; so are those that are not done quickly, which are loaded again: a
/// register cannot be chosen at run time, and there is one copy of the slow way.
template <int kInFlight, typename Load, typename Quick, typename Slow>
__device__ inline void for_each_pack(const PackLayout& layout, bool moves_words,
                                     const PackSequence& sequence, const Load& load,
                                     const Quick& quick, const Slow& slow) {
  // Counted from the first whole pack, so that one unsigned comparison finds the whole ones.
  const bool skips_first = layout.shift != 0 && sequence.first == 0;
  const std::int64_t last = sequence.first + (sequence.count - 1) * sequence.stride;
  const bool skips_last = (last + 1) * kPackElements - layout.shift > layout.count;
  const int begin = skips_first ? -1 : 0;
  const int end = sequence.count + begin;
  const unsigned num_whole = moves_words && end > 0 ? static_cast<unsigned>(end - skips_last) : 0u;
  std::int64_t round = sequence.first;
  for (int i = begin; i < end; i += kInFlight) {
    decltype(load(WholePack{})) loaded[kInFlight];
    std::uint32_t left = 0;
    WholePack place{round * kPackElements - layout.shift};
    const auto is_whole = [&](int j) { return static_cast<unsigned>(i + j) < num_whole; };
#pragma unroll
    for (int j = 0; j < kInFlight; ++j, place.first += sequence.stride * kPackElements) {
      if (is_whole(j)) loaded[j] = load(place);
    }
    place.first = round * kPackElements - layout.shift;
    std::int64_t number = round;
#pragma unroll
    for (int j = 0; j < kInFlight; ++j, number += sequence.stride) {
      if (is_whole(j) && !quick(place, loaded[j], number)) left |= 1u << j;
      place.first += sequence.stride * kPackElements;
    }
    if (!is_whole(0) || !is_whole(kInFlight - 1)) {
#pragma unroll
      for (int j = 0; j < kInFlight; ++j) {
        if (!is_whole(j) && i + j < end) left |= 1u << j;
      }
    }
    for_each_bit(left, [&](int j) {
      const std::int64_t pack = round + j * sequence.stride;
      const PackSpan span = layout.span(pack);
      const auto again = load(span);
      if (!quick(span, again, pack)) slow(span, again, pack);
    });
    round = number;
  }
}

/// The same with one way: body(place, loaded, number of the pack).
template <int kInFlight, typename Load, typename Body>
__device__ inline void for_each_pack(const PackLayout& layout, bool moves_words,
                                     const PackSequence& sequence, const Load& load,
                                     const Body& body) {
  const auto quick = [&](const auto& place, const auto& loaded, std::int64_t number) {
    body(place, loaded, number);
    return true;
  };
  for_each_pack<kInFlight>(layout, moves_words, sequence, load, quick,
                           [](const auto&, const auto&, std::int64_t) {});
}

/// body(i, scale, zero point) for the elements i of a pack, in order.
template <typename C, int kUnrolled = kPackElements, typename Place, typename Body>
__device__ inline void for_each_scaled(const Place& span, const ScaleMap& scales,
                                       const Body& body) {
  ScaleCursor<C> cursor(scales, span.first + span.begin);
#pragma unroll kUnrolled
  for (int i = 0; i < kPackElements; ++i) {
    if (i < span.begin || i >= span.end) continue;
    if (i > span.begin) cursor.advance();
    body(i, cursor.scale(), cursor.zero_point());
  }
}

}  // namespace cuqat::gpu
