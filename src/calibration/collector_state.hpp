// What a CalibrationCollector holds.
#pragma once

#include <cstdint>
#include <vector>

#include "calibration/accumulator.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat {

struct CalibrationCollector::State {
  calibration::Accumulator accumulator;
  std::vector<std::int64_t> shape;  ///< Of everything observed; empty before the first batch.

  /// The same granularity; where ranks are known, also with an axis counted from the last.
  [[nodiscard]] bool has_granularity_of(const State& other) const;
};

}  // namespace cuqat
