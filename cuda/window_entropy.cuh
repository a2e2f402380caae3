// The entropy range by ONNX Runtime's rule (docs/calibration.md): a block for each window of bins.
// Its p and q are smoothed and normalised in f32, in the association of numpy's sums, so every
// candidate is a pass over its bins.
//
// Bytes moved: the bins' prefixes, 16 KB, through the L2 cache. Bound by latency, and by
// logarithms.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "calibration_state.cuh"
#include "cuqat/scalar/logarithm.hpp"
#include "entropy.cuh"
#include "shared_storage.cuh"

namespace cuqat::gpu {

/// One block: bins of the values, counted before or from the distribution, and the counts before
/// each.
template <bool kCounted>
__global__ void __launch_bounds__(kDistributionThreads)
    signed_entropy_bins_kernel(CalibrationMemory memory) {
  auto& shared = shared_storage<BinStorage>();
  ScaleSearch& search = memory.own_search();
  const int thread = static_cast<int>(threadIdx.x);
  if constexpr (kCounted) {
    detail::load_bins(shared, memory, kEntropyBins / 2);
  } else {
    detail::count_bins(shared, memory, value_bins());
  }
  if (thread != 0) return;
  unsigned long long count = 0;
  for (int i = 0; i < kEntropyBins; ++i) {
    search.count_before[i] = count;
    count += shared.bin[i];
  }
  search.count_before[kEntropyBins] = count;
}

/// Threads of a block that has a candidate, and how many bins that may keep.
inline constexpr int kWindowThreads = 256;
inline constexpr int kMaxWindow = kEntropyBins + 1;
/// numpy adds at most so many numbers one after the other, in eight sums; of more it adds halves.
inline constexpr int kPairwiseLeaf = 128;
inline constexpr int kPairwiseDepth = 6;  // halvings of kMaxWindow until all are leaves, and one

/// Shared memory of a block that has a candidate.
struct WindowStorage {
  float p[kMaxWindow];
  float q[kMaxWindow];
  float leaf[1 << kPairwiseDepth];
  unsigned zeros_of_p;
  unsigned zeros_of_q;
};

namespace detail {

/// A part of an array that is halved until it is a leaf, by the bits of `path` from the lowest on.
struct PairwisePart {
  int begin;
  int size;
  int depth;  ///< Bits of the path that were used.

  __device__ static PairwisePart of(unsigned path, int n, int max_depth) {
    PairwisePart part{0, n, 0};
    while (part.size > kPairwiseLeaf && part.depth < max_depth) {
      const int half = part.size / 2 / 8 * 8;
      const bool is_right = (path >> part.depth & 1u) != 0;
      part.begin += is_right ? half : 0;
      part.size = is_right ? part.size - half : half;
      ++part.depth;
    }
    return part;
  }
};

/// Up to kPairwiseLeaf numbers: eight sums, which are added as a tree, and the rest.
__device__ inline float leaf_sum(const float* x, int n) {
  if (n < 8) {
    float sum = 0.0f;
    for (int i = 0; i < n; ++i) sum += x[i];
    return sum;
  }
  float part[8] = {};
  int i = 0;
  for (; i + 8 <= n; i += 8) {
#pragma unroll
    for (int j = 0; j < 8; ++j) part[j] += x[i + j];
  }
  float sum =
      ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  for (; i < n; ++i) sum += x[i];
  return sum;
}

/// The sum of n numbers in numpy's association, in every thread. All threads of the block call it.
__device__ inline float pairwise_sum(WindowStorage& shared, const float* x, int n) {
  const unsigned path = threadIdx.x;
  const bool has_slot = path < 1u << kPairwiseDepth;
  __syncthreads();  // x is there, and the leaves of the sum before have been read
  if (has_slot) {
    const PairwisePart part = PairwisePart::of(path, n, kPairwiseDepth);
    // Of the paths to a leaf that stops early the one without more bits.
    if (path >> part.depth == 0) shared.leaf[path] = leaf_sum(x + part.begin, part.size);
  }
  __syncthreads();
#pragma unroll
  for (int depth = kPairwiseDepth - 1; depth >= 0; --depth) {
    if (path < 1u << depth) {
      const PairwisePart part = PairwisePart::of(path, n, depth);
      if (part.depth == depth && part.size > kPairwiseLeaf) {
        shared.leaf[path] = shared.leaf[path] + shared.leaf[path | 1u << depth];
      }
    }
    __syncthreads();
  }
  return shared.leaf[0];
}

/// Zeros become 1e-4, the others give up as much in all, then everything is normalised. False where
/// all are zero. All threads of the block call it.
__device__ inline bool smooth_and_normalise(WindowStorage& shared, float* x, int n,
                                            unsigned& num_zeros) {
  constexpr double kEpsilon = 1e-4;
  const int thread = static_cast<int>(threadIdx.x);
  if (thread == 0) num_zeros = 0;
  __syncthreads();
  for (int i = thread; i < n; i += kWindowThreads) {
    if (x[i] == 0.0f) atomicAdd(&num_zeros, 1u);
  }
  __syncthreads();
  const auto zeros = static_cast<double>(num_zeros);
  const double others = static_cast<double>(n) - zeros;
  if (others == 0.0) return false;
  const auto given_up = static_cast<float>(kEpsilon * zeros / others);
  for (int i = thread; i < n; i += kWindowThreads) {
    x[i] = x[i] == 0.0f ? static_cast<float>(kEpsilon) : x[i] - given_up;
  }
  const float sum = pairwise_sum(shared, x, n);
  for (int i = thread; i < n; i += kWindowThreads) x[i] /= sum;
  __syncthreads();
  return true;
}

}  // namespace detail

/// A window of bins [begin, end): candidate i keeps i bins on each side of the middle one.
struct BinWindow {
  int begin;
  int end;

  __device__ static BinWindow of(int i) {
    const int end = kEntropyBins / 2 + i + 1;
    return {kEntropyBins / 2 - i, end < kEntropyBins ? end : kEntropyBins};
  }
};

/// A block for each candidate i = num_levels / 2 .. kEntropyBins / 2. Levels are at most as many as
/// threads.
__global__ void __launch_bounds__(kWindowThreads)
    window_divergence_kernel(CalibrationMemory memory, int num_levels) {
  auto& shared = shared_storage<WindowStorage>();
  ScaleSearch& search = memory.own_search();
  const unsigned long long* const before = search.count_before;
  const int candidate = num_levels / 2 + static_cast<int>(blockIdx.x);
  const BinWindow window = BinWindow::of(candidate);
  const int size = window.end - window.begin;
  const int thread = static_cast<int>(threadIdx.x);
  for (int k = thread; k < size; k += kWindowThreads) {
    // What is outside joins the ends.
    const int first = k == 0 ? 0 : window.begin + k;
    const int past = k == size - 1 ? kEntropyBins : window.begin + k + 1;
    shared.p[k] = static_cast<float>(before[past] - before[first]);
    shared.q[k] = 0.0f;
  }
  __syncthreads();
  if (thread < num_levels) {
    const int bins_a_level = size / num_levels;
    const int begin = thread * bins_a_level;
    const int end = begin + bins_a_level;
    // The bins past the last whole level join its sum, while their own q stays 0.
    const int sum_end = thread + 1 == num_levels ? size : end;
    const std::uint64_t sum = before[window.begin + sum_end] - before[window.begin + begin];
    unsigned non_zero = 0;
    for (int k = begin; k < end; ++k) non_zero += shared.p[k] != 0.0f ? 1u : 0u;
    if (non_zero != 0) {
      const auto mean = static_cast<float>(sum / non_zero);  // the rule truncates
      for (int k = begin; k < end; ++k) shared.q[k] = mean;
    }
  }
  __syncthreads();
  const bool has_p = detail::smooth_and_normalise(shared, shared.p, size, shared.zeros_of_p);
  const bool has_q = detail::smooth_and_normalise(shared, shared.q, size, shared.zeros_of_q);
  if (!has_p || !has_q) {
    if (thread == 0) {
      search.divergence[candidate] = scalar::from_bits(scalar::FloatTraits<double>::kInfinity);
    }
    return;
  }
  for (int k = thread; k < size; k += kWindowThreads) {
    const auto p = static_cast<double>(shared.p[k]);
    const double quotient = p / static_cast<double>(shared.q[k]);
    shared.p[k] = static_cast<float>(p * scalar::logarithm(quotient));
  }
  const float sum = detail::pairwise_sum(shared, shared.p, size);
  if (thread == 0) search.divergence[candidate] = static_cast<double>(sum);
}

/// One block: the first candidate of least divergence, cut to what was observed.
template <typename C>
__global__ void window_finalist_kernel(CalibrationMemory memory, int num_levels) {
  auto& shared = shared_storage<int[kPlanThreads]>();
  ScaleSearch& search = memory.own_search();
  const int first = num_levels / 2;
  const int first_least =
      first + detail::first_of(shared, kEntropyBins / 2 + 1 - first, [&](int a, int b) {
        const double divergence_a = search.divergence[first + a];
        const double divergence_b = search.divergence[first + b];
        return divergence_a != divergence_b ? divergence_a < divergence_b : a < b;
      });
  if (threadIdx.x != 0) return;
  constexpr double kHalf = kEntropyBins / 2;
  const double amax = search.statistics.amax();
  const BinWindow window = BinWindow::of(first_least);
  detail::add_observed_finalist<C>(
      search, static_cast<C>(amax * (static_cast<double>(window.begin) / kHalf - 1.0)),
      static_cast<C>(amax * (static_cast<double>(window.end) / kHalf - 1.0)));
}

}  // namespace cuqat::gpu
