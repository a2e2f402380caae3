// Groups of consecutive elements, each quantized with the scale of its own extremes, in one read.
//
// A team of threads owns a group: 1 to 32 lanes of a warp, or a whole block for long rows. A thread
// holds its packs of the group in registers while the team finds the extremes and the scale, and
// quantizes them from there; only what a team cannot hold is read again, from the caches where they
// have it. Short groups take one pack a thread, so a thread holds several groups at once to keep as
// many loads in flight.
//
// Bytes moved an element: sizeof(T) and the output's; and the scales. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/range_to_scale.hpp"
#include "extremes.cuh"
#include "for_each_pack.cuh"
#include "pack.cuh"
#include "quantize_pack.cuh"
#include "scale_map.cuh"
#include "scale_output.cuh"
#include "shared_storage.cuh"
#include "statistics.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

/// Packs that a thread holds: as many as it loads before it works on the first.
template <typename T>
inline constexpr int kHeldPacks = kPacksInFlight<T>;

/// Rows of `row_length` elements in groups of `group_length`, the last of a row shorter where the
/// row is no multiple.
struct GroupLayout {
  std::int64_t row_length;
  std::int64_t group_length;
  std::int64_t groups_per_row;
  std::int64_t num_groups;
  Divider by_groups_per_row;

  /// The elements of a group; none past the last.
  struct Span {
    std::int64_t first;
    std::int64_t length;

    /// Pack `number` of the group.
    __device__ PackSpan pack(std::int64_t number) const {
      const std::int64_t left = length - number * kPackElements;
      const std::int64_t end = left < kPackElements ? left : kPackElements;
      return {first + number * kPackElements, 0, end > 0 ? static_cast<int>(end) : 0};
    }
  };

  __device__ Span span(std::int64_t group) const {
    if (group >= num_groups) return {0, 0};
    const std::int64_t row = by_groups_per_row(group);
    const std::int64_t in_row = (group - row * groups_per_row) * group_length;
    const std::int64_t left = row_length - in_row;
    return {row * row_length + in_row, left < group_length ? left : group_length};
  }
};

/// Extremes of packs of a group.
template <typename T>
class ThreadExtremes {
  using C = scalar::ComputeType<T>;

 public:
  __device__ void add(const PackSpan& span, const Pack<T>& pack) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i < span.end) all_.add(scalar::load_compute(pack.element[i]));
    }
  }
  /// The same for a whole pack of finite elements; false, and nothing is done, for others.
  __device__ bool add_quickly(const PackSpan& span, const Pack<T>& pack) {
    if constexpr (sizeof(T) < sizeof(double)) {
      if (!span.is_whole() || !all_finite(pack)) return false;
      of_packs_.add(pack);
      return true;
    } else {
      return false;
    }
  }
  [[nodiscard]] __device__ Extremes<C> result() const {
    Extremes<C> all = all_;
    all.merge(of_packs_.result().low, of_packs_.result().high);
    return all;
  }

 private:
  Extremes<C> all_;
  PackExtremes<T> of_packs_;
};

/// Adds the packs that a thread holds of a group, of which pack_of(p) is pack p, to the group's
/// extremes and to what the thread has seen. What has no quick way is read again, so that there is
/// one copy of the slow one.
template <typename T, typename Seen, int kPacks, typename PackOf>
__device__ inline void add_held(ThreadExtremes<T>& extremes, Seen& seen, const void* x,
                                const Pack<T> (&held)[kPacks], const PackOf& pack_of) {
  std::uint32_t left = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const PackSpan span = pack_of(p);
    if (span.end <= 0) continue;
    if (extremes.add_quickly(span, held[p])) {
      if constexpr (sizeof(T) < sizeof(double)) seen.add_finite(held[p]);  // as add_quickly
    } else {
      left |= 1u << p;
    }
  }
  for_each_bit(left, [&](int p) {
    const PackSpan span = pack_of(p);
    const Pack<T> pack = load_pack<T>(x, span);
    extremes.add(span, pack);
    seen.add(span, pack);
  });
}

/// Over teams of `lanes` neighbouring threads, a power of two. The whole warp calls it.
template <typename C>
__device__ inline Extremes<C> extremes_of_team(Extremes<C> mine, int lanes) {
  for (int distance = lanes / 2; distance > 0; distance /= 2) {
    const C low = __shfl_xor_sync(kWholeWarp, mine.low, distance);
    const C high = __shfl_xor_sync(kWholeWarp, mine.high, distance);
    mine.merge(low, high);
  }
  return mine;
}

/// Shared memory of a block that owns a group.
template <typename C>
struct ExtremesStorage {
  C low_of_warp[32];
  C high_of_warp[32];
};

/// Over the block; every thread gets it. All threads call it.
template <typename C>
__device__ inline Extremes<C> extremes_of_block(const Extremes<C>& mine) {
  auto& shared = shared_storage<ExtremesStorage<C>>();
  const Extremes<C> of_warp = extremes_of_team(mine, kWarpThreads);
  __syncthreads();  // what the group before left there has been read
  if (threadIdx.x % kWarpThreads == 0) {
    shared.low_of_warp[threadIdx.x / kWarpThreads] = of_warp.low;
    shared.high_of_warp[threadIdx.x / kWarpThreads] = of_warp.high;
  }
  __syncthreads();
  Extremes<C> sum;
  for (unsigned warp = 0; warp < blockDim.x / kWarpThreads; ++warp) {
    sum.merge(shared.low_of_warp[warp], shared.high_of_warp[warp]);
  }
  return sum;
}

/// The group's scale, which its first thread also writes.
template <typename C>
__device__ inline scalar::ScaleAndZero<C> choose_scale(const Extremes<C>& extremes,
                                                       const RangeRule& rule,
                                                       const ScaleOutput& output,
                                                       std::int64_t group, bool writes) {
  scalar::ScaleAndZero<C> chosen;
  if (extremes.low <= extremes.high) {
    chosen = scalar::range_to_scale(extremes.low, extremes.high, rule.quantizer, rule.symmetric);
  }
  if (writes) store_scale(output, group, chosen);
  return chosen;
}

/// Where statistics are not wanted.
template <typename T>
struct NoStatistics {
  __device__ void add_finite(const Pack<T>&) {}
  __device__ void add(const PackSpan&, const Pack<T>&) {}
};

/// What becomes of the packs of a group once its scale is known. Packs start at multiples of eight
/// elements of their group. Seen is what a thread keeps of all its packs, for finish(), which all
/// threads call as their last act.
template <template <typename> typename SeenOf = NoStatistics>
struct Write {
  template <typename T>
  using Seen = SeenOf<T>;
  template <typename Of>
  __device__ void finish(const Of&) const {}
};
struct WriteNothing : Write<> {
  template <typename T, typename Scales>
  __device__ bool quickly(const PackSpan&, const Pack<T>&, const Scales&) const {
    return true;
  }
  template <typename T, typename Scales>
  __device__ void elements(const PackSpan&, const Pack<T>&, const Scales&) const {}
};
struct WriteValues : Write<> {
  explicit WriteValues(void* to) : y(to) {}
  void* y;
  template <typename T, typename Scales>
  __device__ bool quickly(const PackSpan& span, const Pack<T>& pack, const Scales& scales) const {
    FakeQuantizedPack<T> result;
    if (!fake_quantize_quickly(scales, span, pack, false, result)) return false;
    store_pack(y, span, result.y);
    return true;
  }
  template <typename T, typename Scales>
  __device__ void elements(const PackSpan& span, const Pack<T>& pack, const Scales& scales) const {
    store_pack(y, span, fake_quantize_elements(scales, span, pack).y);
  }
};
/// And a clip mask, where groups and rows are whole bytes of it, and statistics; each may be null.
struct WriteValuesAndExtras : Write<ThreadStatistics> {
  WriteValuesAndExtras(void* to, std::uint8_t* mask, std::int64_t elements,
                       const ReductionScratch& reduction, Statistics* of_x)
      : y(to), clip_mask(mask), count(elements), scratch(reduction), statistics(of_x) {}
  void* y;
  std::uint8_t* clip_mask;
  std::int64_t count;
  ReductionScratch scratch;
  Statistics* statistics;

  template <typename T, typename Scales>
  __device__ bool quickly(const PackSpan& span, const Pack<T>& pack, const Scales& scales) const {
    FakeQuantizedPack<T> result;
    if (!fake_quantize_quickly(scales, span, pack, clip_mask != nullptr, result)) return false;
    store(span, result);
    return true;
  }
  template <typename T, typename Scales>
  __device__ void elements(const PackSpan& span, const Pack<T>& pack, const Scales& scales) const {
    store(span, fake_quantize_elements(scales, span, pack));
  }
  template <typename T>
  __device__ void finish(const ThreadStatistics<T>& seen) const {
    if (statistics == nullptr) return;
    __syncthreads();  // the shared memory's last use has ended
    reduce_statistics(seen.result(), count, scratch, statistics);
  }

 private:
  template <typename T>
  __device__ void store(const PackSpan& span, const FakeQuantizedPack<T>& result) const {
    store_pack(y, span, result.y);
    if (clip_mask == nullptr) return;
    clip_mask[span.first / kPackElements] = static_cast<std::uint8_t>(result.clipped);
  }
};
struct WriteCodes : Write<> {
  WriteCodes(std::uint8_t* to, bool in_nibbles) : codes(to), packed(in_nibbles) {}
  std::uint8_t* codes;
  bool packed;  ///< int4, two in a byte; groups begin at even elements, so no two share one.
  template <typename T, typename Scales>
  __device__ bool quickly(const PackSpan& span, const Pack<T>& pack, const Scales& scales) const {
    Pack<std::uint8_t> result;
    if (!quantize_quickly(scales, span, pack, result)) return false;
    store(span, result);
    return true;
  }
  template <typename T, typename Scales>
  __device__ void elements(const PackSpan& span, const Pack<T>& pack, const Scales& scales) const {
    store(span, quantize_elements(scales, span, pack));
  }

 private:
  __device__ void store(const PackSpan& span, const Pack<std::uint8_t>& result) const {
    if (packed) {
      store_nibbles(nibbles_at(codes, span), span, result);
    } else {
      store_pack(codes, span, result);
    }
  }
};

/// Writes the packs that a thread holds, in the same way.
template <typename T, typename Q, typename Write, int kPacks, typename PackOf>
__device__ inline void write_held(const void* x, const SingleScale<T, Q>& scales,
                                  const Write& write, const Pack<T> (&held)[kPacks],
                                  const PackOf& pack_of) {
  std::uint32_t left = 0;
#pragma unroll
  for (int p = 0; p < kPacks; ++p) {
    const PackSpan span = pack_of(p);
    if (span.end > 0 && !write.quickly(span, held[p], scales)) left |= 1u << p;
  }
  for_each_bit(left, [&](int p) {
    const PackSpan span = pack_of(p);
    write.elements(span, load_pack<T>(x, span), scales);
  });
}

/// Teams of `lanes` threads of a warp. kGroups > 1: a thread has one pack of each of that many
/// groups, which are no longer than 8 * lanes; else it holds kHeldPacks of one group.
template <typename T, typename Q, int kGroups, typename Write>
__global__ void dynamic_quantize_by_lanes_kernel(GroupLayout layout, int lanes, RangeRule rule,
                                                 Q quantizer, const void* x, ScaleOutput output,
                                                 Write write) {
  constexpr int kPacks = kHeldPacks<T> / kGroups;
  const int lane = static_cast<int>(threadIdx.x) % lanes;
  const std::int64_t teams_of_block = blockDim.x / static_cast<unsigned>(lanes);
  const std::int64_t stride = gridDim.x * teams_of_block;
  const std::int64_t team = static_cast<int>(threadIdx.x) / lanes;
  // The whole warp goes round as often as its first team: shuffles are of all lanes.
  const std::int64_t team_of_warp = team - team % (kWarpThreads / lanes);
  typename Write::template Seen<T> seen;
  for (std::int64_t base = blockIdx.x * teams_of_block; base + team_of_warp < layout.num_groups;
       base += kGroups * stride) {
    typename GroupLayout::Span span[kGroups];
    Pack<T> held[kGroups][kPacks];
    const auto pack_of = [&](int g, int p) { return span[g].pack(lane + std::int64_t{p} * lanes); };
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      span[g] = layout.span(base + team + g * stride);
#pragma unroll
      for (int p = 0; p < kPacks; ++p) held[g][p] = load_pack<T>(x, pack_of(g, p));
    }
#pragma unroll
    for (int g = 0; g < kGroups; ++g) {
      const auto pack_of_group = [&](int p) { return pack_of(g, p); };
      ThreadExtremes<T> mine;
      add_held(mine, seen, x, held[g], pack_of_group);
      const auto scale = choose_scale(extremes_of_team(mine.result(), lanes), rule, output,
                                      base + team + g * stride, lane == 0 && span[g].length > 0);
      const SingleScale<T, Q> scales(quantizer, scale.scale, scale.zero_point);
      write_held(x, scales, write, held[g], pack_of_group);
    }
  }
  write.finish(seen);
}

/// A block for each group. A thread goes over its packs of the group in rounds of kHeld, holds the
/// last round and reads the others once more, the latest first. A round is 16 384 elements of a
/// 16-bit type.
template <typename T, typename Q, typename Write>
__global__ void dynamic_quantize_by_blocks_kernel(GroupLayout layout, RangeRule rule, Q quantizer,
                                                  const void* x, ScaleOutput output, Write write) {
  constexpr int kHeld = 2 * kHeldPacks<T>;
  const std::int64_t threads = blockDim.x;
  typename Write::template Seen<T> seen;
  for (std::int64_t group = blockIdx.x; group < layout.num_groups; group += gridDim.x) {
    const auto span = layout.span(group);
    const std::int64_t num_packs = (span.length - 1) / kPackElements + 1;
    const std::int64_t last_round = (num_packs - 1) / (kHeld * threads);
    std::int64_t round = 0;
    const auto pack_of = [&](int p) {
      return span.pack(threadIdx.x + (round * kHeld + p) * threads);
    };
    Pack<T> held[kHeld];
    const auto hold = [&] {
#pragma unroll
      for (int p = 0; p < kHeld; ++p) held[p] = load_pack<T>(x, pack_of(p));
    };
    ThreadExtremes<T> mine;
    for (;; ++round) {
      hold();
      add_held(mine, seen, x, held, pack_of);
      if (round == last_round) break;
    }
    const auto scale =
        choose_scale(extremes_of_block(mine.result()), rule, output, group, threadIdx.x == 0);
    const SingleScale<T, Q> scales(quantizer, scale.scale, scale.zero_point);
    write_held(x, scales, write, held, pack_of);
    while (--round >= 0) {
      hold();
      write_held(x, scales, write, held, pack_of);
    }
  }
  write.finish(seen);
}

}  // namespace cuqat::gpu
