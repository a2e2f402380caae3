#include "calibration/source.hpp"

#include <algorithm>

namespace cuqat::calibration {
namespace {

/// Bins of the search. An int8 step is more than 500 of them for any range worth choosing.
constexpr std::size_t kSearchBins = std::size_t{1} << 16;

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

const Distribution& Source::binned(OrderBy order) const {
  const bool magnitudes = order == OrderBy::kMagnitude;
  Distribution& cached = magnitudes ? binned_magnitudes_ : binned_values_;
  if (cached.size() == 0) {
    const BinRange range = magnitudes ? BinRange::kMagnitude : BinRange::kSigned;
    const std::size_t num_bins = magnitudes ? kSearchBins : 2 * kSearchBins;
    cached = distribution_of_bins(linear_histogram(range, num_bins), range, statistics_);
  }
  return cached;
}

}  // namespace cuqat::calibration
