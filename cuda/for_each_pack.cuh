// The loops of every kernel that streams over tensors.
#pragma once

#include "pack.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// Packs that a thread loads before it works on the first: 64 bytes, which keeps enough of them in
/// flight to cover the latency of memory.
template <typename T>
inline constexpr int kPacksInFlight = sizeof(T) >= 8 ? 1 : static_cast<int>(8 / sizeof(T));

/// The packs of a thread: first, first + stride, ...
struct PackSequence {
  std::int64_t first;
  std::int64_t stride;

  /// Over all threads of the grid.
  __device__ static PackSequence of_grid() {
    return {std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x,
            std::int64_t{gridDim.x} * blockDim.x};
  }
};

/// quick(span, pack of x, number of the pack) for every pack of the sequence; where it returns
/// false it has done nothing, and slow() is called with the same. There is one copy of the slow
/// way, however many packs are in flight, and it loads its pack again: a register cannot be chosen
/// at run time.
template <typename T, int kInFlight = kPacksInFlight<T>, typename Quick, typename Slow>
__device__ inline void for_each_pack(const PackLayout& layout, const void* x,
                                     const PackSequence& sequence, const Quick& quick,
                                     const Slow& slow) {
  const std::int64_t stride = sequence.stride;
  for (std::int64_t first = sequence.first; first < layout.num_packs; first += kInFlight * stride) {
    Pack<T> packs[kInFlight];
    std::uint32_t left = 0;
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const std::int64_t number = first + i * stride;
      if (number < layout.num_packs) packs[i] = load_pack<T>(x, layout.span(number));
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const std::int64_t number = first + i * stride;
      if (number >= layout.num_packs) continue;
      if (!quick(layout.span(number), packs[i], number)) left |= 1u << i;
    }
    for_each_bit(left, [&](int i) {
      const std::int64_t number = first + i * stride;
      const PackSpan span = layout.span(number);
      slow(span, load_pack<T>(x, span), number);
    });
  }
}

/// The same with one way, for every pack of the layout.
template <typename T, typename Body>
__device__ inline void for_each_pack(const PackLayout& layout, const void* x, const Body& body) {
  for_each_pack<T>(
      layout, x, PackSequence::of_grid(),
      [&](const PackSpan& span, const Pack<T>& pack, std::int64_t number) {
        body(span, pack, number);
        return true;
      },
      [](const PackSpan&, const Pack<T>&, std::int64_t) {});
}

/// body(i, scale, zero point) for the elements i of a pack, in order.
template <typename C, typename Body>
__device__ inline void for_each_scaled(const PackSpan& span, const ScaleMap& scales,
                                       const Body& body) {
  ScaleCursor<C> cursor(scales, span.first + span.begin);
#pragma unroll
  for (int i = 0; i < kPackElements; ++i) {
    if (i < span.begin || i >= span.end) continue;
    if (i > span.begin) cursor.advance();
    body(i, cursor.scale(), cursor.zero_point());
  }
}

}  // namespace cuqat::gpu
