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
  return result;
}

}  // namespace

void merge_errors(QuantizationError& sum, const QuantizationError& part) {
  sum.count += part.count;
  sum.clipped += part.clipped;
  sum.rounding.merge(part.rounding);
  sum.clipping.merge(part.clipping);
  sum.signal.merge(part.signal);
}

TensorSource::TensorSource(std::span<const ConstTensorView> batches, const Statistics& statistics,
                           const HostOptions& options)
    : Source(batches.front().dtype(), statistics), batches_(batches), options_(options) {}

std::vector<double> TensorSource::order_statistics(OrderBy order,
                                                   std::span<const std::int64_t> ranks) const {
  return cuqat::order_statistics(batches_, order, ranks, options_);
}

std::vector<std::uint64_t> TensorSource::linear_histogram(BinRange range,
                                                          std::size_t num_bins) const {
  std::vector<std::uint64_t> bins(num_bins);
  for (const ConstTensorView& batch : batches_) {
    accumulate_linear_histogram(batch, statistics().amax(), range, bins, options_);
  }
  return bins;
}

QuantizationError error_of_tensors(std::span<const ConstTensorView> batches,
                                   const Quantizer& quantizer, ScaleZeroPoint params, double amax,
                                   const HostOptions& options) {
  QuantParams one;
  one.quantizer = quantizer;
  one.scale = {params.scale};
  one.zero_point = {params.zero_point};
  QuantizationError result;
  for (const ConstTensorView& batch : batches) {
    merge_errors(result, quantization_error(batch, one, std::span(&amax, 1), options).front());
  }
  return result;
}

QuantizationError TensorSource::error(const Quantizer& quantizer, ScaleZeroPoint params) const {
  return error_of_tensors(batches_, quantizer, params, statistics().amax(), options_);
}

const Distribution& TensorSource::search_values(OrderBy order) const {
  const BinRange range = order == OrderBy::kMagnitude ? BinRange::kMagnitude : BinRange::kSigned;
  const std::size_t num_bins = range == BinRange::kMagnitude ? kSearchBins : 2 * kSearchBins;
  Distribution& cached = order == OrderBy::kMagnitude ? magnitudes_ : signed_values_;
  if (cached.size() == 0) {
    cached = distribution_of_bins(linear_histogram(range, num_bins), range, statistics());
  }
  return cached;
}

}  // namespace cuqat::calibration
