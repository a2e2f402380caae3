#include <algorithm>
#include <cmath>

#include "calibration/source.hpp"
#include "cuqat/fake_quant.hpp"

namespace cuqat::calibration {
namespace {

/// Adds the errors of `values` (as the compute type C) with their counts.
template <typename C>
void add_errors(std::span<const double> values, std::span<const std::uint64_t> counts,
                const QuantParams& params, double amax, const HostOptions& options,
                QuantizationError& error) {
  constexpr double kFractionSteps = 0x1p51;
  constexpr std::size_t kBlock = 8192;
  const double rounding_reciprocal =
      1.0 / rounding_unit(params.quantizer.format, params.scale.front());
  const double amax_reciprocal = amax > 0.0 ? 1.0 / amax : 0.0;
  const auto term = [](double difference, double reciprocal) {
    const double t = difference * reciprocal;
    return static_cast<std::uint64_t>(std::rint(std::min(t * t, 1.0) * kFractionSteps));
  };
  std::vector<C> x(kBlock);
  std::vector<C> y(kBlock);
  std::vector<std::uint8_t> mask(kBlock / 8);
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::size_t size = std::min(kBlock, values.size() - begin);
    for (std::size_t i = 0; i < size; ++i) x[i] = static_cast<C>(values[begin + i]);
    fake_quantize(std::span<const C>(x.data(), size), params, std::span<C>(y.data(), size),
                  std::span(mask.data(), clip_mask_bytes(static_cast<std::int64_t>(size))),
                  options);
    for (std::size_t i = 0; i < size; ++i) {
      const std::uint64_t count = counts[begin + i];
      const double difference = values[begin + i] - static_cast<double>(y[i]);
      error.count += static_cast<std::int64_t>(count);
      error.signal.add(term(values[begin + i], amax_reciprocal), count);
      if ((mask[i / 8] >> (i % 8) & 1) != 0) {
        error.clipped += static_cast<std::int64_t>(count);
        error.clipping.add(term(difference, amax_reciprocal), count);
      } else {
        error.rounding.add(term(difference, rounding_reciprocal), count);
      }
    }
  }
}

}  // namespace

DistributionSource::DistributionSource(DType dtype, const Statistics& statistics,
                                       const Distribution& values, bool exact,
                                       const HostOptions& options)
    : Source(dtype, statistics), values_(values), exact_(exact), options_(options) {}

const Distribution& DistributionSource::search_values(OrderBy order) const {
  if (order == OrderBy::kValue) return values_;
  if (magnitudes_.size() == 0) magnitudes_ = folded(values_);
  return magnitudes_;
}

std::vector<double> DistributionSource::order_statistics(
    OrderBy order, std::span<const std::int64_t> ranks) const {
  const Distribution& sorted = search_values(order);
  std::vector<double> result;
  for (const std::int64_t rank : ranks) {
    std::uint64_t below = 0;
    std::size_t i = 0;
    while (below + sorted.counts[i] <= static_cast<std::uint64_t>(rank))
      below += sorted.counts[i++];
    result.push_back(sorted.values[i]);
  }
  return result;
}

std::vector<std::uint64_t> DistributionSource::linear_histogram(BinRange range,
                                                                std::size_t num_bins) const {
  std::vector<std::uint64_t> bins(num_bins);
  // docs/numerics.md, "Bins of a linear histogram". For f32 and narrower the product is exact in
  // f64 and the quotient, rounded once, cannot cross a bin's edge.
  const double amax = statistics().amax();
  const bool is_f64 = dtype() == DType::kF64;
  const auto bin_of = [&](double value) -> std::size_t {
    const std::size_t half = range == BinRange::kMagnitude ? num_bins : num_bins / 2;
    const auto steps = static_cast<double>(half);
    const double magnitude = std::abs(value);
    const double position = is_f64 ? magnitude / amax * steps : magnitude * steps / amax;
    if (range == BinRange::kMagnitude) {
      return std::min(half - 1, static_cast<std::size_t>(position));
    }
    if (value >= 0.0) return half + std::min(half - 1, static_cast<std::size_t>(position));
    return half - std::min(half, static_cast<std::size_t>(std::ceil(position)));
  };
  for (std::size_t i = 0; i < values_.size(); ++i)
    bins[bin_of(values_.values[i])] += values_.counts[i];
  return bins;
}

QuantizationError DistributionSource::error(const Quantizer& quantizer,
                                            ScaleZeroPoint params) const {
  QuantParams one;
  one.quantizer = quantizer;
  one.scale = {params.scale};
  one.zero_point = {params.zero_point};
  QuantizationError result;
  const double amax = statistics().amax();
  if (dtype() == DType::kF64) {
    add_errors<double>(values_.values, values_.counts, one, amax, options_, result);
  } else {
    add_errors<float>(values_.values, values_.counts, one, amax, options_, result);
  }
  return result;
}

}  // namespace cuqat::calibration
