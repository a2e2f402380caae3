// The system that cuqat grew out of, frozen: every function gives the original's answer to the last
// bit, defects included. It exists to compare with; docs/deviations.md lists what the rest of cuqat
// does differently, and why.
//
// All of it is f64 and runs on the calling thread. Integers wrap and casts from floating point
// saturate (NaN gives 0), as they did in the original.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "cuqat/error.hpp"

namespace cuqat::original {

enum class QuantBits : std::uint8_t { kInt4, kInt8, kFp8 };

struct QatConfig {
  QuantBits bits = QuantBits::kInt8;
  bool per_channel = false;  ///< Read by nothing.
  bool symmetric = true;     ///< Read by nothing.
};

struct ScaleZeroPoint {
  double scale = 1.0;
  std::int32_t zero_point = 0;
  friend constexpr bool operator==(ScaleZeroPoint, ScaleZeroPoint) = default;
};

/// (clamp(round(x / scale + zero_point), -128, 127) - zero_point) * scale, ties away from zero.
/// Values: x itself where the scale is 0. A NaN quotient has code 0.
double quantize_int8(double x, double scale, std::int32_t zero_point);

/// As quantize_int8, with codes in [-8, 7].
double quantize_int4(double x, double scale, std::int32_t zero_point);

/// E4M3, saturating at 448, ties away from zero; a mantissa that would round up to the next power
/// of two stays at 7 eighths instead.
/// Values: +0 for -0 and for NaN.
double quantize_fp8(double x);

/// Collects a histogram, the extremes, and the first 100 000 finite elements.
class CalibrationCollector {
 public:
  CalibrationCollector();

  /// NaN and infinities are skipped.
  void observe(std::span<const double> tensor);

  /// (1, 0) where no two different values have been observed; the same holds for the others.
  [[nodiscard]] ScaleZeroPoint min_max_scale() const;
  /// Range between two order statistics of the kept samples, (100 - p) / 2 percent from either end.
  /// Values: p is clamped to [0, 100]; NaN gives (1, 0).
  [[nodiscard]] ScaleZeroPoint percentile_scale(double p) const;
  /// Range of least KL divergence, which is the lower half of the observed range for all data.
  [[nodiscard]] ScaleZeroPoint kl_divergence_scale() const;

  /// +infinity before the first finite element.
  [[nodiscard]] double min_val() const noexcept { return min_val_; }
  /// -infinity before the first finite element.
  [[nodiscard]] double max_val() const noexcept { return max_val_; }
  /// 256 counts of the kept samples over [min_val, max_val]; all 0 while those are equal.
  [[nodiscard]] std::span<const double> histogram() const noexcept { return histogram_; }
  /// Finite elements observed.
  [[nodiscard]] std::size_t n_elements() const noexcept { return n_elements_; }
  /// Finite elements kept.
  [[nodiscard]] std::size_t n_samples() const noexcept { return samples_.size(); }

 private:
  void rebuild_histogram();

  double min_val_;
  double max_val_;
  std::vector<double> histogram_;
  std::size_t n_elements_ = 0;
  std::vector<double> samples_;
};

/// A linear layer, y = W x + b, with fake quantization.
struct QatLayer {
  /// Weights from a fixed generator, all of them negative (see docs/deviations.md); bias 0.
  QatLayer(std::size_t in_features, std::size_t out_features, const QatConfig& config = {});

  /// Min-max scales of the weights and, unless it is empty, of `activations`.
  void calibrate_from_data(std::span<const double> activations);

  /// One input row, weights and activations fake-quantized as config.bits says.
  /// @throws InvalidArgument for an input that has not in_features elements, for weights or a bias
  ///         too short for the features (there the original panicked).
  [[nodiscard]] std::vector<double> forward_train(std::span<const double> x) const;

  /// One input row in int8 codes and an int64 accumulator, whatever config.bits says.
  /// @throws InvalidArgument as forward_train.
  [[nodiscard]] std::vector<double> forward_infer(std::span<const double> x) const;

  std::vector<double> weights;  ///< Row-major, [out_features, in_features].
  std::vector<double> bias;     ///< [out_features]
  std::size_t in_features;
  std::size_t out_features;
  double weight_scale = 1.0 / 127.0;
  std::int32_t weight_zero_point = 0;
  double activation_scale = 1.0 / 127.0;
  std::int32_t activation_zero_point = 0;
  QatConfig config;
};

struct QuantizedWeights {
  std::vector<std::int8_t> codes;
  double scale = 1.0;
  std::int32_t zero_point = 0;
};

/// Min-max scale of all weights, and a code for each: in [-8, 7] for int4, else in [-128, 127].
QuantizedWeights quantize_model_weights(std::span<const double> weights, const QatConfig& config);

/// (code - zero_point) * scale for each code.
std::vector<double> dequantize_weights(std::span<const std::int8_t> codes, double scale,
                                       std::int32_t zero_point);

enum class CalibMethod : std::uint8_t { kMinMax, kPercentile, kKl };

struct QuantizationSpec {
  std::string layer_name;
  double scale = 1.0;
  std::int32_t zero_point = 0;
  CalibMethod method = CalibMethod::kKl;
};

/// Rows to calibrate with.
struct CalibrationDataset {
  std::vector<std::vector<double>> data;
  void push(std::vector<double> row);
};

/// Observes every batch and answers with one method; kPercentile is percentile_scale(99).
ScaleZeroPoint calibrate_layer(std::span<const std::vector<double>> layer_outputs,
                               CalibMethod method);

/// Batches of one named layer.
struct LayerActivations {
  std::string name;
  std::vector<std::vector<double>> batches;
};

/// calibrate_layer with kKl for each layer, in the order given.
std::vector<QuantizationSpec> calibrate_model(std::span<const LayerActivations> layers);

}  // namespace cuqat::original
