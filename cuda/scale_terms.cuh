// Which elements a scale has, cut for operations that reduce them: the inverse of scale_map.cuh.
//
// The terms of a scale are its elements in row-major order; a chunk is 4 096 of them. Where a scale
// has runs of elements, a warp owns a chunk of it, and lane l the chunk's terms l, l + 32, ...:
// reads are coalesced within a run, though of one element a lane and not of 16 bytes. Where
// neighbouring elements have different scales (channels on the last axis, groups of one), a block
// owns a strip, the same chunk of 32 neighbouring scales: a warp reads a row of it, and a thread
// owns every eighth term of one scale.
//
// Chunks of the same number lie next to each other in the grid, as their elements do in memory
// where runs are short.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "scale_map.cuh"
#include "warp.cuh"

namespace cuqat::gpu {

/// Terms of a chunk. The fixed-order sums of docs/numerics.md are cut like this.
inline constexpr int kChunkShift = 12;
inline constexpr std::int64_t kChunkTerms = std::int64_t{1} << kChunkShift;

inline std::int64_t num_chunks(std::int64_t terms) {
  return terms / kChunkTerms + (terms % kChunkTerms != 0 ? 1 : 0);
}

/// Scales of a strip, and threads of a block that share one of them.
inline constexpr int kStripScales = kWarpThreads;
inline constexpr int kStripPhases = 8;

/// Elements that a thread has in flight: 32 bytes.
template <typename T>
inline constexpr int kElementsInFlight = static_cast<int>(32 / sizeof(T));

/// The elements of every scale. Rows and runs are those of the map, also for a single scale.
struct ScaleTerms {
  ScaleMap map;
  std::int64_t num_scales;
  std::int64_t rows_per_scale;    ///< Rows that have a run of a scale: all, or one.
  std::int64_t chunks_per_scale;  ///< At most: a row's last run may have less. 0: no elements.
  bool by_strips;
  std::int64_t num_parts;  ///< Chunks of the same number: scales, or strips.
  Divider by_parts;
  Divider by_runs_per_row;
  // 32 terms further on: elements, and terms within the run.
  std::int64_t elements_to_next;
  int terms_to_next;
};

struct TermsOfScale {
  std::int64_t first_element;
  std::int64_t count;
};

/// A chunk of one scale.
struct ScaleChunk {
  std::int64_t scale;
  std::int64_t number;
  std::int64_t first_element;  ///< Of the scale.
  int length;
};

/// A thread's part of a strip.
struct StripColumn {
  std::int64_t scale;
  std::int64_t chunk;
  std::int64_t first_element;  ///< Of the thread.
  int first_row;               ///< Of the thread, in the chunk.
  int num_rows;                ///< Of the chunk; 0 past the last scale.
};

__device__ inline TermsOfScale terms_of(const ScaleTerms& terms, std::int64_t scale) {
  const ScaleMap& map = terms.map;
  const std::int64_t row = map.is_periodic ? 0 : terms.by_runs_per_row(scale);
  const std::int64_t in_row = (scale - row * map.runs_per_row) * map.run_length;
  const std::int64_t left = map.row_length - in_row;
  const std::int64_t length = map.run_length < left ? map.run_length : left;
  return {row * map.row_length + in_row, length * terms.rows_per_scale};
}

/// Of `left` terms or rows, those of one chunk.
__device__ inline int chunk_length(std::int64_t left) {
  return static_cast<int>(left < kChunkTerms ? left : kChunkTerms);
}

/// body(ScaleChunk) for every chunk, each in one warp.
template <typename Body>
__device__ inline void for_each_chunk(const ScaleTerms& terms, const Body& body) {
  const std::int64_t warps_per_block = blockDim.x / kWarpThreads;
  const std::int64_t num_items = terms.num_parts * terms.chunks_per_scale;
  std::int64_t item = blockIdx.x * warps_per_block + threadIdx.x / kWarpThreads;
  for (; item < num_items; item += gridDim.x * warps_per_block) {
    const std::int64_t number = terms.by_parts(item);
    const std::int64_t scale = item - number * terms.num_parts;
    const TermsOfScale all = terms_of(terms, scale);
    const std::int64_t left = all.count - number * kChunkTerms;
    if (left > 0) body(ScaleChunk{scale, number, all.first_element, chunk_length(left)});
  }
}

/// body(StripColumn) for every strip, each in one block, all of whose threads call it.
template <typename Body>
__device__ inline void for_each_strip(const ScaleTerms& terms, const Body& body) {
  const int phase = static_cast<int>(threadIdx.x) / kStripScales;
  const std::int64_t num_items = terms.num_parts * terms.chunks_per_scale;
  for (std::int64_t item = blockIdx.x; item < num_items; item += gridDim.x) {
    const std::int64_t chunk = terms.by_parts(item);
    const std::int64_t strip = item - chunk * terms.num_parts;
    const std::int64_t scale = strip * kStripScales + threadIdx.x % kStripScales;
    const std::int64_t first_row = chunk * kChunkTerms;
    body(
        StripColumn{scale, chunk, (first_row + phase) * terms.map.row_length + scale, phase,
                    scale < terms.num_scales ? chunk_length(terms.rows_per_scale - first_row) : 0});
  }
}

/// The elements of every 32nd term of a chunk.
class ChunkCursor {
 public:
  __device__ ChunkCursor(const ScaleTerms& terms, const ScaleChunk& chunk) : terms_(terms) {
    const ScaleMap& map = terms.map;
    const std::int64_t term = chunk.number * kChunkTerms + threadIdx.x % kWarpThreads;
    const std::int64_t run = map.by_run(term);
    const std::int64_t in_run = term - run * map.run_length;
    element_ = chunk.first_element + run * map.row_length + in_run;
    left_ = bounded(map.run_length - in_run);
  }

  __device__ std::int64_t element() const { return element_; }
  __device__ void advance() {
    element_ += terms_.elements_to_next;
    left_ -= terms_.terms_to_next;
    if (left_ > 0) return;
    left_ += bounded(terms_.map.run_length);
    element_ += terms_.map.row_length - terms_.map.run_length;
  }

 private:
  /// A number of terms as 32 bits: any that does not end in this chunk will do for the others.
  __device__ static int bounded(std::int64_t terms) {
    constexpr std::int64_t kMany = 2 * kChunkTerms;
    return static_cast<int>(terms < kMany ? terms : kMany);
  }

  const ScaleTerms& terms_;
  std::int64_t element_;
  int left_;  ///< Of the run, from this term on.
};

/// Elements a fixed distance apart.
class StepCursor {
 public:
  __device__ StepCursor(std::int64_t first, std::int64_t step) : element_(first), step_(step) {}
  /// A thread's elements of a strip.
  __device__ StepCursor(const ScaleTerms& terms, const StripColumn& column)
      : StepCursor(column.first_element, kStripPhases * terms.map.row_length) {}
  __device__ std::int64_t element() const { return element_; }
  __device__ void advance() { element_ += step_; }

 private:
  std::int64_t element_;
  std::int64_t step_;
};

/// For the elements of the cursor that are terms first, first + kStep, ... below `count`:
/// load(i, element) for kInFlight of them, then work(i, element) for these, and so on. i counts the
/// elements in flight.
template <int kInFlight, int kStep, typename Cursor, typename Load, typename Work>
__device__ inline void for_each_term(Cursor cursor, int first, int count, const Load& load,
                                     const Work& work) {
  for (; first < count; first += kInFlight * kStep) {
    std::int64_t element[kInFlight];
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      element[i] = cursor.element();
      cursor.advance();
      if (first + i * kStep < count) load(i, element[i]);
    }
#pragma unroll
    for (int i = 0; i < kInFlight; ++i) {
      if (first + i * kStep < count) work(i, element[i]);
    }
  }
}

}  // namespace cuqat::gpu
