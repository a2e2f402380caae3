// The search for the strength of an equalization.
#include "calibration/equalization.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "cuqat/fake_quant.hpp"

namespace cuqat {
namespace {

/// A tensor of its own.
class Copy {
 public:
  explicit Copy(ConstTensorView like)
      : bytes_(like.size_bytes()), view_(bytes_.data(), like.dtype(), like.shape()) {}
  [[nodiscard]] const TensorView& view() const noexcept { return view_; }

 private:
  std::vector<std::byte> bytes_;
  TensorView view_;
};

/// What it costs to quantize an equalized layer.
class Layer {
 public:
  Layer(ConstTensorView x, ConstTensorView w, const EqualizationOptions& options,
        const HostOptions& host)
      : x_(x), w_(w), options_(options), host_(host), divided_(x), multiplied_(w) {}

  Equalization evaluate(double alpha, std::vector<double> factor) {
    divide_channels(x_, 1, factor, divided_.view(), host_);
    multiply_channels(w_, 1, factor, multiplied_.view(), host_);
    Equalization result;
    result.alpha = alpha;
    result.factor = std::move(factor);
    result.activation = calibrated(divided_, options_.activation, Granularity::tensor());
    result.weight = calibrated(multiplied_, options_.weight, Granularity::channel(0));
    fake_quantize(divided_.view(), result.activation.params, divided_.view(), {}, host_);
    fake_quantize(multiplied_.view(), result.weight.params, multiplied_.view(), {}, host_);
    result.output_error = output_error(x_, w_, divided_.view(), multiplied_.view(), host_);
    return result;
  }

 private:
  [[nodiscard]] CalibrationResult calibrated(const Copy& tensor, const CalibrationOptions& method,
                                             const Granularity& granularity) const {
    const ConstTensorView view = tensor.view();
    return std::move(
        calibrate(std::span(&view, 1), granularity, std::span(&method, 1), host_).front());
  }

  ConstTensorView x_;
  ConstTensorView w_;
  const EqualizationOptions& options_;
  const HostOptions& host_;
  Copy divided_;
  Copy multiplied_;
};

}  // namespace

namespace calibration {

void check_equalized(ConstTensorView x, ConstTensorView w) {
  const auto refuse = [](const std::string& what) { throw InvalidArgument(what); };
  if (x.shape().rank() != 2) refuse("x.shape() must be of rank 2, [rows, inputs]");
  if (w.shape().rank() != 2) refuse("w.shape() must be of rank 2, [outputs, inputs]");
  if (x.shape()[1] != w.shape()[1]) {
    refuse("w has " + std::to_string(w.shape()[1]) + " inputs; x has " +
           std::to_string(x.shape()[1]));
  }
  if (x.dtype() != w.dtype()) {
    refuse("w.dtype() is " + std::string(to_string(w.dtype())) + "; it must be x's, " +
           std::string(to_string(x.dtype())));
  }
}

std::vector<double> equalization_alphas(const EqualizationOptions& options) {
  std::vector<double> alphas = options.alphas;
  if (alphas.empty()) {
    for (int i = 0; i <= 20; ++i) alphas.push_back(i / 20.0);
  }
  for (const double alpha : alphas) static_cast<void>(equalization_factors({}, {}, alpha));
  std::ranges::sort(alphas);
  return alphas;
}

bool is_less_error(double error, double other) noexcept {
  return error < other || (std::isnan(other) && !std::isnan(error));
}

}  // namespace calibration

Equalization find_equalization(ConstTensorView x, ConstTensorView w,
                               const EqualizationOptions& options, const HostOptions& host) {
  calibration::check_equalized(x, w);
  const std::vector<double> alphas = calibration::equalization_alphas(options);
  const std::vector<Statistics> activations = statistics(x, Granularity::channel(1), host);
  const std::vector<Statistics> weights = statistics(w, Granularity::channel(1), host);
  Layer layer(x, w, options, host);
  const double unequalized =
      layer.evaluate(0.0, std::vector<double>(activations.size(), 1.0)).output_error;
  Equalization best;
  bool any = false;
  for (const double alpha : alphas) {
    Equalization candidate =
        layer.evaluate(alpha, equalization_factors(activations, weights, alpha));
    if (any && !calibration::is_less_error(candidate.output_error, best.output_error)) continue;
    any = true;
    best = std::move(candidate);
  }
  best.unequalized_error = unequalized;
  return best;
}

}  // namespace cuqat
