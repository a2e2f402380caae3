// Distributions of the scales of one tensor, filled batch by batch; shared by the collector and by
// calibration from the data.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "calibration/distribution.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::calibration {

/// Values and statistics of every scale. Granularity: tensor or channel.
class Accumulator {
 public:
  Accumulator(DType dtype, const Granularity& granularity);

  /// Adds a batch. @throws InvalidArgument for another dtype or number of channels; nothing is
  /// changed then.
  void observe(ConstTensorView batch, const HostOptions& options);
  /// `other` is settled and of the same granularity. @throws InvalidArgument where dtype or number
  /// of channels differ.
  void merge(const Accumulator& other);
  /// Makes room for this many scales, which were none or as many before.
  void resize(std::size_t num_scales);
  /// Merges what waits into `values`; to be called before they or `overflowed` are read.
  void settle();

  DType dtype;
  Granularity granularity;
  /// One for each scale; empty before the first batch of a channel granularity.
  std::vector<Statistics> statistics;
  std::vector<Distribution> values;
  /// True once there were more than kMaxExactValues distinct f32 or f64 values: they are coarsened.
  bool overflowed = false;

 private:
  void observe_tensor(ConstTensorView batch, const HostOptions& options);
  void observe_channels(ConstTensorView batch, const HostOptions& options);
  void add(std::size_t scale, Distribution part);
  void settle_when_due(std::size_t num_added);
  void check_size();

  /// Small parts wait, merged among themselves into parts of growing size: merging each into
  /// `values` at once would cost the square of the number of batches.
  std::vector<std::vector<Distribution>> waiting_;
  std::size_t num_waiting_ = 0;  ///< Values added since the last settling.
};

/// Number of elements that one gathering step takes: it bounds the memory of an observation. The
/// first step may be larger: there is nothing yet to merge with.
inline constexpr std::int64_t kGatherChunk = std::int64_t{1} << 18;
inline constexpr std::int64_t kFirstGatherChunk = std::int64_t{1} << 20;

/// Elements of one scale as a distribution. `index` is the scale's among the batch's.
Distribution distribution_of_scale(ConstTensorView batch, const Granularity& granularity,
                                   std::int64_t index);

}  // namespace cuqat::calibration
