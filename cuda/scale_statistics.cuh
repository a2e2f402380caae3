// Statistics of every channel or group.
//
// A warp owns a chunk of one scale's terms (scale_terms.cuh) and adds what its lanes have seen by
// shuffles. Where a scale has one chunk, that is the result; else it is merged into the result by
// atomics of integers, of which each gives the same bits in any order. In strips each thread merges
// what it has seen of its scale. The results start as those of no elements, from a kernel of its
// own.
//
// Bytes moved: sizeof(T) an element and 56 a scale; where scales have several chunks or are read in
// strips, 56 more and, for each chunk or thread, an atomic for each extreme and each count that is
// not 0. Bound by memory.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "for_each_index.cuh"
#include "pack.cuh"
#include "scale_terms.cuh"
#include "statistics.cuh"

namespace cuqat::gpu {

/// The sum over a warp whose lanes have seen a chunk, in all lanes.
__device__ inline Statistics warp_sum(Statistics part) {
  // A chunk has less than 2^16 elements: four counts are added as one number.
  auto counts = static_cast<unsigned long long>(part.nan | part.pos_inf << 16 | part.neg_inf << 32 |
                                                part.zeros << 48);
#pragma unroll
  for (int distance = kWarpThreads / 2; distance > 0; distance /= 2) {
    counts += __shfl_xor_sync(kWholeWarp, counts, distance);
    reduce_extremes(part.min, part.max, distance);
  }
  const auto count = [counts](int shift) {
    return static_cast<std::int64_t>(counts >> shift & 0xffffu);
  };
  return {0, count(0), count(16), count(32), count(48), part.min, part.max};
}

/// Numbers of one sign are ordered as their patterns are, and all with a sign come after those
/// without, so the extreme of two is one of integers. Neither is NaN or -0.
__device__ inline void atomic_min(double* address, double value) {
  if (value < 0.0) {
    atomicMax(reinterpret_cast<unsigned long long*>(address), scalar::to_bits(value));
  } else {
    atomicMin(reinterpret_cast<long long*>(address),
              static_cast<long long>(scalar::to_bits(value)));
  }
}
__device__ inline void atomic_max(double* address, double value) {
  if (value < 0.0) {
    atomicMin(reinterpret_cast<unsigned long long*>(address), scalar::to_bits(value));
  } else {
    atomicMax(reinterpret_cast<long long*>(address),
              static_cast<long long>(scalar::to_bits(value)));
  }
}

__device__ inline void atomic_merge(Statistics* sum, const Statistics& part) {
  const auto add = [](std::int64_t& count, std::int64_t more) {
    add_if_any(reinterpret_cast<unsigned long long*>(&count), more);
  };
  add(sum->nan, part.nan);
  add(sum->pos_inf, part.pos_inf);
  add(sum->neg_inf, part.neg_inf);
  add(sum->zeros, part.zeros);
  if (part.min > part.max) return;  // nothing finite
  atomic_min(&sum->min, part.min);
  atomic_max(&sum->max, part.max);
}

/// The results before anything is merged into them: counts of elements, and nothing seen.
__global__ void scale_statistics_start_kernel(ScaleTerms terms, Statistics* result) {
  for_each_index(terms.num_scales, [&](std::int64_t scale) {
    Statistics none;
    none.count = terms_of(terms, scale).count;
    result[scale] = none;
  });
}

template <typename T>
__global__ void scale_statistics_kernel(ScaleTerms terms, const void* x, Statistics* result) {
  constexpr int kInFlight = kElementsInFlight<T>;
  const int lane = static_cast<int>(threadIdx.x) % kWarpThreads;
  for_each_chunk(terms, [&](const ScaleChunk& chunk) {
    ThreadStatistics<T> seen;
    T values[kInFlight]{};
    for_each_term<kInFlight, kWarpThreads>(
        ChunkCursor(terms, chunk), lane, chunk.length,
        [&](int i, std::int64_t element) { values[i] = load_element<T>(x, element); },
        [&](int i, std::int64_t) { seen.add(scalar::load_compute(values[i])); });
    Statistics sum = warp_sum(seen.result());
    if (lane != 0) return;
    if (terms.chunks_per_scale > 1) {
      atomic_merge(&result[chunk.scale], sum);
    } else {
      sum.count = chunk.length;
      result[chunk.scale] = sum;
    }
  });
}

template <typename T>
__global__ void scale_statistics_strip_kernel(ScaleTerms terms, const void* x, Statistics* result) {
  constexpr int kInFlight = kElementsInFlight<T>;
  for_each_strip(terms, [&](const StripColumn& column) {
    if (column.first_row >= column.num_rows) return;
    ThreadStatistics<T> seen;
    T values[kInFlight]{};
    for_each_term<kInFlight, kStripPhases>(
        StepCursor(terms, column), column.first_row, column.num_rows,
        [&](int i, std::int64_t element) { values[i] = load_element<T>(x, element); },
        [&](int i, std::int64_t) { seen.add(scalar::load_compute(values[i])); });
    atomic_merge(&result[column.scale], seen.result());
  });
}

}  // namespace cuqat::gpu
