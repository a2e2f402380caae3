// Scales of more f32 elements than are sorted: their elements are counted in bins, for an entropy
// or for a search (docs/calibration.md, "What is exact"), which takes the bins for values.
//
// Bins of an entropy are few, and a block counts them in shared memory. Those of a search are 2^16
// magnitudes, 2^17 values, or 2^15 magnitudes of equal relative width: a megabyte that stays in the
// L2 cache, where all threads count. Zeros, which may be half of all elements, are not counted: the
// statistics have them.
//
// Bytes moved: 4 an element, and 8 for each bin. Bound by memory, or by the atomics of the L2
// cache.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "bins.cuh"
#include "calibration_state.cuh"
#include "cuqat/histogram.hpp"
#include "cuqat/scalar/bits.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "distribution.cuh"
#include "for_each_index.cuh"
#include "pack.cuh"
#include "run_of_keys.cuh"
#include "segments.hpp"
#include "shared_storage.cuh"

namespace cuqat::gpu {

namespace detail {

/// Adds those of `count` elements from `first` on that are finite and not 0 to their bins. With
/// kShared the bins are in shared memory meanwhile. All threads of the grid's row call it.
template <bool kShared, typename Bins>
__device__ void count_elements(const Bins& bins, double amax, std::int64_t first,
                               std::int64_t count, const void* x, unsigned long long* counts,
                               unsigned num_bins) {
  auto* const shared = &shared_storage<unsigned>();
  if constexpr (kShared) {
    for (unsigned i = threadIdx.x; i < num_bins; i += blockDim.x) shared[i] = 0;
    __syncthreads();
  }
  RunOfKeys run;
  for_each_index(count, [&](std::int64_t i) {
    const auto element = load_element<float>(x, first + i);
    if (!scalar::is_finite(element) || element == 0.0f) return;
    const unsigned bin = bins.bin(element, amax);
    if constexpr (kShared) {
      atomicAdd(&shared[bin], 1u);
    } else {
      run.add(bin, counts);
    }
  });
  if constexpr (kShared) {
    __syncthreads();
    for (unsigned i = threadIdx.x; i < num_bins; i += blockDim.x) {
      if (shared[i] != 0) atomicAdd(&counts[i], static_cast<unsigned long long>(shared[i]));
    }
  } else {
    run.flush(counts);
  }
}

}  // namespace detail

/// Counts the elements of the scales from `first_scale` on in their bins, which are zero before;
/// leaves their statistics.
template <bool kShared, typename Bins>
__global__ void count_bins_kernel(CalibrationMemory memory, Bins bins, SegmentLayout layout,
                                  std::int64_t first_scale, const void* x,
                                  const Statistics* statistics) {
  const std::int64_t scale = first_scale + blockIdx.y;
  if (blockIdx.x == 0 && threadIdx.x == 0) memory.own_search().statistics = statistics[scale];
  detail::count_elements<kShared>(bins, statistics[scale].amax(), layout.begin(scale),
                                  layout.end(scale) - layout.begin(scale), x, memory.own_bins(),
                                  static_cast<unsigned>(memory.num_bins));
}

/// Adds elements to bins that a host then reads.
template <bool kShared, typename Bins>
__global__ void add_bins_kernel(Bins bins, double amax, std::int64_t count, const void* x,
                                unsigned long long* counts, unsigned num_bins) {
  detail::count_elements<kShared>(bins, amax, 0, count, x, counts, num_bins);
}

namespace detail {

/// Bins of equal width as values at their middles, and the zeros, which have a position of their
/// own before the bin that begins with them.
template <bool kOfMagnitudes>
class EqualBinTable {
 public:
  static constexpr int kHalf = scalar::kSearchBins;
  static constexpr int kZeros = kOfMagnitudes ? 0 : kHalf;
  static constexpr unsigned kSize = kZeros + kHalf + 1;

  __device__ EqualBinTable(const unsigned long long* bins, const Statistics& statistics)
      : bins_(bins), statistics_(statistics) {}

  __device__ unsigned long long count(unsigned position) const {
    if (position == kZeros) return static_cast<unsigned long long>(statistics_.zeros);
    return bins_[bin(position)];
  }
  __device__ double value(unsigned position) const {
    if (position == kZeros) return 0.0;
    const double middle =
        (static_cast<double>(bin(position)) - kZeros + 0.5) / kHalf * statistics_.amax();
    const double low = kOfMagnitudes ? 0.0 : statistics_.min;
    const double high = kOfMagnitudes ? statistics_.amax() : statistics_.max;
    return middle < low ? low : middle > high ? high : middle;
  }

 private:
  __device__ static int bin(unsigned position) {
    return static_cast<int>(position) - (position > kZeros ? 1 : 0);
  }

  const unsigned long long* bins_;
  Statistics statistics_;
};

/// Bins of equal relative width as the magnitudes at their middles; the first is taken for zeros.
class RelativeBinTable {
 public:
  static constexpr unsigned kSize = kNumKeys / 2;

  __device__ RelativeBinTable(const unsigned long long* bins, const Statistics& statistics)
      : bins_(bins),
        zeros_(static_cast<unsigned long long>(statistics.zeros)),
        amax_(statistics.amax()),
        unit_(RelativeBins::power_of_two(RelativeBins::exponent(amax_))) {}

  __device__ unsigned long long count(unsigned position) const {
    return bins_[position] + (position == 0 ? zeros_ : 0);
  }
  __device__ double value(unsigned position) const {
    const double middle =
        double{scalar::middle_of_f32_key(static_cast<std::uint16_t>(position))} * unit_;
    return middle < amax_ ? middle : amax_;
  }

 private:
  const unsigned long long* bins_;
  unsigned long long zeros_;
  double amax_;
  double unit_;
};

/// fill_values of a search's bins. The extremes are known: the search's ranges are shares of them.
template <typename Table, bool kOfMagnitudes>
__device__ int fill_bins(DistributionStorage& shared, const unsigned long long* bins,
                         const Statistics& statistics, const Distribution& values) {
  const int size = fill_values(shared, Table(bins, statistics), values);
  __syncthreads();  // the values are there
  if (threadIdx.x == kDistributionThreads - 1 && size > 0) {
    if (!kOfMagnitudes) values.value[0] = statistics.min;
    values.value[size - 1] = kOfMagnitudes ? statistics.amax() : statistics.max;
  }
  return size;
}

}  // namespace detail

/// The bins of a search as distributions, a block for each scale.
template <typename Table, bool kOfMagnitudes>
__global__ void __launch_bounds__(kDistributionThreads, 1)
    binned_distribution_kernel(CalibrationMemory memory, std::int64_t first_scale,
                               const Statistics* statistics) {
  auto& shared = shared_storage<DistributionStorage>();
  const Distribution values = memory.values_to_fill(blockIdx.y);
  const int in_last_thread = detail::fill_bins<Table, kOfMagnitudes>(
      shared, memory.own_bins(), statistics[first_scale + blockIdx.y], values);
  const int size = detail::sum_moments(shared, values, in_last_thread);
  if (threadIdx.x == 0) memory.own_search().num_values = size;
}

}  // namespace cuqat::gpu
