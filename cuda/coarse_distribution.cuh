// Calibration of f32 from the upper halves of its patterns, as a collector counts them: each key
// stands for the number in its middle, cut to the extremes, which are known (docs/calibration.md,
// "What is exact").
//
// Bytes moved: the counts, 512 KB, through the L2 cache. Bound by latency.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "binned_distribution.cuh"
#include "calibration_state.cuh"
#include "cuqat/calibration.hpp"
#include "cuqat/histogram.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "distribution.cuh"
#include "finalists.cuh"
#include "for_each_index.cuh"
#include "launchers.hpp"
#include "shared_storage.cuh"
#include "statistics.cuh"

namespace cuqat::gpu {

/// Counts of f32 keys, and what else is known of the elements.
struct CoarseKeys {
  const unsigned long long* counts;
  const Statistics* statistics;

  static constexpr unsigned kSign = 0x8000u;

  __device__ std::uint64_t count(unsigned key) const {
    constexpr unsigned kInfinity = 0x7f80u;
    return (key & ~kSign) < kInfinity ? counts[key] : 0;
  }
  __device__ double value(unsigned key) const {
    const double middle{scalar::middle_of_f32_key(static_cast<std::uint16_t>(key))};
    return middle < statistics->min   ? statistics->min
           : middle > statistics->max ? statistics->max
                                      : middle;
  }
};

namespace detail {

/// Values and counts by position. A key and its opposite may be cut to different magnitudes, so
/// those have two positions for each.
template <bool kOfMagnitudes>
class CoarseKeyTable {
 public:
  static constexpr unsigned kSize = kNumKeys;

  __device__ explicit CoarseKeyTable(const CoarseKeys& keys) : keys_(keys) {}

  __device__ std::uint64_t count(unsigned position) const { return of(position).count; }
  __device__ double value(unsigned position) const { return of(position).value; }

 private:
  struct Entry {
    double value;
    std::uint64_t count;
  };

  __device__ Entry of(unsigned position) const {
    constexpr unsigned kSign = CoarseKeys::kSign;
    if constexpr (kOfMagnitudes) {
      const unsigned magnitude = position / 2;
      Entry first{scalar::magnitude(keys_.value(magnitude)), keys_.count(magnitude)};
      Entry second{scalar::magnitude(keys_.value(magnitude | kSign)),
                   keys_.count(magnitude | kSign)};
      if (first.count == 0 || second.count == 0 || first.value == second.value) {
        if (first.count == 0) first.value = second.value;
        first.count += second.count;
        second.count = 0;
      } else if (second.value < first.value) {
        const Entry larger = first;
        first = second;
        second = larger;
      }
      return position % 2 == 0 ? first : second;
    } else {
      const unsigned key = scalar::pattern_of_ordered_key(static_cast<std::uint16_t>(position));
      if (key == kSign) return {0.0, 0};  // the values of +0 have them
      return {keys_.value(key), keys_.count(key) + (key == 0 ? keys_.count(kSign) : 0)};
    }
  }

  CoarseKeys keys_;
};

}  // namespace detail

/// Adds the keys of a collector to the bins of a search, but for the zeros; does nothing where it
/// has observed no more than are searched without.
template <typename Bins>
__global__ void coarse_bins_kernel(CalibrationMemory memory, Bins bins, CoarseKeys keys) {
  const Statistics& statistics = *keys.statistics;
  if (statistics.count <= kMaxSearchedElements) return;
  const double amax = statistics.amax();
  const detail::CoarseKeyTable<false> table(keys);
  for_each_index(kNumKeys, [&](std::int64_t i) {
    const auto position = static_cast<unsigned>(i);
    std::uint64_t count = table.count(position);
    constexpr unsigned kZero = 0x8000u;  // in the order of the numbers
    if (position == kZero) count -= static_cast<std::uint64_t>(statistics.zeros);
    if (count == 0) return;
    atomicAdd(&memory.own_bins()[bins.bin(static_cast<float>(table.value(position)), amax)],
              static_cast<unsigned long long>(count));
  });
}

/// One block: the distribution of a collector's keys, or of BinTable's bins where it is for a
/// search and there are too many elements.
template <typename BinTable, bool kOfMagnitudes>
__global__ void __launch_bounds__(kDistributionThreads, 1)
    coarse_distribution_kernel(CalibrationMemory memory, CoarseKeys keys, bool is_for_search) {
  auto& shared = shared_storage<DistributionStorage>();
  const Distribution values = memory.values_to_fill(0);
  const Statistics statistics = *keys.statistics;
  int size = 0;
  if (is_for_search && statistics.count > kMaxSearchedElements) {
    size =
        detail::fill_bins<BinTable, kOfMagnitudes>(shared, memory.own_bins(), statistics, values);
  } else {
    size = detail::fill_values(shared, detail::CoarseKeyTable<kOfMagnitudes>(keys), values);
  }
  size = detail::sum_moments(shared, values, size);
  if (threadIdx.x == 0) {
    memory.own_search().statistics = statistics;
    memory.own_search().num_values = size;
  }
}

/// Keys, to sum errors over.
struct CoarseTerms {
  CoarseKeys keys;

  __device__ std::int64_t size() const { return kNumKeys; }
  __device__ double value(std::int64_t i) const { return keys.value(static_cast<unsigned>(i)); }
  __device__ std::uint64_t count(std::int64_t i) const {
    return keys.count(static_cast<unsigned>(i));
  }
};

/// Errors of the finalists over the keys.
template <typename Q>
__global__ void finalist_key_errors_kernel(CalibrationMemory memory, RangeRule rule, Q quantizer,
                                           CoarseKeys keys) {
  detail::add_finalist_errors<Q, float>(memory.own_search(), rule, quantizer, CoarseTerms{keys});
}

/// One thread.
__global__ void clear_statistics_kernel(Statistics* all) { *all = Statistics{}; }

/// One thread: adds a batch's statistics to those of everything observed. They may be the same.
__global__ void merge_statistics_kernel(const Statistics* batch, Statistics* all) {
  const Statistics part = *batch;
  all->count += part.count;
  merge(*all, part);
}

}  // namespace cuqat::gpu
