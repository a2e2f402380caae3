// Percentiles by selection among counted keys.
//
// Elements are ordered as their bit patterns are, once negative ones are inverted, with
// the pattern of a magnitude being its own. The key histogram counts the upper 16 bits: of bf16 and
// f16 that is everything. Of f32 one block finds the keys in which the wanted ranks lie, at most
// kMaxRanks; a second read counts the lower 16 bits of the elements of those keys, each key in a
// table of its own; one block for each key finds the ranks in it.
//
// The second read looks up a bit for each element, in 8 KB of shared memory; few are of a wanted
// key, as a key is 1/128 of a binade. Those are added to the totals in device memory; a thread
// keeps the last two counters in registers, so that data of one or two values makes no contention.
//
// Bytes moved: sizeof(T) an element, f32 twice. Bound by memory, the selecting blocks by latency.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "block_scan.cuh"
#include "cuqat/histogram.hpp"
#include "cuqat/percentile.hpp"
#include "cuqat/scalar/half.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "cuqat/scalar/percentile_rank.hpp"
#include "for_each_pack.cuh"
#include "launchers.hpp"
#include "ordered_bits.cuh"
#include "shared_storage.cuh"

namespace cuqat::gpu {

inline constexpr int kMaxRanks = SelectedKeys::kMost;
inline constexpr int kSelectionThreads = 1024;

/// Counters of the lower 16 bits of one key.
inline constexpr int kLowCounts = 1 << 16;

/// What the selecting steps of f32 leave for each other.
struct KeySelection {
  SelectedKeys keys;           ///< Distinct ones.
  int key_of_rank[kMaxRanks];  ///< Which of them.
  unsigned long long rank_in_key[kMaxRanks];
};

/// Shared memory of a block that selects.
struct SelectionStorage {
  unsigned long long count_of_warp[kSelectionThreads / kWarpThreads];
  unsigned long long rank[kMaxRanks];
  unsigned long long rank_in_run[kMaxRanks];
  unsigned run[kMaxRanks];  ///< In which a rank lies.
  unsigned position[kMaxRanks];
  unsigned key[kMaxRanks];  ///< Those of the positions that differ.
};

/// Shared memory of a block that counts lower halves.
struct LowCountStorage {
  std::uint32_t is_wanted[kNumKeys / 32];
  unsigned key[kMaxRanks];
};

namespace detail {

/// Ranks that are asked for, among n finite elements: one for each percentile of magnitudes, two
/// for each of values.
template <bool kOfMagnitudes>
__device__ inline int num_ranks(const PercentileRequest& request) {
  return kOfMagnitudes ? request.num_percentiles : 2 * request.num_percentiles;
}
template <bool kOfMagnitudes>
__device__ inline unsigned long long rank(const PercentileRequest& request, int number,
                                          std::int64_t n) {
  std::int64_t rank = 0;
  if constexpr (kOfMagnitudes) {
    rank = scalar::percentile_rank(n, request.percentile[number]);
  } else {
    const double p = request.percentile[number / 2];
    rank = number % 2 == 0 ? scalar::low_percentile_rank(n, p) : scalar::high_percentile_rank(n, p);
  }
  return static_cast<unsigned long long>(rank);
}

/// Stores the value of a rank. A zero becomes +0.
template <bool kOfMagnitudes>
__device__ inline void store_value(int number, double value, Range* result) {
  const double x = value + 0.0;
  if constexpr (kOfMagnitudes) {
    result[number] = {0.0 - x, x};
  } else {
    (number % 2 == 0 ? result[number / 2].low : result[number / 2].high) = x;
  }
}

/// Counts of consecutive positions, which lie in a run for each thread of a block. All threads call
/// all functions.
template <int kNumPositions, typename Count>
class CountedPositions {
  static constexpr unsigned kOfRun = kNumPositions / kSelectionThreads;
  static_assert(kNumPositions % kSelectionThreads == 0 && kOfRun % kWarpThreads == 0);

 public:
  __device__ CountedPositions(SelectionStorage& shared, const Count& count)
      : shared_(shared), count_(count) {
    // A warp sums the runs of its threads, some at a time: lanes read what lies together.
    constexpr unsigned kAtOnce = 4;
    const unsigned first_of_warp = threadIdx.x / kWarpThreads * kWarpThreads * kOfRun;
    for (unsigned run = 0; run < kWarpThreads; run += kAtOnce) {
      unsigned long long sum[kAtOnce] = {};
#pragma unroll
      for (unsigned j = 0; j < kAtOnce; ++j) {
#pragma unroll
        for (unsigned i = 0; i < kOfRun; i += kWarpThreads) {
          sum[j] += count_(first_of_warp + (run + j) * kOfRun + i + lane());
        }
      }
      const unsigned long long of_lane = warp_sums(sum);
      if (lane() / kAtOnce == run / kAtOnce) own_ = of_lane;
    }
    before_ = block_exclusive_sum(shared_.count_of_warp, own_);
    for (const unsigned long long of_warp : shared_.count_of_warp) total_ += of_warp;
  }

  __device__ unsigned long long total() const { return total_; }

  /// body(number, position, rank in it) in one thread for each number for which
  /// is_wanted(number): where the element of rank_of(number), below the total, lies.
  template <typename IsWanted, typename RankOf, typename Body>
  __device__ void for_each_rank(int num_ranks, const IsWanted& is_wanted, const RankOf& rank_of,
                                const Body& body) const {
    const int thread = static_cast<int>(threadIdx.x);
    if (thread < num_ranks && is_wanted(thread)) shared_.rank[thread] = rank_of(thread);
    __syncthreads();
    for (int number = 0; number < num_ranks; ++number) {
      if (!is_wanted(number)) continue;
      const unsigned long long rank = shared_.rank[number];
      if (rank < before_ || rank - before_ >= own_) continue;
      shared_.run[number] = threadIdx.x;
      shared_.rank_in_run[number] = rank - before_;
    }
    __syncthreads();
    // A warp for each rank.
    static_assert(kMaxRanks <= kSelectionThreads / kWarpThreads);
    const int number = thread / kWarpThreads;
    if (number >= num_ranks || !is_wanted(number)) return;
    const unsigned first = shared_.run[number] * kOfRun;
    unsigned long long rank = shared_.rank_in_run[number];
    for (unsigned i = 0; i < kOfRun; i += kWarpThreads) {
      const unsigned position = first + i + lane();
      const unsigned long long here = count_(position);
      const unsigned long long up_to = warp_inclusive_sum(here);
      if (rank < up_to && rank >= up_to - here) body(number, position, rank - (up_to - here));
      const unsigned long long all = __shfl_sync(kWholeWarp, up_to, kWarpThreads - 1);
      if (rank < all) return;
      rank -= all;
    }
  }

 private:
  __device__ static unsigned lane() { return threadIdx.x % kWarpThreads; }

  SelectionStorage& shared_;
  Count count_;
  unsigned long long own_ = 0;  ///< Of this thread's run.
  unsigned long long before_ = 0;
  unsigned long long total_ = 0;
};

/// Counts of the finite keys of elements of type T, by position.
template <typename T, bool kOfMagnitudes>
class FiniteKeyCounts {
  static constexpr unsigned kMagnitude = 0x7fffu;
  static constexpr unsigned kInfinity = std::is_same_v<T, float16> ? 0x7c00u : 0x7f80u;

 public:
  static constexpr int kNumPositions = static_cast<int>(kOfMagnitudes ? kNumKeys / 2 : kNumKeys);

  __device__ explicit FiniteKeyCounts(const unsigned long long* counts) : counts_(counts) {}
  __device__ unsigned long long operator()(unsigned position) const {
    const unsigned key = pattern_of_ordered<kOfMagnitudes>(static_cast<std::uint16_t>(position));
    if ((key & kMagnitude) >= kInfinity) return 0;
    return counts_[key] + (kOfMagnitudes ? counts_[key + kMagnitude + 1u] : 0);
  }

 private:
  const unsigned long long* counts_;
};

/// The two counters that came last, and how often; added to the totals when others take their
/// place.
class RecentCounters {
 public:
  __device__ explicit RecentCounters(unsigned long long* totals) : totals_(totals) {}

  __device__ void add(unsigned index) {
    if (index == last_) {
      ++times_last_;
    } else if (index == other_) {
      ++times_other_;
    } else {
      flush(other_, times_other_);
      other_ = last_;
      times_other_ = times_last_;
      last_ = index;
      times_last_ = 1;
    }
  }
  __device__ void flush() {
    flush(last_, times_last_);
    flush(other_, times_other_);
  }

 private:
  static constexpr unsigned kNone = ~0u;

  __device__ void flush(unsigned index, unsigned times) {
    if (times != 0) atomicAdd(&totals_[index], static_cast<unsigned long long>(times));
  }

  unsigned long long* totals_;
  unsigned last_ = kNone;
  unsigned other_ = kNone;
  unsigned times_last_ = 0;
  unsigned times_other_ = 0;
};

}  // namespace detail

/// One block: the values of the ranks where a key is the whole element, else the keys in which they
/// lie.
template <typename T, bool kOfMagnitudes>
__global__ void __launch_bounds__(kSelectionThreads)
    select_keys_kernel(const unsigned long long* counts, PercentileRequest request,
                       KeySelection* selection, Range* result) {
  auto& shared = shared_storage<SelectionStorage>();
  using Counts = detail::FiniteKeyCounts<T, kOfMagnitudes>;
  const detail::CountedPositions<Counts::kNumPositions, Counts> keys(shared, Counts(counts));
  const auto n = static_cast<std::int64_t>(keys.total());
  const int num_ranks = detail::num_ranks<kOfMagnitudes>(request);
  constexpr bool kIsWhole = sizeof(T) == 2;
  if (n == 0) {
    const int number = static_cast<int>(threadIdx.x);
    if (number < num_ranks) detail::store_value<kOfMagnitudes>(number, 0.0, result);
    if (!kIsWhole && number == 0) selection->keys.num_keys = 0;
    return;
  }
  keys.for_each_rank(
      num_ranks, [](int) { return true; },
      [&](int number) { return detail::rank<kOfMagnitudes>(request, number, n); },
      [&](int number, unsigned position, unsigned long long rank_in_position) {
        if constexpr (kIsWhole) {
          const auto bits = static_cast<std::uint16_t>(position);
          detail::store_value<kOfMagnitudes>(
              number, detail::value_of_ordered<T, kOfMagnitudes>(bits), result);
        } else {
          shared.position[number] = position;
          selection->rank_in_key[number] = rank_in_position;
        }
      });
  if constexpr (!kIsWhole) {
    __syncthreads();
    if (threadIdx.x != 0) return;
    int num_keys = 0;
    for (int number = 0; number < num_ranks; ++number) {
      int index = 0;
      while (index < num_keys && shared.key[index] != shared.position[number]) ++index;
      if (index == num_keys) {
        shared.key[num_keys++] = shared.position[number];
        selection->keys.key[index] = shared.position[number];
      }
      selection->key_of_rank[number] = index;
    }
    selection->keys.num_keys = num_keys;
  }
}

/// Adds the elements of the selected keys to the counters of their lower halves.
template <bool kOfMagnitudes>
__global__ void low_counts_kernel(PackLayout layout, const void* x, const SelectedKeys* selected,
                                  unsigned long long* low_counts) {
  auto& shared = shared_storage<LowCountStorage>();
  for (unsigned i = threadIdx.x; i < kNumKeys / 32; i += blockDim.x) shared.is_wanted[i] = 0;
  __syncthreads();
  const int num_keys = selected->num_keys;
  if (static_cast<int>(threadIdx.x) < num_keys) {
    const unsigned key = selected->key[threadIdx.x];
    shared.key[threadIdx.x] = key;
    atomicOr(&shared.is_wanted[key / 32], 1u << key % 32);
  }
  __syncthreads();
  if (num_keys == 0) return;
  detail::RecentCounters counters(low_counts);
  const auto count = [&](float element) {
    const std::uint32_t bits = detail::ordered<kOfMagnitudes>(scalar::to_bits(element));
    const unsigned key = bits >> 16;
    if ((shared.is_wanted[key / 32] >> key % 32 & 1u) == 0) return;
    unsigned index = 0;
    while (shared.key[index] != key) ++index;
    counters.add(index * kLowCounts + (bits & 0xffffu));
  };
  for_each_pack<kPacksInFlight<float>>(
      layout, layout.moves_words<float>(x), PackSequence::of_grid(layout.num_packs),
      [&](const auto& place) { return load_pack<float>(x, place); },
      [&](const auto& place, const Pack<float>& pack, std::int64_t) {
#pragma unroll
        for (int i = 0; i < kPackElements; ++i) {
          if (i >= place.begin && i < place.end) count(pack.element[i]);
        }
      });
  counters.flush();
}

/// A block for each selected key: the values of the ranks in it.
template <bool kOfMagnitudes>
__global__ void __launch_bounds__(kSelectionThreads)
    select_low_kernel(const KeySelection* selection, const unsigned long long* low_counts,
                      PercentileRequest request, Range* result) {
  const int index = static_cast<int>(blockIdx.x);
  if (index >= selection->keys.num_keys) return;
  auto& shared = shared_storage<SelectionStorage>();
  const unsigned long long* const counts = low_counts + std::int64_t{index} * kLowCounts;
  const auto count = [counts](unsigned position) { return counts[position]; };
  const detail::CountedPositions<kLowCounts, decltype(count)> lows(shared, count);
  const std::uint32_t upper = selection->keys.key[index] << 16;
  lows.for_each_rank(
      detail::num_ranks<kOfMagnitudes>(request),
      [&](int number) { return selection->key_of_rank[number] == index; },
      [&](int number) { return selection->rank_in_key[number]; },
      [&](int number, unsigned position, unsigned long long) {
        detail::store_value<kOfMagnitudes>(
            number, detail::value_of_ordered<float, kOfMagnitudes>(upper | position), result);
      });
}

}  // namespace cuqat::gpu
