// The page of `cuqat calibrate --html`: one file that needs no network and runs no script.
#pragma once

#include "cli/output.hpp"
#include "cli/report.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::cli {

/// Writes a section for each tensor: its histogram with the range of every method drawn in it, and
/// the table of what the ranges cost. The page is well-formed XML too.
class CalibrationHtml {
 public:
  CalibrationHtml(Output& output, const CalibrationOptions& common, const Granularity& granularity);
  void add(const TensorReport& report);
  void finish();

 private:
  void add_chart(const TensorReport& report);
  void add_table(const TensorReport& report);

  Output& output_;
};

}  // namespace cuqat::cli
