#include "calibration/collector_state.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "calibration/methods.hpp"
#include "calibration/parallel.hpp"
#include "calibration/source.hpp"
#include "cuqat/scalar/histogram_key.hpp"
#include "host/enumerators.hpp"

namespace cuqat {
namespace {

using calibration::Distribution;
using calibration::ScaleAnswer;

/// What stands for coarsened values may lie past the extremes, which are known exactly.
Distribution within(const Distribution& coarse, const Statistics& statistics) {
  Distribution result = coarse;
  for (double& value : result.values) value = std::clamp(value, statistics.min, statistics.max);
  return result;
}

using Extents = std::vector<std::int64_t>;

Extents extents_of(const Shape& shape) { return {shape.extents().begin(), shape.extents().end()}; }

/// Concatenation along the first axis, or a plain count where the other axes differ. Associative
/// and commutative.
std::optional<Extents> concatenated(const std::optional<Extents>& a,
                                    const std::optional<Extents>& b) {
  if (!a) return b;
  if (!b) return a;
  Extents result = *a;
  if (!a->empty() && a->size() == b->size() &&
      std::equal(a->begin() + 1, a->end(), b->begin() + 1) &&
      !__builtin_add_overflow(a->front(), b->front(), &result.front())) {
    return result;
  }
  const auto count = [](const Extents& extents) {
    std::int64_t product = 1;
    for (const std::int64_t extent : extents) product *= extent;
    return product;
  };
  return Extents{count(*a) + count(*b)};
}

}  // namespace

Granularity CalibrationCollector::State::granularity_for(std::size_t rank) const {
  Granularity granularity = accumulator.granularity;
  // A shape of rank 1 may be a plain count.
  if (granularity.axis < 0 && rank > 1) granularity.axis += static_cast<int>(rank);
  return granularity;
}

CalibrationCollector::CalibrationCollector(DType dtype, const Granularity& granularity) {
  detail::check_enumerator("dtype", dtype, DType::kBF16);
  detail::check_enumerator("granularity.kind", granularity.kind, Granularity::Kind::kGroup);
  if (granularity.kind == Granularity::Kind::kGroup) {
    throw InvalidArgument(
        "granularity is a group: a collector has one scale, or one for each channel");
  }
  state_ = std::make_unique<State>(State{{dtype, granularity}, {}});
}

CalibrationCollector CalibrationCollector::of_key_histogram(
    DType dtype, std::span<const std::uint64_t, kNumKeys> counts) {
  if (dtype != DType::kBF16 && dtype != DType::kF16) {
    throw InvalidArgument("dtype is " + std::string(to_string(dtype)) +
                          ": a key is the whole number of F16 and BF16 only");
  }
  std::uint64_t total = 0;
  for (const std::uint64_t count : counts) {
    if (__builtin_add_overflow(total, count, &total) || total >> 63 != 0) {
      throw InvalidArgument("counts has more than 2^63 - 1 elements in all");
    }
  }
  CalibrationCollector result(dtype);
  calibration::Accumulator& data = result.state_->accumulator;
  data.statistics[0] = calibration::statistics_of_keys(counts, dtype);
  data.values[0] = calibration::distribution_of_keys(counts, dtype);
  result.state_->shape = Extents{static_cast<std::int64_t>(total)};
  return result;
}

CalibrationCollector CalibrationCollector::of_key_histogram(
    DType dtype, std::span<const std::uint64_t, kNumKeys> counts, const Shape& shape) {
  CalibrationCollector result = of_key_histogram(dtype, counts);
  const std::int64_t total = result.state_->shape->front();
  if (shape.count() != total) {
    throw InvalidArgument("shape has " + std::to_string(shape.count()) + " elements: counts has " +
                          std::to_string(total));
  }
  result.state_->shape = extents_of(shape);
  return result;
}

CalibrationCollector CalibrationCollector::of_f32_key_histogram(
    std::span<const std::uint64_t, kNumKeys> counts, const Statistics& statistics) {
  std::uint64_t total = 0;
  for (const std::uint64_t count : counts) {
    if (__builtin_add_overflow(total, count, &total)) total = ~std::uint64_t{0};
  }
  const Distribution values = calibration::coarsened_f32_keys(counts);
  std::uint64_t finite = 0;
  for (const std::uint64_t count : values.counts) finite += count;
  const auto is = [](std::int64_t found, std::uint64_t expected) {
    return found >= 0 && static_cast<std::uint64_t>(found) == expected;
  };
  // The key of an extreme is the outermost that has counts.
  const auto is_end = [&](double end, double of_key) {
    constexpr double kLargest = std::numeric_limits<float>::max();
    return std::abs(end) <= kLargest && static_cast<double>(static_cast<float>(end)) == end &&
           calibration::coarsened(end, DType::kF32) == of_key;
  };
  const bool fits =
      is(statistics.count, total) && statistics.nan >= 0 && statistics.pos_inf >= 0 &&
      statistics.neg_inf >= 0 && is(statistics.finite(), finite) && statistics.zeros >= 0 &&
      static_cast<std::uint64_t>(statistics.zeros) <=
          counts[scalar::histogram_key(0.0f)] + counts[scalar::histogram_key(-0.0f)] &&
      (finite == 0 ||
       (statistics.min <= statistics.max && is_end(statistics.min, values.values.front()) &&
        is_end(statistics.max, values.values.back())));
  if (!fits) {
    throw InvalidArgument("statistics has " + std::to_string(statistics.count) + " elements, " +
                          std::to_string(statistics.finite()) + " of them finite, " +
                          std::to_string(statistics.zeros) + " zeros, in [" +
                          std::to_string(statistics.min) + ", " + std::to_string(statistics.max) +
                          "]: it must be of what counts has, " + std::to_string(total) +
                          " elements, " + std::to_string(finite) + " of them finite");
  }
  CalibrationCollector result(DType::kF32);
  calibration::Accumulator& data = result.state_->accumulator;
  data.overflowed = true;
  data.statistics[0] = statistics;
  data.values[0] = values;
  result.state_->shape = Extents{statistics.count};
  return result;
}

CalibrationCollector::~CalibrationCollector() = default;
CalibrationCollector::CalibrationCollector(CalibrationCollector&&) noexcept = default;
CalibrationCollector& CalibrationCollector::operator=(CalibrationCollector&&) noexcept = default;
CalibrationCollector::CalibrationCollector(const CalibrationCollector& other)
    : state_(std::make_unique<State>(*other.state_)) {}
CalibrationCollector& CalibrationCollector::operator=(const CalibrationCollector& other) {
  if (this != &other) state_ = std::make_unique<State>(*other.state_);
  return *this;
}

void CalibrationCollector::observe(ConstTensorView batch, const HostOptions& options) {
  state_->accumulator.observe(batch, options);
  state_->shape = concatenated(state_->shape, extents_of(batch.shape()));
}

void CalibrationCollector::merge(const CalibrationCollector& other) {
  const std::size_t rank = (state_->shape ? *this : other).shape().size();
  const std::size_t other_rank = (other.state_->shape ? other : *this).shape().size();
  Granularity& granularity = state_->accumulator.granularity;
  if (granularity != other.granularity() &&
      state_->granularity_for(rank) != other.state_->granularity_for(other_rank)) {
    throw InvalidArgument("other has another granularity than this collector");
  }
  other.state_->accumulator.settle();
  state_->accumulator.merge(other.state_->accumulator);
  // Of two spellings of an axis the sum has the same, whichever came first.
  granularity.axis = std::max(granularity.axis, other.granularity().axis);
  state_->shape = concatenated(state_->shape, other.state_->shape);
}

DType CalibrationCollector::dtype() const noexcept { return state_->accumulator.dtype; }

const Granularity& CalibrationCollector::granularity() const noexcept {
  return state_->accumulator.granularity;
}

std::int64_t CalibrationCollector::num_scales() const noexcept {
  return static_cast<std::int64_t>(state_->accumulator.statistics.size());
}

Statistics CalibrationCollector::statistics() const noexcept {
  Statistics all;
  for (const Statistics& one : state_->accumulator.statistics) all.merge(one);
  return all;
}

bool CalibrationCollector::exact() const {
  state_->accumulator.settle();
  return !state_->accumulator.overflowed;
}

std::vector<std::uint64_t> CalibrationCollector::linear_histogram(BinRange range,
                                                                  std::size_t num_bins) const {
  constexpr std::size_t kMaxBins = std::size_t{1} << 24;
  if (num_bins == 0 || num_bins > kMaxBins) {
    throw InvalidArgument("num_bins is " + std::to_string(num_bins) + ": it must be in [1, " +
                          std::to_string(kMaxBins) + "]");
  }
  if (range == BinRange::kSigned && num_bins % 2 != 0) {
    throw InvalidArgument("num_bins is " + std::to_string(num_bins) +
                          ": it must be even for kSigned");
  }
  state_->accumulator.settle();
  const calibration::Accumulator& data = state_->accumulator;
  std::vector<std::uint64_t> bins(num_bins);
  const Statistics all = statistics();
  if (all.amax() == 0.0) return bins;
  for (const Distribution& of_scale : data.values) {
    calibration::add_linear_histogram(data.overflowed ? within(of_scale, all) : of_scale,
                                      data.dtype, all.amax(), range, bins);
  }
  return bins;
}

std::span<const std::int64_t> CalibrationCollector::shape() const noexcept {
  if (!state_->shape) return {};
  return *state_->shape;
}

CalibrationResult CalibrationCollector::compute(const CalibrationOptions& method,
                                                const HostOptions& options) const {
  return std::move(compute(std::span(&method, 1), options).front());
}

std::vector<CalibrationResult> CalibrationCollector::compute(
    std::span<const CalibrationOptions> methods, const HostOptions& options) const {
  for (const CalibrationOptions& method : methods) calibration::check(method);
  state_->accumulator.settle();
  const calibration::Accumulator& data = state_->accumulator;
  std::vector<std::vector<ScaleAnswer>> answers(data.statistics.size());
  // Scales in parallel, or one scale with all threads.
  HostOptions within_scale = options;
  if (data.statistics.size() > 1) within_scale.num_threads = 1;
  calibration::parallel_for(
      static_cast<std::int64_t>(data.statistics.size()), options, [&](std::int64_t i) {
        const auto scale = static_cast<std::size_t>(i);
        const Statistics& statistics = data.statistics[scale];
        const Distribution clamped = data.overflowed && statistics.finite() > 0
                                         ? within(data.values[scale], statistics)
                                         : Distribution{};
        const calibration::DistributionSource source(data.dtype, statistics,
                                                     data.overflowed ? clamped : data.values[scale],
                                                     !data.overflowed, within_scale);
        answers[scale] = calibration::answer(source, methods);
      });
  calibration::Assembly assembly(methods, data.granularity, this->statistics().amax());
  for (const std::vector<ScaleAnswer>& of_scale : answers) assembly.add(of_scale);
  return assembly.finish();
}

}  // namespace cuqat
