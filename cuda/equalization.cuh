// Channels divided or multiplied by their factors, and the factors from statistics.
//
// A thread takes packs of eight elements, and reads their factors through the caches: one a pack
// where the pack shares one, else one an element.
//
// Bytes moved an element: 2 sizeof(T). Bound by memory; the division is one instruction in ten.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "cuqat/scalar/equalization_factor.hpp"
#include "cuqat/scalar/half.hpp"
#include "cuqat/statistics.hpp"
#include "for_each_index.cuh"
#include "for_each_pack.cuh"

namespace cuqat::gpu {

template <typename T, bool kDivides>
__global__ void scale_elements_kernel(PackLayout layout, ScaleMap map, const void* x, void* y) {
  using C = scalar::ComputeType<T>;
  const auto body = [&](const auto& place, const Pack<T>& pack, std::int64_t) {
    Pack<T> result{};
    for_each_scaled<C>(place, map, [&](int i, C factor, std::int32_t) {
      const C value = scalar::load_compute(pack.element[i]);
      const C scaled = kDivides ? value / factor : value * factor;
      result.element[i] =
          scalar::store_compute<T>(scalar::is_nan(scaled) ? scalar::quiet_nan<C>() : scaled);
    });
    store_pack(y, place, result);
  };
  for_each_pack<kPacksInFlight<T>>(
      layout, layout.moves_words<T>(x) && layout.moves_words<T>(y),
      PackSequence::of_grid(layout.num_packs),
      [&](const auto& place) { return load_pack<T>(x, place); }, body);
}

/// A thread for each channel.
template <typename C>
__global__ void equalization_factors_kernel(std::int64_t n, const Statistics* activations,
                                            const Statistics* weights, double alpha, C* factors) {
  for_each_index(n, [&](std::int64_t i) {
    factors[i] = C{scalar::equalization_factor(activations[i].amax(), weights[i].amax(), alpha)};
  });
}

}  // namespace cuqat::gpu
