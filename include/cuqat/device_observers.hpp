// Scales and zero points from what is in device memory: ranges, the statistics of a batch alone, a
// moving average of them, or the largest magnitudes of past steps. None of it visits the host.
//
// All functions put one kernel on the stream: they do not wait or allocate, and can be captured in
// a CUDA graph. State is plain device memory of the caller's, zero bytes before the first batch.
// What is written may not overlap anything else.
#pragma once

#include <cstdint>

#include "cuqat/device_context.hpp"
#include "cuqat/format.hpp"
#include "cuqat/percentile.hpp"
#include "cuqat/statistics.hpp"
#include "cuqat/stream.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat {

/// Where scales that are found on the device go; DeviceQuantParams takes them from there.
struct DeviceScales {
  /// One entry for each scale, in any shape: f64 for f64 tensors, f32 for all others.
  DeviceTensorView scale;
  /// As many, or none where all are zero (symmetric).
  DeviceSpan<std::int32_t> zero_point;
};

/// Min-max: the scale of each entry's own range, as range_to_scale gives it in the dtype of
/// `scales`; [0, 0] where an entry has no finite element. Ends past the largest number of that
/// dtype (statistics of f64 data, f32 scales) count as that number, where the host refuses them.
/// Shape:  batch one Statistics for each scale.
/// Values: as CalibMethod::kMinMax of what the statistics are of.
/// Order:  on the stream.
/// Agrees: bit for bit with CalibMethod::kMinMax.
/// @throws InvalidArgument for sizes that differ, no zero points where the range is affine, affine
///         FP8, a pointer that the device cannot use; CudaError where the launch fails.
void minmax_scales(DeviceSpan<const Statistics> batch, const Quantizer& quantizer, bool symmetric,
                   const DeviceScales& scales, const DeviceContext& context, StreamRef stream);

/// The scale of each range: of percentile_ranges, say.
/// Shape:  ranges one for each scale, low <= high, 8-byte aligned.
/// Values: as range_to_scale in the dtype of `scales`; ends as minmax_scales.
/// Order:  on the stream.
/// Agrees: bit for bit with the host.
/// @throws as minmax_scales.
void range_scales(DeviceSpan<const Range> ranges, const Quantizer& quantizer, bool symmetric,
                  const DeviceScales& scales, const DeviceContext& context, StreamRef stream);

/// A MovingAverageMinMax in device memory. Zero bytes: no batch yet.
struct MovingAverageState {
  double low = 0.0;
  double high = 0.0;
  std::int64_t num_batches = 0;  ///< Those with a finite element.
};

/// Moves each average by one batch, and gives the scales of the averages.
/// Shape:  batch and state one entry for each scale.
/// Values: as MovingAverageMinMax and range_to_scale; ends as minmax_scales.
/// Order:  on the stream.
/// Agrees: bit for bit with the host.
/// @throws as minmax_scales, and for a momentum outside (0, 1].
void update_moving_average(DeviceSpan<const Statistics> batch, double momentum,
                           DeviceSpan<MovingAverageState> state, const Quantizer& quantizer,
                           bool symmetric, const DeviceScales& scales, const DeviceContext& context,
                           StreamRef stream);

/// An AmaxHistory for each scale in device memory. Zero bytes: no step yet.
struct DeviceAmaxHistory {
  DeviceSpan<double> amax;             ///< [length, number of scales], row-major.
  DeviceSpan<std::int64_t> num_steps;  ///< One for each scale.
};

/// Delayed scaling: adds the batch's largest magnitudes, and gives the symmetric scales of the
/// largest in each history.
/// Shape:  batch one entry for each scale; history.amax a whole number of rows, at least one.
/// Values: as AmaxHistory::push and AmaxHistory::scale. amax * 2^margin past the largest number
///         counts as that one, where the host refuses it.
/// Order:  on the stream.
/// Agrees: bit for bit with the host.
/// @throws as minmax_scales, and for a margin outside [-1000, 1000].
void update_amax_history(DeviceSpan<const Statistics> batch, const DeviceAmaxHistory& history,
                         const Quantizer& quantizer, int margin, const DeviceScales& scales,
                         const DeviceContext& context, StreamRef stream);

}  // namespace cuqat
