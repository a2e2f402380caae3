// Asking for calibrations, and comparing the answers.
#pragma once

#include <string>
#include <vector>

#include "calibration/samples.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::test {

/// "percentile e4m3 symmetric ...": for messages.
std::string name_of(const CalibrationOptions& options);

/// Every method and dialect, symmetric and affine; int8 unless another format is given. FP8 has
/// no affine ones.
std::vector<CalibrationOptions> all_methods(Format format = Format::kInt8);

CalibrationResult calibrate_one(ConstTensorView x, const CalibrationOptions& options,
                                const Granularity& granularity = {}, const HostOptions& host = {});
std::vector<CalibrationResult> calibrate_all(ConstTensorView x,
                                             const std::vector<CalibrationOptions>& methods,
                                             const Granularity& granularity = {},
                                             const HostOptions& host = {});

/// Every field, floating-point numbers by their bits.
void expect_same(const CalibrationResult& a, const CalibrationResult& b, const std::string& what);
void expect_same(const std::vector<CalibrationResult>& a, const std::vector<CalibrationResult>& b,
                 const std::string& what);

/// True where the scales are finite, positive and normal numbers of the compute type.
bool has_usable_scales(const CalibrationResult& result, DType dtype);

}  // namespace cuqat::test
