#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "cuqat/original.hpp"
#include "original/arithmetic.hpp"

namespace cuqat::original {
namespace {

constexpr std::size_t kHistogramBins = 256;
constexpr std::size_t kQuantizationLevels = 256;
constexpr std::size_t kMaxSamples = 100'000;
constexpr double kLeastScale = 1e-12;

/// The zero point belongs to the scale before it is raised to kLeastScale.
ScaleZeroPoint scale_of_range(double low, double high) {
  const double scale = (high - low) / 255.0;
  const std::int32_t low_code = saturate_to_int32(std::round(low / scale));
  return {std::max(scale, kLeastScale), wrapping_subtract(-128, low_code)};
}

/// The bins of p after a pass through kQuantizationLevels equal levels: each level's bins get its
/// mean mass. There are never more bins than levels, so most levels have one bin or none.
std::vector<double> quantize_histogram(std::span<const double> p) {
  const double bins_per_level =
      static_cast<double>(p.size()) / static_cast<double>(kQuantizationLevels);
  std::vector<double> mass(kQuantizationLevels, 0.0);
  std::vector<std::size_t> num_bins(kQuantizationLevels, 0);
  for (std::size_t bin = 0; bin < p.size(); ++bin) {
    const std::size_t level = std::min(saturate_to_size(static_cast<double>(bin) / bins_per_level),
                                       kQuantizationLevels - 1);
    mass[level] += p[bin];
    ++num_bins[level];
  }

  std::vector<double> q(p.size(), 0.0);
  for (std::size_t level = 0; level < kQuantizationLevels; ++level) {
    if (num_bins[level] == 0) continue;
    const double mean = mass[level] / static_cast<double>(num_bins[level]);
    const double first = std::floor(static_cast<double>(level) * bins_per_level);
    const double last = std::ceil(static_cast<double>(level + 1) * bins_per_level);
    const std::size_t end = std::min(saturate_to_size(last), p.size());
    for (std::size_t bin = saturate_to_size(first); bin < end; ++bin) q[bin] = mean;
  }
  return q;
}

/// Mean of KL(p || q) and KL(q || p).
double symmetric_kl_divergence(std::span<const double> p, std::span<const double> q) {
  constexpr double kEpsilon = 1e-12;
  double p_to_q = 0.0;
  double q_to_p = 0.0;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double pi = p[i] + kEpsilon;
    const double qi = q[i] + kEpsilon;
    p_to_q += pi * std::log(pi / qi);
    q_to_p += qi * std::log(qi / pi);
  }
  return 0.5 * (p_to_q + q_to_p);
}

/// Number of leading bins, at least half of them, with the least divergence; the first such.
std::size_t best_threshold(std::span<const double> p) {
  double least = std::numeric_limits<double>::infinity();
  std::size_t best = p.size();
  for (std::size_t bins = p.size() / 2; bins <= p.size(); ++bins) {
    const auto head = p.first(bins);
    const double divergence = symmetric_kl_divergence(head, quantize_histogram(head));
    if (divergence < least) {
      least = divergence;
      best = bins;
    }
  }
  return best;
}

}  // namespace

CalibrationCollector::CalibrationCollector()
    : min_val_(std::numeric_limits<double>::infinity()),
      max_val_(-std::numeric_limits<double>::infinity()),
      histogram_(kHistogramBins, 0.0) {}

void CalibrationCollector::observe(std::span<const double> tensor) {
  for (const double value : tensor) {
    if (!std::isfinite(value)) continue;
    // Of -0 and +0 the first one seen stays: they compare equal.
    if (value < min_val_) min_val_ = value;
    if (value > max_val_) max_val_ = value;
    ++n_elements_;
    if (samples_.size() < kMaxSamples) samples_.push_back(value);
  }
  rebuild_histogram();
}

void CalibrationCollector::rebuild_histogram() {
  if (min_val_ >= max_val_) return;
  std::fill(histogram_.begin(), histogram_.end(), 0.0);
  const double range = max_val_ - min_val_;
  for (const double value : samples_) {
    const double position = (value - min_val_) / range * static_cast<double>(kHistogramBins);
    histogram_[std::min(saturate_to_size(position), kHistogramBins - 1)] += 1.0;
  }
}

ScaleZeroPoint CalibrationCollector::min_max_scale() const {
  if (min_val_ >= max_val_) return {};
  return scale_of_range(min_val_, max_val_);
}

ScaleZeroPoint CalibrationCollector::percentile_scale(double p) const {
  if (samples_.empty()) return {};
  std::vector<double> sorted = samples_;
  std::sort(sorted.begin(), sorted.end());

  const double cut = (100.0 - clamp(p, 0.0, 100.0)) / 200.0;
  const auto n = static_cast<double>(sorted.size());
  const std::size_t last = sorted.size() - 1;
  const double low = sorted[std::min(saturate_to_size(std::floor(n * cut)), last)];
  const double high = sorted[std::min(saturate_to_size(std::ceil(n * (1.0 - cut))), last)];
  if (high <= low) return {};
  return scale_of_range(low, high);
}

ScaleZeroPoint CalibrationCollector::kl_divergence_scale() const {
  if (min_val_ >= max_val_) return {};
  const double total = std::accumulate(histogram_.begin(), histogram_.end(), 0.0);
  std::vector<double> share(histogram_.size());
  std::transform(histogram_.begin(), histogram_.end(), share.begin(),
                 [total](double count) { return count / total; });

  const auto threshold = static_cast<double>(best_threshold(share));
  const double high =
      min_val_ + (max_val_ - min_val_) * threshold / static_cast<double>(kHistogramBins);
  if (high <= min_val_) return {};
  return scale_of_range(min_val_, high);
}

void CalibrationDataset::push(std::vector<double> row) { data.push_back(std::move(row)); }

ScaleZeroPoint calibrate_layer(std::span<const std::vector<double>> layer_outputs,
                               CalibMethod method) {
  CalibrationCollector collector;
  for (const std::vector<double>& batch : layer_outputs) collector.observe(batch);
  switch (method) {
    case CalibMethod::kPercentile:
      return collector.percentile_scale(99.0);
    case CalibMethod::kKl:
      return collector.kl_divergence_scale();
    case CalibMethod::kMinMax:
      break;
  }
  return collector.min_max_scale();
}

std::vector<QuantizationSpec> calibrate_model(std::span<const LayerActivations> layers) {
  std::vector<QuantizationSpec> specs;
  specs.reserve(layers.size());
  for (const LayerActivations& layer : layers) {
    const auto [scale, zero_point] = calibrate_layer(layer.batches, CalibMethod::kKl);
    specs.push_back({layer.name, scale, zero_point, CalibMethod::kKl});
  }
  return specs;
}

}  // namespace cuqat::original
