// From ranges to scales, the names of the methods, and the two running observers.
#include <algorithm>
#include <cmath>
#include <string>

#include "cuqat/calibration.hpp"
#include "cuqat/scalar/moving_average.hpp"
#include "cuqat/scalar/range_to_scale.hpp"
#include "host/enumerators.hpp"

namespace cuqat {
namespace {

template <typename C>
ScaleZeroPoint scale_in(Range range, const Quantizer& quantizer, bool symmetric) {
  const auto chosen = scalar::range_to_scale(static_cast<C>(range.low), static_cast<C>(range.high),
                                             quantizer, symmetric);
  return {static_cast<double>(chosen.scale), chosen.zero_point};
}

}  // namespace

std::string_view to_string(CalibMethod method) noexcept {
  switch (method) {
    case CalibMethod::kMinMax:
      return "minmax";
    case CalibMethod::kPercentile:
      return "percentile";
    case CalibMethod::kEntropy:
      return "entropy";
    case CalibMethod::kMse:
      return "mse";
    case CalibMethod::kSqnr:
      return "sqnr";
  }
  return "unknown";
}

std::string_view to_string(EntropyDialect dialect) noexcept {
  switch (dialect) {
    case EntropyDialect::kModelopt:
      return "modelopt";
    case EntropyDialect::kOnnxRuntime:
      return "onnxruntime";
    case EntropyDialect::kOriginal:
      return "original";
  }
  return "unknown";
}

ScaleZeroPoint range_to_scale(Range range, const Quantizer& quantizer, bool symmetric,
                              DType dtype) {
  detail::check_enumerator("quantizer.format", quantizer.format, Format::kE5M2);
  detail::check_enumerator("dtype", dtype, DType::kBF16);
  const auto is_finite = [dtype](double end) {
    return std::isfinite(dtype == DType::kF64 ? end : static_cast<double>(static_cast<float>(end)));
  };
  if (!is_finite(range.low) || !is_finite(range.high) || range.low > range.high) {
    throw InvalidArgument("range is [" + std::to_string(range.low) + ", " +
                          std::to_string(range.high) +
                          "]: it must be finite in the compute type and low <= high");
  }
  if (!symmetric && !is_integer(quantizer.format)) {
    throw InvalidArgument("symmetric is false with format " +
                          std::string(to_string(quantizer.format)) +
                          ": FP8 has no zero point, so its range must be symmetric");
  }
  return dtype == DType::kF64 ? scale_in<double>(range, quantizer, symmetric)
                              : scale_in<float>(range, quantizer, symmetric);
}

MovingAverageMinMax::MovingAverageMinMax(double momentum) : momentum_(momentum) {
  if (!(momentum > 0.0 && momentum <= 1.0)) {
    throw InvalidArgument("momentum is " + std::to_string(momentum) + ": it must be in (0, 1]");
  }
}

void MovingAverageMinMax::observe(ConstTensorView batch, const HostOptions& options) {
  observe(cuqat::statistics(batch, options));
}

void MovingAverageMinMax::observe(const Statistics& batch) {
  if (batch.finite() == 0) return;
  if (!started_) {
    range_ = {batch.min, batch.max};
    started_ = true;
    return;
  }
  const Range moved{scalar::moved_average(range_.low, batch.min, momentum_),
                    scalar::moved_average(range_.high, batch.max, momentum_)};
  // Rounding may carry ends that lie together past each other.
  range_ = {std::min(moved.low, moved.high), std::max(moved.low, moved.high)};
}

AmaxHistory::AmaxHistory(std::int64_t length) : length_(length) {
  if (length < 1) {
    throw InvalidArgument("length is " + std::to_string(length) + ": it must be at least 1");
  }
}

void AmaxHistory::observe(ConstTensorView batch, const HostOptions& options) {
  push(cuqat::statistics(batch, options).amax());
}

void AmaxHistory::push(double amax) {
  if (!(amax >= 0.0) || std::isinf(amax)) {
    throw InvalidArgument("amax is " + std::to_string(amax) +
                          ": it must be finite and not negative");
  }
  if (static_cast<std::int64_t>(history_.size()) == length_) history_.pop_front();
  history_.push_back(amax);
}

double AmaxHistory::amax() const noexcept {
  return history_.empty() ? 0.0 : *std::max_element(history_.begin(), history_.end());
}

double AmaxHistory::scale(const Quantizer& quantizer, DType dtype, int margin) const {
  const double widened = std::ldexp(amax(), margin);
  return range_to_scale({-widened, widened}, quantizer, true, dtype).scale;
}

}  // namespace cuqat
