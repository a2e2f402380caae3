#include <algorithm>
#include <array>
#include <cmath>

#include "calibration/parallel.hpp"
#include "calibration/source.hpp"
#include "cuqat/fake_quant.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "cuqat/scalar/squared_error.hpp"

namespace cuqat::calibration {
namespace {

constexpr std::size_t kBlock = 4096;

/// Adds the errors of `values` (as the compute type C) with their counts.
template <typename C>
void add_errors(std::span<const double> values, std::span<const std::uint64_t> counts,
                const QuantParams& params, double amax, const HostOptions& options,
                QuantizationError& error) {
  const double amax_reciprocal = amax > 0.0 ? 1.0 / amax : 0.0;
  const double rounding_reciprocal =
      1.0 / rounding_unit(params.quantizer.format, params.scale.front(), amax);
  std::array<C, kBlock> x;
  std::array<C, kBlock> y;
  std::array<std::uint8_t, kBlock / 8> mask;
  std::array<double, kBlock> reciprocal;
  std::array<std::uint64_t, kBlock> term;
  std::array<std::uint64_t, kBlock> signal_term;
  for (std::size_t begin = 0; begin < values.size(); begin += kBlock) {
    const std::size_t size = std::min(kBlock, values.size() - begin);
    const double* value = values.data() + begin;
    const std::uint64_t* count = counts.data() + begin;
    for (std::size_t i = 0; i < size; ++i) x[i] = static_cast<C>(value[i]);
    fake_quantize(std::span<const C>(x.data(), size), params, std::span<C>(y.data(), size),
                  std::span(mask.data(), clip_mask_bytes(static_cast<std::int64_t>(size))),
                  options);
    const auto is_clipped = [&](std::size_t i) { return (mask[i / 8] >> (i % 8) & 1) != 0; };
    for (std::size_t i = 0; i < size; ++i) {
      reciprocal[i] = is_clipped(i) ? amax_reciprocal : rounding_reciprocal;
    }
    for (std::size_t i = 0; i < size; ++i) {
      term[i] = scalar::squared_term(value[i] - static_cast<double>(y[i]), reciprocal[i]);
      signal_term[i] = scalar::squared_term(value[i], amax_reciprocal);
    }
    for (std::size_t i = 0; i < size; ++i) {
      error.count += static_cast<std::int64_t>(count[i]);
      error.signal.add(signal_term[i], count[i]);
      if (is_clipped(i)) {
        error.clipped += static_cast<std::int64_t>(count[i]);
        error.clipping.add(term[i], count[i]);
      } else {
        error.rounding.add(term[i], count[i]);
      }
    }
  }
}

}  // namespace

DistributionSource::DistributionSource(DType dtype, const Statistics& statistics,
                                       const Distribution& values, bool exact,
                                       const HostOptions& options)
    : Source(dtype, statistics), values_(values), exact_(exact), options_(options) {}

const Distribution* DistributionSource::distinct_values(OrderBy order) const {
  return searches_bins() ? nullptr : &sorted(order);
}

const Distribution& DistributionSource::sorted(OrderBy order) const {
  if (order == OrderBy::kValue) return values_;
  if (magnitudes_.size() == 0) magnitudes_ = folded(values_);
  return magnitudes_;
}

std::vector<double> DistributionSource::order_statistics(
    OrderBy order, std::span<const std::int64_t> ranks) const {
  const Distribution& ascending = sorted(order);
  std::vector<double> result;
  for (const std::int64_t rank : ranks) {
    std::uint64_t below = 0;
    std::size_t i = 0;
    while (below + ascending.counts[i] <= static_cast<std::uint64_t>(rank))
      below += ascending.counts[i++];
    result.push_back(ascending.values[i]);
  }
  return result;
}

void add_linear_histogram(const Distribution& values, DType dtype, double amax, BinRange range,
                          std::span<std::uint64_t> bins) {
  // docs/numerics.md, "Bins of a linear histogram". For f32 and narrower the product is exact in
  // f64 and the quotient, rounded once, cannot cross a bin's edge.
  const bool is_f64 = dtype == DType::kF64;
  const auto bin_of = [&](double value) -> std::size_t {
    const std::size_t half = range == BinRange::kMagnitude ? bins.size() : bins.size() / 2;
    const auto steps = static_cast<double>(half);
    const double magnitude = std::abs(value);
    const double position = is_f64 ? magnitude / amax * steps : magnitude * steps / amax;
    if (range == BinRange::kMagnitude) {
      return std::min(half - 1, static_cast<std::size_t>(position));
    }
    if (value >= 0.0) return half + std::min(half - 1, static_cast<std::size_t>(position));
    return half - std::clamp(static_cast<std::size_t>(std::ceil(position)), std::size_t{1}, half);
  };
  for (std::size_t i = 0; i < values.size(); ++i)
    bins[bin_of(values.values[i])] += values.counts[i];
}

std::vector<std::uint64_t> DistributionSource::linear_histogram(BinRange range,
                                                                std::size_t num_bins) const {
  std::vector<std::uint64_t> bins(num_bins);
  add_linear_histogram(values_, dtype(), statistics().amax(), range, bins);
  return bins;
}

std::vector<std::uint64_t> DistributionSource::key_histogram(int exponent) const {
  const RelativeKey relative(exponent);
  std::vector<std::uint64_t> keys(kNumKeys);
  for (std::size_t i = 0; i < values_.size(); ++i) {
    keys[scalar::histogram_key(relative(values_.values[i]))] += values_.counts[i];
  }
  return keys;
}

QuantizationError DistributionSource::sum_errors(const QuantParams& params) const {
  HostOptions serial = options_;
  serial.num_threads = 1;
  // A part a thread would be enough, but parts of one size keep the threads busy to the end.
  constexpr std::size_t kPart = 65'536;
  const std::size_t num_parts = (values_.size() + kPart - 1) / kPart;
  std::vector<QuantizationError> parts(num_parts);
  const double amax = statistics().amax();
  parallel_for(static_cast<std::int64_t>(num_parts), options_, [&](std::int64_t part) {
    const auto index = static_cast<std::size_t>(part);
    const std::size_t begin = index * kPart;
    const std::size_t size = std::min(kPart, values_.size() - begin);
    const auto values = std::span(values_.values).subspan(begin, size);
    const auto counts = std::span(values_.counts).subspan(begin, size);
    if (dtype() == DType::kF64) {
      add_errors<double>(values, counts, params, amax, serial, parts[index]);
    } else {
      add_errors<float>(values, counts, params, amax, serial, parts[index]);
    }
  });
  QuantizationError result;
  for (const QuantizationError& part : parts) result.merge(part);
  return result;
}

}  // namespace cuqat::calibration
