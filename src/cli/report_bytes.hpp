// Reports as bytes, from one rank to another of the same program.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cli/report.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::cli {

/// What one rank knows of a tensor.
struct RankReport {
  std::size_t tensor = 0;        ///< Its place among the names.
  TensorReport report;           ///< Without the name.
  std::vector<std::byte> state;  ///< Where it is wanted.
};

/// Appends a report.
void append(const RankReport& report, std::vector<std::byte>& bytes);

/// All that were appended. The methods and the granularity are those of every report.
std::vector<RankReport> reports_of(std::span<const std::byte> bytes,
                                   std::span<const CalibrationOptions> methods);

}  // namespace cuqat::cli
