// One scale's answer by any method, from a Source; and the answers of all scales put together.
#pragma once

#include <span>
#include <vector>

#include "calibration/source.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::calibration {

/// What one scale gets and what it costs.
struct ScaleAnswer {
  Range range;
  ScaleZeroPoint params;
  QuantizationError error;
  double amax = 0.0;  ///< Unit of the error's clipping and signal.
  bool exact = true;
};

/// The quantizer that the options mean: symmetric integers have a narrow range.
Quantizer quantizer_of(const CalibrationOptions& options) noexcept;

/// @throws InvalidArgument for options that do not fit together.
void check(const CalibrationOptions& options);

/// One answer for each method.
std::vector<ScaleAnswer> answer(const Source& source, std::span<const CalibrationOptions> methods);

/// One result for each method; answers[s] are those of scale s.
std::vector<CalibrationResult> assemble(std::span<const CalibrationOptions> methods,
                                        const Granularity& granularity,
                                        std::span<const std::vector<ScaleAnswer>> answers);

}  // namespace cuqat::calibration
