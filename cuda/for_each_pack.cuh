// The loop of every kernel that streams over tensors.
#pragma once

#include "pack.cuh"
#include "scale_map.cuh"

namespace cuqat::gpu {

/// Packs that a thread loads before it works on the first: 64 bytes, which keeps enough of them in
/// flight to cover the latency of memory.
template <typename T>
inline constexpr int kPacksInFlight = sizeof(T) >= 8 ? 1 : static_cast<int>(8 / sizeof(T));

/// body(span, pack of x, number of the pack) for every pack, each on one thread of the grid.
template <typename T, typename Body>
__device__ inline void for_each_pack(const PackLayout& layout, const void* x, const Body& body) {
  constexpr int kInFlight = kPacksInFlight<T>;
  const std::int64_t stride = std::int64_t{gridDim.x} * blockDim.x;
  std::int64_t first = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (; first < layout.num_packs; first += kInFlight * stride) {
    Pack<T> packs[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const std::int64_t number = first + i * stride;
      if (number < layout.num_packs) packs[i] = load_pack<T>(x, layout.span(number));
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      const std::int64_t number = first + i * stride;
      if (number < layout.num_packs) body(layout.span(number), packs[i], number);
    }
  }
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
