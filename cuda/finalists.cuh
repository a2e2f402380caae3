// The finalists of the methods that need no search, and what becomes of all finalists: their
// errors, summed exactly as integers, and the scale of the best.
//
// Bytes moved: the tables of distribution.cuh, through the L2 cache. Bound by latency.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "calibration_state.cuh"
#include "cuqat/scalar/element.hpp"
#include "cuqat/scalar/percentile_rank.hpp"
#include "cuqat/scalar/squared_error.hpp"
#include "pack.cuh"
#include "scale_output.cuh"
#include "segments.hpp"
#include "shared_storage.cuh"

namespace cuqat::gpu {

/// One thread: the extremes.
template <typename C>
__global__ void minmax_finalist_kernel(CalibrationMemory memory) {
  ScaleSearch& search = memory.own_search();
  const Statistics& statistics = search.statistics;
  const bool any = statistics.finite() > 0;
  search.num_finalists = 0;
  detail::add_finalist<C>(search, any ? statistics.min : 0.0, any ? statistics.max : 0.0);
}

/// The value of a rank below the number of elements.
__device__ inline double order_statistic(const Distribution& sorted, std::int64_t rank) {
  int begin = 0;
  int end = sorted.size - 1;
  while (begin < end) {  // the last value with at most `rank` elements before it
    const int middle = begin + (end - begin + 1) / 2;
    if (sorted.count_before[middle] <= static_cast<std::uint64_t>(rank)) {
      begin = middle;
    } else {
      end = middle - 1;
    }
  }
  return sorted.value[begin];
}

/// One thread.
template <typename C>
__global__ void percentile_finalist_kernel(CalibrationMemory memory, bool symmetric,
                                           double percentile) {
  ScaleSearch& search = memory.own_search();
  const Distribution sorted = memory.own_values();
  const std::int64_t n = search.statistics.finite();
  search.num_finalists = 0;
  if (n == 0) {
    detail::add_finalist<C>(search, 0.0, 0.0);
  } else if (symmetric) {
    const double amax = order_statistic(sorted, scalar::percentile_rank(n, percentile));
    detail::add_finalist<C>(search, -amax, amax);
  } else {
    detail::add_finalist<C>(search,
                            order_statistic(sorted, scalar::low_percentile_rank(n, percentile)),
                            order_statistic(sorted, scalar::high_percentile_rank(n, percentile)));
  }
}

/// Values with counts, to sum errors over: those of a distribution. Where it is of magnitudes, a
/// value and its opposite have the same error.
struct DistributionTerms {
  Distribution values;

  __device__ std::int64_t size() const { return values.size; }
  __device__ double value(std::int64_t i) const { return values.value[i]; }
  __device__ std::uint64_t count(std::int64_t i) const { return values.count(static_cast<int>(i)); }
};

/// The same of elements.
struct ElementTerms {
  const void* x;
  std::int64_t begin;
  std::int64_t end;

  __device__ std::int64_t size() const { return end - begin; }
  __device__ double value(std::int64_t i) const {
    const auto element = load_element<float>(x, begin + i);
    return scalar::is_finite(element) ? static_cast<double>(element) : 0.0;
  }
  __device__ std::uint64_t count(std::int64_t i) const {
    return scalar::is_finite(load_element<float>(x, begin + i)) ? 1 : 0;
  }
};

namespace detail {

/// Exact errors of the scale's finalists, who have every kFinalistSlots-th block each. Of one
/// nothing is asked. All threads call it.
template <typename Q, typename C, typename Terms>
__device__ void add_finalist_errors(ScaleSearch& search, const RangeRule& rule, const Q& quantizer,
                                    const Terms& terms) {
  const int number = static_cast<int>(blockIdx.x % kFinalistSlots);
  if (search.num_finalists < 2 || number >= search.num_finalists) return;
  auto& shared = shared_storage<FinalistErrors>();
  if (threadIdx.x == 0) shared = {};
  __syncthreads();
  const auto scale = scale_of<C>(search.finalist[number], rule);
  const double amax = search.statistics.amax();
  const double amax_reciprocal = 1.0 / amax;
  const double rounding_reciprocal =
      1.0 / scalar::rounding_unit(rule.quantizer.format, static_cast<double>(scale.scale), amax);
  FinalistErrors mine{};
  const std::int64_t block = blockIdx.x / kFinalistSlots;
  const std::int64_t stride = std::int64_t{gridDim.x / kFinalistSlots} * blockDim.x;
  for (std::int64_t i = block * blockDim.x + threadIdx.x; i < terms.size(); i += stride) {
    const double x = terms.value(i);
    const auto y =
        scalar::fake_quantize_element(quantizer, static_cast<C>(x), scale.scale, scale.zero_point);
    const std::uint64_t term = scalar::squared_term(
        x - static_cast<double>(y.value), y.clipped ? amax_reciprocal : rounding_reciprocal);
    const std::uint64_t n = terms.count(i);
    mine.rounding.add_product(term, y.clipped ? 0 : n);
    mine.clipping.add_product(term, y.clipped ? n : 0);
  }
  shared.rounding.atomic_add(mine.rounding);
  shared.clipping.atomic_add(mine.clipping);
  __syncthreads();
  if (threadIdx.x == 0) {
    search.errors[number].rounding.atomic_add(shared.rounding);
    search.errors[number].clipping.atomic_add(shared.clipping);
  }
}

}  // namespace detail

/// Errors of the finalists over the scales' distributions.
template <typename Q, typename C>
__global__ void finalist_errors_kernel(CalibrationMemory memory, RangeRule rule, Q quantizer) {
  detail::add_finalist_errors<Q, C>(memory.own_search(), rule, quantizer,
                                    DistributionTerms{memory.own_values()});
}

/// The same over the elements themselves, of the scales from `first_scale` on.
template <typename Q>
__global__ void finalist_element_errors_kernel(CalibrationMemory memory, RangeRule rule,
                                               Q quantizer, SegmentLayout layout,
                                               std::int64_t first_scale, const void* x) {
  const std::int64_t scale = first_scale + blockIdx.y;
  detail::add_finalist_errors<Q, float>(memory.own_search(), rule, quantizer,
                                        ElementTerms{x, layout.begin(scale), layout.end(scale)});
}

/// One thread: the first finalist of least error, and its scale. Those of the launch are stored
/// from number `first_scale` on.
template <typename C>
__global__ void choose_finalist_kernel(CalibrationMemory memory, RangeRule rule,
                                       double clipping_weight, ScaleOutput output,
                                       std::int64_t first_scale) {
  const ScaleSearch& search = memory.own_search();
  Range best = search.finalist[0];
  if (search.num_finalists > 1) {
    const double amax = search.statistics.amax();
    double least = scalar::from_bits(scalar::FloatTraits<double>::kInfinity);
    for (int i = 0; i < search.num_finalists; ++i) {
      const auto scale = detail::scale_of<C>(search.finalist[i], rule);
      // Relative to amax, so that no square leaves f64.
      const double unit =
          scalar::rounding_unit(rule.quantizer.format, static_cast<double>(scale.scale), amax) /
          amax;
      const double error = search.errors[i].rounding.value(unit) +
                           clipping_weight * search.errors[i].clipping.value(1.0);
      if (error < least) {
        least = error;
        best = search.finalist[i];
      }
    }
  }
  store_scale(output, first_scale + blockIdx.y, detail::scale_of<C>(best, rule));
  store_range(output, first_scale + blockIdx.y, best);
}

}  // namespace cuqat::gpu
