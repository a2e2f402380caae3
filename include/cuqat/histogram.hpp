// Exact histograms: by bit pattern (65 536 keys) and in equal bins.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "cuqat/backend.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Keys of a pattern histogram. A bf16 or f16 element's key is its bit pattern, so the histogram
/// is the tensor's exact distribution. An f32 element's key is the upper 16 bits of its pattern.
inline constexpr std::size_t kNumKeys = 65'536;

/// Adds the tensor's keys to `counts`. Every element is counted, zeros, NaN and infinities too: the
/// counts grow by exactly x.count() in all. Merging histograms is adding them.
/// Shape:  x of dtype bf16, f16 or f32, any shape.
/// Order:  runs on the calling thread and options.num_threads - 1 helpers; returns when done.
/// Agrees: bit for bit on every backend.
/// @throws InvalidArgument for f64: 16 bits of it are no useful distribution.
void accumulate_key_histogram(ConstTensorView x, std::span<std::uint64_t, kNumKeys> counts,
                              const HostOptions& options = {});

/// What the bins of a linear histogram divide.
enum class BinRange : std::uint8_t {
  kMagnitude,  ///< |x| over [0, amax].
  kSigned      ///< x over [-amax, amax].
};

/// Adds the finite elements with |x| <= amax to counts.size() equal bins. Bin i is
/// [edge(i), edge(i + 1)); the last bin includes its upper edge. The edges are exact real numbers:
/// no element is counted in a neighbour of its bin.
/// Shape:  counts.size() at least 1 and at most 2^24, for kSigned an even number.
/// Values: NaN, infinities and magnitudes over amax are not counted. -0 is 0.
/// Order:  as accumulate_key_histogram.
/// Agrees: bit for bit on every backend. For f64 tensors the position that picks the bin is rounded
///         twice (docs/numerics.md), so an element within 2^-52 (relative) of an edge may be
///         counted on its other side.
/// @throws InvalidArgument for an amax that is not positive and finite, or a count of bins as
/// above.
void accumulate_linear_histogram(ConstTensorView x, double amax, BinRange range,
                                 std::span<std::uint64_t> counts, const HostOptions& options = {});

}  // namespace cuqat
