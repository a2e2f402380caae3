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
#include "scale_output.cuh"
#include "shared_storage.cuh"

namespace cuqat::gpu {

/// One thread: the extremes.
template <typename C>
__global__ void minmax_finalist_kernel(CalibrationState* state) {
  CalibrationSearch& search = state->search;
  const Statistics& statistics = state->tables.statistics;
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
__global__ void percentile_finalist_kernel(CalibrationState* state, bool symmetric,
                                           double percentile) {
  CalibrationSearch& search = state->search;
  const CalibrationTables& tables = state->tables;
  const std::int64_t n = tables.statistics.finite();
  search.num_finalists = 0;
  if (n == 0) {
    detail::add_finalist<C>(search, 0.0, 0.0);
  } else if (symmetric) {
    const double amax = order_statistic(tables.magnitudes, scalar::percentile_rank(n, percentile));
    detail::add_finalist<C>(search, -amax, amax);
  } else {
    detail::add_finalist<C>(
        search, order_statistic(tables.values, scalar::low_percentile_rank(n, percentile)),
        order_statistic(tables.values, scalar::high_percentile_rank(n, percentile)));
  }
}

/// Exact errors of the finalists, who have every kMaxFinalists-th block each. Of one nothing is
/// asked.
template <typename Q, typename C>
__global__ void finalist_errors_kernel(CalibrationState* state, RangeRule rule, Q quantizer) {
  CalibrationSearch& search = state->search;
  const int number = static_cast<int>(blockIdx.x % kMaxFinalists);
  if (search.num_finalists < 2 || number >= search.num_finalists) return;
  auto& shared = shared_storage<FinalistErrors>();
  if (threadIdx.x == 0) shared = {};
  __syncthreads();
  const Distribution& values = state->tables.values;
  const auto scale = detail::scale_of<C>(search.finalist[number], rule);
  const double amax = detail::largest_magnitude(state->tables);
  const double amax_reciprocal = 1.0 / amax;
  const double rounding_reciprocal =
      1.0 / scalar::rounding_unit(rule.quantizer.format, static_cast<double>(scale.scale), amax);
  FinalistErrors mine{};
  const unsigned block = blockIdx.x / kMaxFinalists;
  const int stride = static_cast<int>(gridDim.x / kMaxFinalists * blockDim.x);
  for (int i = static_cast<int>(block * blockDim.x + threadIdx.x); i < values.size; i += stride) {
    const double x = values.value[i];
    const auto y =
        scalar::fake_quantize_element(quantizer, static_cast<C>(x), scale.scale, scale.zero_point);
    const std::uint64_t term = scalar::squared_term(
        x - static_cast<double>(y.value), y.clipped ? amax_reciprocal : rounding_reciprocal);
    const std::uint64_t n = values.count(i);
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

/// One thread: the first finalist of least error, and its scale.
template <typename C>
__global__ void choose_finalist_kernel(const CalibrationState* state, RangeRule rule,
                                       double clipping_weight, ScaleOutput output) {
  const CalibrationSearch& search = state->search;
  const CalibrationTables& tables = state->tables;
  Range best = search.finalist[0];
  if (search.num_finalists > 1) {
    const double amax = detail::largest_magnitude(tables);
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
  store_scale(output, 0, detail::scale_of<C>(best, rule));
}

}  // namespace cuqat::gpu
