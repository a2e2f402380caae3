// Statistics of a tensor: minimum, maximum and counts of special values, in one read.
//
// A thread keeps its own in registers; a block adds them by shuffles and in shared memory, and
// writes one partial result. The block that finishes last adds the partial results. Extremes and
// counts do not depend on the order, so neither do the bits.
//
// Bytes moved: sizeof(T) an element, and 56 a block. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/rounding.hpp"
#include "cuqat/statistics.hpp"
#include "extremes.cuh"
#include "for_each_pack.cuh"
#include "pack_numbers.cuh"
#include "shared_storage.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

/// Scratch memory of a reduction over a grid.
struct ReductionScratch {
  unsigned* num_finished;  ///< 0 before and after every launch.
  Statistics* partial;     ///< One for each block.
};

/// Shared memory of a block.
struct StatisticsStorage {
  double min_of_warp[32];
  double max_of_warp[32];
  unsigned long long nan;
  unsigned long long pos_inf;
  unsigned long long neg_inf;
  unsigned long long zeros;
  bool is_last_block;
};

/// What one thread has seen. Its counts have 32 bits: 2^32 elements are more than any thread of a
/// grid that fills a device reads.
template <typename T>
class ThreadStatistics {
  using C = scalar::ComputeType<T>;

 public:
  __device__ void add(C value) {
    if (scalar::is_finite(value)) {
      extremes_.merge(value, value);
      zeros_ += value == C{0} ? 1u : 0u;
    } else if (scalar::is_nan(value)) {
      ++nan_;
    } else {
      ++(value > C{0} ? pos_inf_ : neg_inf_);
    }
  }

  template <typename Place>
  __device__ void add(const Place& place, const Pack<T>& pack) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= place.begin && i < place.end) add(scalar::load_compute(pack.element[i]));
    }
  }

  /// A whole pack without infinities and NaN, of f32 or less.
  __device__ void add_finite(const Pack<T>& pack) {
    of_packs_.add(pack);
    zeros_ += num_zeros(pack);
  }

  /// Without the count of all elements.
  __device__ Statistics result() const {
    Statistics result;
    result.nan = nan_;
    result.pos_inf = pos_inf_;
    result.neg_inf = neg_inf_;
    result.zeros = zeros_;
    Extremes<C> all = extremes_;
    all.merge(of_packs_.result().low, of_packs_.result().high);
    result.min = static_cast<double>(all.low + C{0});  // -0 as +0
    result.max = static_cast<double>(all.high + C{0});
    return result;
  }

 private:
  Extremes<C> extremes_;
  PackExtremes<T> of_packs_;
  std::uint32_t nan_ = 0;
  std::uint32_t pos_inf_ = 0;
  std::uint32_t neg_inf_ = 0;
  std::uint32_t zeros_ = 0;
};

__device__ inline void merge(Statistics& sum, const Statistics& part) {
  sum.nan += part.nan;
  sum.pos_inf += part.pos_inf;
  sum.neg_inf += part.neg_inf;
  sum.zeros += part.zeros;
  sum.min = part.min < sum.min ? part.min : sum.min;
  sum.max = part.max > sum.max ? part.max : sum.max;
}

__device__ inline void add_if_any(unsigned long long* sum, std::int64_t part) {
  if (part != 0) atomicAdd(sum, static_cast<unsigned long long>(part));
}

/// A step of a reduction over a warp.
__device__ inline void reduce_extremes(double& min, double& max, int distance) {
  const double other_min = __shfl_xor_sync(kWholeWarp, min, distance);
  const double other_max = __shfl_xor_sync(kWholeWarp, max, distance);
  min = other_min < min ? other_min : min;
  max = other_max > max ? other_max : max;
}

/// The sum over the block, in thread 0. All threads call it. Extremes go through shuffles; counts,
/// of which most threads have none, through shared atomics.
__device__ inline Statistics block_sum(StatisticsStorage& shared, const Statistics& mine) {
  if (threadIdx.x == 0) shared.nan = shared.pos_inf = shared.neg_inf = shared.zeros = 0;
  double min = mine.min;
  double max = mine.max;
#pragma unroll
  for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
    reduce_extremes(min, max, distance);
  }
  if (threadIdx.x % kWarpThreads == 0) {
    shared.min_of_warp[threadIdx.x / kWarpThreads] = min;
    shared.max_of_warp[threadIdx.x / kWarpThreads] = max;
  }
  __syncthreads();
  add_if_any(&shared.nan, mine.nan);
  add_if_any(&shared.pos_inf, mine.pos_inf);
  add_if_any(&shared.neg_inf, mine.neg_inf);
  add_if_any(&shared.zeros, mine.zeros);
  __syncthreads();
  Statistics result;
  if (threadIdx.x != 0) return result;
  for (unsigned warp = 0; warp < blockDim.x / kWarpThreads; ++warp) {
    merge(result, {0, 0, 0, 0, 0, shared.min_of_warp[warp], shared.max_of_warp[warp]});
  }
  result.nan = static_cast<std::int64_t>(shared.nan);
  result.pos_inf = static_cast<std::int64_t>(shared.pos_inf);
  result.neg_inf = static_cast<std::int64_t>(shared.neg_inf);
  result.zeros = static_cast<std::int64_t>(shared.zeros);
  return result;
}

/// Adds what the threads of the grid have seen and writes it, with `count` elements in all. All
/// threads of all blocks call it, as their last act.
__device__ inline void reduce_statistics(const Statistics& mine, std::int64_t count,
                                         const ReductionScratch& scratch, Statistics* result) {
  auto& shared = shared_storage<StatisticsStorage>();
  const Statistics of_block = block_sum(shared, mine);
  if (threadIdx.x == 0) {
    scratch.partial[blockIdx.x] = of_block;
    __threadfence();  // the partial result is seen before the number is
    shared.is_last_block = atomicAdd(scratch.num_finished, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!shared.is_last_block) return;
  __threadfence();
  Statistics sum;
  for (unsigned block = threadIdx.x; block < gridDim.x; block += blockDim.x) {
    merge(sum, scratch.partial[block]);
  }
  sum = block_sum(shared, sum);
  if (threadIdx.x == 0) {
    sum.count = count;
    *result = sum;
    atomicExch(scratch.num_finished, 0u);
  }
}

template <typename T>
__global__ void statistics_kernel(PackLayout layout, const void* x, ReductionScratch scratch,
                                  Statistics* result) {
  ThreadStatistics<T> seen;
  const auto quick = [&](const auto& place, const Pack<T>& pack, std::int64_t) {
    if constexpr (sizeof(T) < sizeof(double)) {
      if (!place.is_whole() || !all_finite(pack)) return false;
      seen.add_finite(pack);
    } else {
      seen.add(place, pack);
    }
    return true;
  };
  const auto slow = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t) {
    seen.add(span, pack);
  };
  for_each_pack<kPacksInFlight<T>>(
      layout, layout.moves_words<T>(x), PackSequence::of_grid(layout.num_packs),
      [&](const auto& place) { return load_pack<T>(x, place); }, quick, slow);
  reduce_statistics(seen.result(), layout.count, scratch, result);
}

}  // namespace cuqat::gpu
