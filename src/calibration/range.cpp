// From ranges to scales, the names of the methods, and the two running observers.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "cuqat/calibration.hpp"
#include "cuqat/scalar/rounding.hpp"

namespace cuqat {
namespace {

/// The largest scale with which `steps` steps from the zero point are still a finite number.
template <typename C>
C largest_finite_scale(C steps) {
  const C scale = std::numeric_limits<C>::max() / steps;
  return std::isfinite(scale * steps) ? scale : std::nextafter(scale, C{0});
}

template <typename C>
ScaleZeroPoint symmetric_scale(Range range, const Quantizer& quantizer) {
  const C amax = static_cast<C>(std::max(std::abs(range.low), std::abs(range.high)));
  if (amax == C{0}) return {};
  const C largest = static_cast<C>(qmax(quantizer));
  const C scale = std::max(amax / largest, std::numeric_limits<C>::min());
  const C steps = std::max(largest, static_cast<C>(-qmin(quantizer)));
  return {static_cast<double>(std::min(scale, largest_finite_scale(steps))), 0};
}

template <typename C>
ScaleZeroPoint affine_scale(Range range, const Quantizer& quantizer) {
  const C low = std::min(static_cast<C>(range.low), C{0});
  const C high = std::max(static_cast<C>(range.high), C{0});
  if (low == C{0} && high == C{0}) return {};
  const C least = static_cast<C>(qmin(quantizer));
  const C largest = static_cast<C>(qmax(quantizer));
  const C width = high - low;
  // A range wider than the largest number still has a finite step.
  C scale = std::isfinite(width) ? width / (largest - least)
                                 : high / (largest - least) - low / (largest - least);
  scale = std::max(scale, std::numeric_limits<C>::min());
  const C zero = scalar::clamp(scalar::round_half_even(least - low / scale), least, largest);
  // Near the ends of C the rounded zero point can put a code past them.
  scale = std::min(scale, largest_finite_scale(std::max(largest - zero, zero - least)));
  return {static_cast<double>(scale), static_cast<std::int32_t>(zero)};
}

template <typename C>
ScaleZeroPoint scale_in(Range range, const Quantizer& quantizer, bool symmetric) {
  return symmetric ? symmetric_scale<C>(range, quantizer) : affine_scale<C>(range, quantizer);
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

namespace {

/// average + momentum * (value - average); the last form where the difference is past f64.
double moved_average(double average, double value, double momentum) {
  if (momentum == 1.0) return value;
  const double moved = average + momentum * (value - average);
  return std::isfinite(moved) ? moved : average * (1.0 - momentum) + value * momentum;
}

}  // namespace

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
  const Range moved{moved_average(range_.low, batch.min, momentum_),
                    moved_average(range_.high, batch.max, momentum_)};
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
