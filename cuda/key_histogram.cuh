// Histogram of 65 536 keys: the patterns of bf16 and f16 elements, the upper halves of f32 ones.
//
// A block counts in shared memory, in a window of consecutive magnitudes that a sample of the
// tensor has chosen: a word for each magnitude, whose halves count the two signs. There are several
// copies of the window, word by word side by side, and a thread adds to the copy of its lane. With
// 32 copies each lane has a bank of its own: no two threads of a warp ever meet, whatever the data,
// and an increment takes the same time for noise as for a constant. Zeros, half of all elements
// after a ReLU, are counted in registers; so is a run of the same key outside the window. All
// others go to the totals in device memory at once: exact too, only slower.
//
// Why so: at the full bandwidth of an H200 a multiprocessor gets 9 bf16 elements a clock. One table
// of all keys for a block (128 KB) makes threads of a warp meet: 3.5 deep on random banks, 32 deep
// on a constant, which is a quarter to a thirtieth of that rate. 32 private windows are 128 bytes a
// magnitude, so that 224 KB hold 14 binades of bf16, from the largest down to 2^-14 of it.
// f16 has eight times as many magnitudes a binade: 4 copies fit, and up to 8 lanes may meet.
//
// Bytes moved: sizeof(T) an element, and at the end 8 for each key of a window and block.
// Bound by the rate of shared-memory atomics and by memory.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "cuqat/histogram.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "for_each_pack.cuh"
#include "run_of_keys.cuh"
#include "statistics.cuh"

namespace cuqat::gpu {

/// A block has a multiprocessor's shared memory for itself.
inline constexpr int kHistogramThreads = 1024;

/// 32 KB a multiprocessor of bf16, which covers the latency of memory; registers are few.
inline constexpr int kHistogramPacksInFlight = 2;

/// Magnitudes of a window come in units of so many, which is how finely the sample is counted.
inline constexpr int kWindowUnit = 128;
inline constexpr int kWindowUnits = 32'768 / kWindowUnit;

/// What a block has in shared memory: `size` words for magnitudes, each `1 << log2_copies` times.
struct WindowShape {
  int size;  ///< A multiple of kWindowUnit.
  int log2_copies;

  [[nodiscard]] std::size_t bytes() const {
    return (static_cast<std::size_t>(size) << static_cast<unsigned>(log2_copies)) *
           sizeof(std::uint32_t);
  }
};

/// As many copies of a window of ten binades as there is room for, and the window as wide as they
/// leave it.
inline WindowShape window_shape(DType dtype, std::size_t max_shared_bytes) {
  constexpr int kBinades = 10;
  constexpr int kMaxLog2Copies = 5;  // a copy for each bank
  const int least = kBinades << (dtype == DType::kF16 ? 10 : 7);
  WindowShape shape{};
  for (shape.log2_copies = kMaxLog2Copies;; --shape.log2_copies) {
    const std::size_t words =
        max_shared_bytes / sizeof(std::uint32_t) >> static_cast<unsigned>(shape.log2_copies);
    const std::size_t units = std::min<std::size_t>(words / kWindowUnit, kWindowUnits);
    shape.size = static_cast<int>(units) * kWindowUnit;
    if (shape.size >= least || shape.log2_copies == 0) return shape;
  }
}

namespace detail {

inline constexpr unsigned kMagnitudeOfKey = 0x7fffu;

/// Counters below it may stay in shared memory for another round. A power of two.
inline constexpr unsigned kHighCount = 1u << 14;
/// Bits that are set in a counter of either sign from kHighCount on.
inline constexpr std::uint32_t kHighBits =
    ((0x10000u - kHighCount) << 16) | (0x10000u - kHighCount);

/// The lowest magnitude of the window: the one of most elements in a sample, which is the elements
/// i * count / kHistogramThreads. It is the same for every block, so that all are equally fast.
/// Never 0. All threads of the block call it.
template <typename T>
__device__ unsigned lowest_magnitude(const WindowShape& shape, const void* x, std::int64_t count) {
  auto* const samples = &shared_storage<unsigned>();  // in each unit of magnitudes
  for (unsigned unit = threadIdx.x; unit < kWindowUnits; unit += blockDim.x) samples[unit] = 0;
  __syncthreads();
  if (threadIdx.x < count) {
    const std::int64_t step = count / blockDim.x;
    const T sample = load_element<T>(x, threadIdx.x * (step > 0 ? step : 1));
    const unsigned magnitude = scalar::histogram_key(sample) & kMagnitudeOfKey;
    if (magnitude != 0) atomicAdd(&samples[magnitude / kWindowUnit], 1u);
  }
  __syncthreads();
  const int units = shape.size / kWindowUnit;
  unsigned inside = 0;
  unsigned most = 0;
  int highest = 0;
  for (int unit = 0; unit < kWindowUnits; ++unit) {
    inside += samples[unit];
    if (unit >= units) inside -= samples[unit - units];
    if (inside >= most) {
      most = inside;
      highest = unit;
    }
  }
  __syncthreads();
  const int lowest = highest - units + 1;
  return lowest > 0 ? static_cast<unsigned>(lowest * kWindowUnit) : 1u;
}

/// The block's windows in shared memory. All threads call the constructor and flush().
class KeyWindow {
 public:
  __device__ KeyWindow(const WindowShape& shape, unsigned lowest)
      : shape_(shape),
        words_(&shared_storage<std::uint32_t>()),
        lane_words_(words_ + (threadIdx.x & ((1u << shape.log2_copies) - 1u))),
        first_(lowest) {
    const unsigned num_words = static_cast<unsigned>(shape.size) << shape.log2_copies;
    for (unsigned i = threadIdx.x; i < num_words; i += blockDim.x) words_[i] = 0;
    __syncthreads();
  }

  /// True where the key is in the window, and has been counted.
  __device__ bool add(unsigned key) const {
    const unsigned word = (key & kMagnitudeOfKey) - first_;
    if (word >= static_cast<unsigned>(shape_.size)) return false;
    constexpr unsigned kFromPositiveToNegative = 0xffffu;
    atomicAdd(&lane_words_[word << shape_.log2_copies], 1u + (key >> 15) * kFromPositiveToNegative);
    return true;
  }

  /// Adds counters to the totals and clears them: all, or those of magnitudes of which one has come
  /// to kHighCount.
  __device__ void flush(unsigned long long* counts, bool only_high) const {
    __syncthreads();
    for (unsigned word = threadIdx.x; word < static_cast<unsigned>(shape_.size);
         word += blockDim.x) {
      unsigned positive = 0;
      unsigned negative = 0;
      std::uint32_t bits = 0;
      for_each_copy(word, [&](std::uint32_t& counter) {
        positive += counter & 0xffffu;
        negative += counter >> 16;
        bits |= counter;
      });
      if (only_high && (bits & kHighBits) == 0) continue;
      for_each_copy(word, [](std::uint32_t& counter) { counter = 0; });
      const unsigned key = first_ + word;
      if (positive != 0) atomicAdd(&counts[key], static_cast<unsigned long long>(positive));
      if (negative != 0) {
        atomicAdd(&counts[key + kMagnitudeOfKey + 1u], static_cast<unsigned long long>(negative));
      }
    }
    __syncthreads();
  }

 private:
  /// body(counter) for all copies of a word. Lanes start at different ones, as copies of the same
  /// number are in one bank.
  template <typename Body>
  __device__ void for_each_copy(unsigned word, const Body& body) const {
    const unsigned copies = 1u << shape_.log2_copies;
    for (unsigned i = 0; i < copies; ++i) {
      body(words_[(word << shape_.log2_copies) + ((threadIdx.x + i) & (copies - 1u))]);
    }
  }

  WindowShape shape_;
  std::uint32_t* words_;
  std::uint32_t* lane_words_;  ///< The copy of this thread's lane.
  unsigned first_;
};

/// What a block counts of elements of type T, each thread some of them. All threads call everything
/// but the functions that add.
template <typename T>
class BlockKeyCounts {
 public:
  /// Of `layout.count` elements at x, added to the totals.
  __device__ BlockKeyCounts(const WindowShape& shape, const PackLayout& layout, const void* x,
                            unsigned long long* totals)
      : window_(shape, lowest_magnitude<T>(shape, x, layout.count)), totals_(totals) {}

  __device__ void add(T element) {
    const unsigned key = scalar::histogram_key(element);
    if (window_.add(key)) return;
    if (key == 0) {
      ++num_zeros_;
    } else {
      run_.add(key, totals_);
    }
  }
  /// Of a whole pack.
  __device__ void add_finite(const Pack<T>& pack) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) add(pack.element[i]);
  }
  __device__ void add(const PackSpan& span, const Pack<T>& pack) {
#pragma unroll
    for (int i = 0; i < kPackElements; ++i) {
      if (i >= span.begin && i < span.end) add(pack.element[i]);
    }
  }

  /// body(packs of this thread) until there are no more. In rounds of the whole block, as flushing
  /// is a barrier, of as many packs as leave counters of 16 bits in bounds: one is below kHighCount
  /// before, and may get all elements of the threads that share its copy of the window.
  template <typename Body>
  __device__ void for_each_round(const WindowShape& shape, const PackLayout& layout,
                                 const Body& body) {
    const unsigned sharing = blockDim.x >> shape.log2_copies;
    const std::int64_t thread = std::int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
    const std::int64_t num_threads = std::int64_t{gridDim.x} * blockDim.x;
    const std::int64_t round = (0x10000u - kHighCount) / (sharing * kPackElements) * num_threads;
    for (std::int64_t begin = 0; begin < layout.num_packs; begin += round) {
      const bool is_last = layout.num_packs - begin <= round;
      const std::int64_t end = is_last ? layout.num_packs : begin + round;
      body(PackSequence::until(end, begin + thread, num_threads));
      window_.flush(totals_, !is_last);
    }
    run_.flush(totals_);
    add_if_any(&totals_[0], num_zeros_);
  }

 private:
  KeyWindow window_;
  RunOfKeys run_;
  unsigned num_zeros_ = 0;
  unsigned long long* totals_;
};

}  // namespace detail

/// Adds the keys of x to `counts`. With kWithStatistics also finds the statistics of x.
template <typename T, bool kWithStatistics>
__global__ void __launch_bounds__(kHistogramThreads)
    key_histogram_kernel(PackLayout layout, const void* x, WindowShape shape,
                         unsigned long long* counts, ReductionScratch scratch,
                         Statistics* statistics) {
  detail::BlockKeyCounts<T> keys(shape, layout, x, counts);
  ThreadStatistics<T> seen;
  const auto whole = [&](const auto& place, const Pack<T>& pack, std::int64_t) {
    if (!place.is_whole()) return false;
    if constexpr (kWithStatistics) {
      if (!all_finite(pack)) return false;
      seen.add_finite(pack);
    }
    keys.add_finite(pack);
    return true;
  };
  const auto any = [&](const PackSpan& span, const Pack<T>& pack, std::int64_t) {
    if constexpr (kWithStatistics) seen.add(span, pack);
    keys.add(span, pack);
  };
  const bool moves_words = layout.moves_words<T>(x);
  const auto load = [&](const auto& place) { return load_pack<T>(x, place); };
  keys.for_each_round(shape, layout, [&](const PackSequence& sequence) {
    for_each_pack<kHistogramPacksInFlight>(layout, moves_words, sequence, load, whole, any);
  });
  if constexpr (kWithStatistics) {
    reduce_statistics(seen.result(), layout.count, scratch, statistics);
  }
}

}  // namespace cuqat::gpu
