// What a CalibrationCollector holds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "calibration/accumulator.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat {

struct CalibrationCollector::State {
  calibration::Accumulator accumulator;
  std::vector<std::int64_t> shape;  ///< Of everything observed; empty before the first batch.

  /// The granularity with its axis counted from the first, as it is for tensors of this rank.
  [[nodiscard]] Granularity granularity_for(std::size_t rank) const;
};

}  // namespace cuqat
