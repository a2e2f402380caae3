// What the searches for an equalization's strength, on the host and on the device, have in common.
#pragma once

#include <vector>

#include "cuqat/equalization.hpp"
#include "cuqat/tensor_view.hpp"

namespace cuqat::calibration {

/// x [rows, inputs] and w [outputs, inputs], both of one dtype.
/// @throws InvalidArgument
void check_equalized(ConstTensorView x, ConstTensorView w);

/// The strengths to try, the least first.
/// @throws InvalidArgument for one outside [0, 1].
std::vector<double> equalization_alphas(const EqualizationOptions& options);

/// Whether an output error is less than another; NaN is the largest.
bool is_less_error(double error, double other) noexcept;

}  // namespace cuqat::calibration
