#include "calibration/source.hpp"

#include <algorithm>

#include "calibration/accumulator.hpp"

namespace cuqat::calibration {
namespace {

template <typename Number>
void add_relative_keys(ConstTensorView batch, int exponent,
                       std::span<std::uint64_t, kNumKeys> counts, const HostOptions& options) {
  const RelativeKey relative(exponent);
  std::vector<Number> numbers;
  std::vector<float> keys;
  for (std::int64_t begin = 0; begin < batch.count(); begin += kGatherChunk) {
    numbers.clear();
    append_finite(batch, begin, std::min(kGatherChunk, batch.count() - begin), numbers);
    keys.resize(numbers.size());
    std::transform(numbers.begin(), numbers.end(), keys.begin(),
                   [&](Number number) { return relative(static_cast<double>(number)); });
    accumulate_key_histogram(keys, counts, options);
  }
}

}  // namespace

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

std::vector<std::uint64_t> TensorSource::key_histogram(int exponent) const {
  std::vector<std::uint64_t> keys(kNumKeys);
  const auto counts = std::span<std::uint64_t, kNumKeys>(keys);
  for (const ConstTensorView& batch : batches_) {
    if (batch.dtype() == DType::kF64) {
      add_relative_keys<double>(batch, exponent, counts, options_);
    } else if (exponent != 0) {
      add_relative_keys<float>(batch, exponent, counts, options_);
    } else {
      accumulate_key_histogram(batch, counts, options_);
    }
  }
  return keys;
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
