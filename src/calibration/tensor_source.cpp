#include "calibration/source.hpp"

namespace cuqat::calibration {
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

QuantizationError TensorSource::sum_errors(const QuantParams& params) const {
  const double amax = statistics().amax();
  QuantizationError result;
  for (const ConstTensorView& batch : batches_) {
    result.merge(quantization_error(batch, params, std::span(&amax, 1), options_).front());
  }
  return result;
}

}  // namespace cuqat::calibration
