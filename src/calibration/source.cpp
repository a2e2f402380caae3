#include "calibration/source.hpp"

#include <algorithm>
#include <cmath>

#include "cuqat/scalar/clipping_search.hpp"

namespace cuqat::calibration {
namespace {

/// Bins as values at their middles; zeros stay zeros.
Distribution distribution_of_bins(std::span<const std::uint64_t> bins, BinRange range,
                                  const Statistics& statistics) {
  const auto half =
      static_cast<double>(range == BinRange::kMagnitude ? bins.size() : bins.size() / 2);
  const std::size_t zero_bin = range == BinRange::kMagnitude ? 0 : bins.size() / 2;
  const double low = range == BinRange::kMagnitude ? 0.0 : statistics.min;
  const double high = range == BinRange::kMagnitude ? statistics.amax() : statistics.max;
  Distribution result;
  for (std::size_t i = 0; i < bins.size(); ++i) {
    std::uint64_t count = bins[i];
    if (i == zero_bin && statistics.zeros > 0) {
      result.values.push_back(0.0);
      result.counts.push_back(static_cast<std::uint64_t>(statistics.zeros));
      count -= static_cast<std::uint64_t>(statistics.zeros);
    }
    if (count == 0) continue;
    const double offset = static_cast<double>(i) - static_cast<double>(zero_bin) + 0.5;
    const double middle = offset / half * statistics.amax();
    result.values.push_back(std::clamp(middle, low, high));
    result.counts.push_back(count);
  }
  // The extremes are known: the search's ranges are shares of them.
  if (range == BinRange::kSigned) result.values.front() = low;
  result.values.back() = high;
  return result;
}

}  // namespace

QuantizationError Source::error(const Quantizer& quantizer, ScaleZeroPoint params) const {
  for (const KnownError& known : known_errors_) {
    if (known.quantizer == quantizer && known.params == params) return known.error;
  }
  QuantParams one;
  one.quantizer = quantizer;
  one.scale = {params.scale};
  one.zero_point = {params.zero_point};
  return known_errors_.emplace_back(KnownError{quantizer, params, sum_errors(one)}).error;
}

Distribution Source::equal_bins(OrderBy order) const {
  const bool magnitudes = order == OrderBy::kMagnitude;
  const BinRange range = magnitudes ? BinRange::kMagnitude : BinRange::kSigned;
  const auto num_bins = static_cast<std::size_t>(scalar::kSearchBins) * (magnitudes ? 1 : 2);
  return distribution_of_bins(linear_histogram(range, num_bins), range, statistics_);
}

Distribution Source::relative_bins() const {
  const double amax = statistics_.amax();
  const int exponent =
      dtype_ == DType::kF32 && amax >= scalar::kLeastRelativeAmax ? 0 : std::ilogb(amax);
  const std::vector<std::uint64_t> keys = key_histogram(exponent);
  Distribution bins = folded(coarsened_f32_keys(std::span<const std::uint64_t, kNumKeys>(keys)));
  for (double& value : bins.values) value = std::min(std::ldexp(value, exponent), amax);
  bins.values.back() = amax;  // the search's ranges are shares of it
  return bins;
}

const Distribution& Source::search_values(OrderBy order, Format format) const {
  if (const Distribution* const all = distinct_values(order)) return *all;
  const bool relative = !is_integer(format) && order == OrderBy::kMagnitude;
  Distribution& cached = relative                       ? relative_magnitudes_
                         : order == OrderBy::kMagnitude ? binned_magnitudes_
                                                        : binned_values_;
  if (cached.size() == 0) cached = relative ? relative_bins() : equal_bins(order);
  return cached;
}

RelativeKey::RelativeKey(int exponent)
    : first_(std::ldexp(1.0, -exponent / 2)), second_(std::ldexp(1.0, -exponent - -exponent / 2)) {}

float RelativeKey::operator()(double value) const noexcept {
  return static_cast<float>(value * first_ * second_);
}

}  // namespace cuqat::calibration
