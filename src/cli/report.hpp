// What a calibration found out about a tensor, as JSON and table take it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/table.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::cli {

struct TensorReport {
  std::string name;
  DType dtype = DType::kF32;
  std::vector<std::int64_t> shape;
  Statistics statistics;
  /// Where a page is wanted: finite elements in kHistogramBins equal bins over +-amax; empty where
  /// amax is 0.
  std::vector<std::uint64_t> histogram;
  std::vector<CalibrationResult> results;
};

inline constexpr std::size_t kHistogramBins = 160;

/// A result as text for people: method, scale, zero point, range, clipped share, SQNR.
std::vector<std::string> result_cells(const CalibrationResult& result);

/// "percentile:99.99"; other methods are their name.
std::string result_label(const CalibrationOptions& options);

/// The table of `cuqat calibrate`, without rows.
Table calibration_table();

/// One row for each result; the best SQNR of several is emphasized.
void add_rows(const TensorReport& report, Table& table);

}  // namespace cuqat::cli
