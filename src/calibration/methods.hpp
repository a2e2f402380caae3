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

/// @throws InvalidArgument for options that do not fit together.
void check(const CalibrationOptions& options);

/// The range that a scale is made of, where this one was chosen: about 0, or with it.
Range widened(const Range& chosen, bool symmetric) noexcept;

/// One answer for each method.
std::vector<ScaleAnswer> answer(const Source& source, std::span<const CalibrationOptions> methods);

/// The answers of all scales put together, one scale after the other.
class Assembly {
 public:
  /// largest_amax: the largest of all scales' amax.
  Assembly(std::span<const CalibrationOptions> methods, const Granularity& granularity,
           double largest_amax);
  /// The next scale's answers, one for each method.
  void add(std::span<const ScaleAnswer> answers);
  /// One result for each method. Ends the assembly.
  std::vector<CalibrationResult> finish();

 private:
  /// Errors and signal in units of largest_amax_^2, which no square exceeds by much.
  struct Sums {
    std::int64_t count = 0;
    std::int64_t clipped = 0;
    double error = 0.0;
    double signal = 0.0;
  };
  double largest_amax_;
  std::vector<CalibrationResult> results_;
  std::vector<Sums> sums_;
};

}  // namespace cuqat::calibration
