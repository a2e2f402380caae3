// From ranges and statistics in device memory to scales and zero points there, directly or through
// the state of a running observer. The host does the same in src/calibration/range.cpp.
//
// A thread owns a scale. There are few of them: bound by the latency of the launch.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/device_observers.hpp"
#include "cuqat/scalar/moving_average.hpp"
#include "cuqat/scalar/range_to_scale.hpp"
#include "cuqat/statistics.hpp"
#include "for_each_index.cuh"
#include "scale_output.cuh"

namespace cuqat::gpu {

/// The scale of a range in f64; its ends are bounded by the largest number of C.
template <typename C>
__device__ inline void write_scale(double low, double high, const RangeRule& rule,
                                   const ScaleOutput& output, std::int64_t index) {
  constexpr double kMax = static_cast<double>(scalar::from_bits(scalar::FloatTraits<C>::kLargest));
  const C least = static_cast<C>(low < -kMax ? -kMax : low);
  const C largest = static_cast<C>(high > kMax ? kMax : high);
  store_scale(output, index,
              scalar::range_to_scale(least, largest, rule.quantizer, rule.symmetric));
  store_range(output, index, {low, high});
}

template <typename C>
__global__ void range_scales_kernel(std::int64_t n, const Range* ranges, RangeRule rule,
                                    ScaleOutput output) {
  for_each_index(
      n, [&](std::int64_t i) { write_scale<C>(ranges[i].low, ranges[i].high, rule, output, i); });
}

template <typename C>
__global__ void minmax_scales_kernel(std::int64_t n, const Statistics* batch, RangeRule rule,
                                     ScaleOutput output) {
  for_each_index(n, [&](std::int64_t i) {
    const bool any = batch[i].finite() > 0;
    write_scale<C>(any ? batch[i].min : 0.0, any ? batch[i].max : 0.0, rule, output, i);
  });
}

template <typename C>
__global__ void moving_average_kernel(std::int64_t n, const Statistics* batch, double momentum,
                                      MovingAverageState* state, RangeRule rule,
                                      ScaleOutput output) {
  for_each_index(n, [&](std::int64_t i) {
    MovingAverageState average = state[i];
    if (batch[i].finite() > 0) {
      double low = batch[i].min;
      double high = batch[i].max;
      if (average.num_batches > 0) {
        low = scalar::moved_average(average.low, low, momentum);
        high = scalar::moved_average(average.high, high, momentum);
      }
      // Rounding may carry ends that lie together past each other.
      average = {low < high ? low : high, low < high ? high : low, average.num_batches + 1};
      state[i] = average;
    }
    write_scale<C>(average.low, average.high, rule, output, i);
  });
}

/// history[step % length][scale].
template <typename C>
__global__ void amax_history_kernel(std::int64_t n, const Statistics* batch, double* history,
                                    std::int64_t length, std::int64_t* num_steps, double widening,
                                    Quantizer quantizer, ScaleOutput output) {
  for_each_index(n, [&](std::int64_t i) {
    const double amax = batch[i].amax();
    const std::int64_t slot = num_steps[i] % length;
    double largest = amax;
    for (std::int64_t step = 0; step < length; ++step) {
      const double past = history[step * n + i];
      if (step != slot && past > largest) largest = past;
    }
    history[slot * n + i] = amax;
    ++num_steps[i];
    const double widened = largest * widening;
    write_scale<C>(-widened, widened, {quantizer, true}, output, i);
  });
}

}  // namespace cuqat::gpu
