// Fake quantize, and the key histogram of what it reads: calibration within a training step.
//
// fake_quantize.cuh's packs in key_histogram.cuh's rounds. A block has a multiprocessor's shared
// memory for itself, and as many threads as leave each the registers that both take.
//
// Bytes moved: 2 sizeof(T) an element, and 1/8 for a mask; at the end 8 for each key of a window
// and block. Bound by memory, and by the rate of shared-memory atomics.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "fake_quantize.cuh"
#include "key_histogram.cuh"

namespace cuqat::gpu {

inline constexpr int kObservingThreads = 512;

/// clip_mask may be null. y is not x, which a block samples while others write.
template <typename Scales>
__global__ void __launch_bounds__(kObservingThreads)
    observe_fake_quantize_kernel(PackLayout layout, ScaleMap map,
                                 typename Scales::Quantizer quantizer, const void* x, void* y,
                                 std::uint8_t* clip_mask, WindowShape shape,
                                 unsigned long long* counts) {
  const Scales scales(quantizer, map);
  detail::BlockKeyCounts<typename Scales::Element> keys(shape, layout, x, counts);
  keys.for_each_round(shape, layout, [&](const PackSequence& sequence) {
    fake_quantize_packs<true, Scales::kInFlight>(layout, sequence, scales, x, y, clip_mask, keys);
  });
}

}  // namespace cuqat::gpu
