// The JSON of `cuqat calibrate`, written tensor by tensor.
#pragma once

#include "cli/output.hpp"
#include "cli/report.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::cli {

/// Writes the document in its documented order. Every number reads back as the same bits; what is
/// not finite is null.
class CalibrationJson {
 public:
  CalibrationJson(Output& output, const CalibrationOptions& common, const Granularity& granularity);
  void add(const TensorReport& report);
  void finish();

 private:
  void add_result(const CalibrationResult& result);

  Output& output_;
  bool has_tensors_ = false;
};

}  // namespace cuqat::cli
