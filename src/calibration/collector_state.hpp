// What a CalibrationCollector holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "calibration/accumulator.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat {

struct CalibrationCollector::State {
  calibration::Accumulator accumulator;
  /// Of everything observed, a scalar's without extents; none before the first batch.
  std::optional<std::vector<std::int64_t>> shape;

  /// The granularity with its axis counted from the first, as it is for tensors of this rank.
  [[nodiscard]] Granularity granularity_for(std::size_t rank) const;
};

}  // namespace cuqat
