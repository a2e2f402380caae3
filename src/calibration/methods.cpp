#include "calibration/methods.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <string>

#include "calibration/clipping_search.hpp"
#include "calibration/entropy.hpp"
#include "cuqat/scalar/clipping_search.hpp"
#include "cuqat/scalar/entropy.hpp"
#include "host/enumerators.hpp"

namespace cuqat::calibration {
namespace {

using scalar::kEntropyBins;

double to_compute(double value, DType dtype) {
  return dtype == DType::kF64 ? value : static_cast<double>(static_cast<float>(value));
}

Range observed_range(const Source& source) {
  return {source.statistics().min, source.statistics().max};
}

/// A range cut to what was observed.
Range within_observed(const Source& source, double low, double high) {
  const Range observed = observed_range(source);
  return {std::max(low, observed.low), std::min(high, observed.high)};
}

Range percentile_range_of(const Source& source, const CalibrationOptions& options) {
  const std::int64_t n = source.statistics().finite();
  if (options.symmetric) {
    const std::int64_t rank = percentile_rank(n, options.percentile);
    const double amax = source.order_statistics(OrderBy::kMagnitude, std::span(&rank, 1)).front();
    return {-amax, amax};
  }
  const RankPair pair = two_sided_percentile_ranks(n, options.percentile);
  const std::array ranks = {pair.low, pair.high};
  const std::vector<double> ends = source.order_statistics(OrderBy::kValue, ranks);
  return {ends[0], ends[1]};
}

Range entropy_range(const Source& source, const CalibrationOptions& options) {
  const double amax = source.statistics().amax();
  const auto num_levels = static_cast<std::size_t>(scalar::num_entropy_levels(options.format));
  switch (options.dialect) {
    case EntropyDialect::kModelopt: {
      const auto bins = source.linear_histogram(BinRange::kMagnitude, kEntropyBins);
      const std::size_t kept =
          modelopt_entropy_bins(bins, num_levels, scalar::kFirstEntropyCandidate);
      const double threshold = to_compute(
          amax * (static_cast<double>(kept) / static_cast<double>(kEntropyBins)), source.dtype());
      return within_observed(source, -threshold, threshold);
    }
    case EntropyDialect::kOnnxRuntime: {
      const auto bins = source.linear_histogram(BinRange::kSigned, kEntropyBins);
      const BinWindow window = onnxruntime_entropy_window(bins, num_levels);
      constexpr double kHalf = static_cast<double>(kEntropyBins) / 2;
      const double low = amax * (static_cast<double>(window.begin) / kHalf - 1.0);
      const double high = amax * (static_cast<double>(window.end) / kHalf - 1.0);
      return within_observed(source, to_compute(low, source.dtype()),
                             to_compute(high, source.dtype()));
    }
    case EntropyDialect::kOriginal:
      break;
  }
  // The original's divergence is 0 for its first candidate, half of its bins, whatever the data.
  const Range observed = observed_range(source);
  const double half_width = observed.high * 0.5 - observed.low * 0.5;
  return {observed.low, to_compute(observed.low + half_width, source.dtype())};
}

/// f64 numbers whose squares leave f64 are searched times a power of two: the errors scale exactly.
Distribution scaled(const Distribution& values, int exponent) {
  Distribution result = values;
  for (double& value : result.values) value = std::ldexp(value, exponent);
  return result;
}

/// The values that clipping ranges are searched on, made ready once for all methods and formats,
/// and the searches.
class SearchTables {
 public:
  explicit SearchTables(const Source& source) : source_(source) {
    constexpr int kSafeExponent = 300;
    const double amax = source.statistics().amax();
    if (amax == 0.0) return;
    const int exponent = std::ilogb(amax);
    if (std::abs(exponent) > kSafeExponent) exponent_ = exponent;
  }

  /// Its ranges are times 2^-exponent().
  ClippingSearch& search_for(const CalibrationOptions& options) {
    const Quantizer quantizer = options.quantizer();
    for (ClippingSearch& search : searches_) {
      if (search.quantizer() == quantizer && search.symmetric() == options.symmetric) return search;
    }
    const OrderBy order = options.symmetric ? OrderBy::kMagnitude : OrderBy::kValue;
    return searches_.emplace_back(moments(order, options.format), quantizer, options.symmetric,
                                  source_.dtype());
  }
  [[nodiscard]] int exponent() const noexcept { return exponent_; }

 private:
  struct Table {
    Distribution near_one;
    std::optional<SortedMoments> moments;
  };

  const SortedMoments& moments(OrderBy order, Format format) {
    const Distribution& values = source_.search_values(order, format);
    Table& table = tables_[&values];
    if (!table.moments) {
      if (exponent_ != 0) table.near_one = scaled(values, -exponent_);
      table.moments.emplace(exponent_ != 0 ? table.near_one : values);
    }
    return *table.moments;
  }

  const Source& source_;
  int exponent_ = 0;
  std::map<const Distribution*, Table> tables_;  ///< A source keeps its distributions.
  std::deque<ClippingSearch> searches_;
};

std::vector<Range> finalists(const Source& source, SearchTables& tables,
                             const CalibrationOptions& options, double weight) {
  const bool exact = source.search_is_exact();
  std::vector<Range> result = tables.search_for(options).best(
      weight, scalar::kMaxFinalists, exact ? scalar::kRoundingSlack : scalar::kBinningSlack,
      !exact);
  if (tables.exponent() == 0) return result;
  for (Range& range : result) {
    range = within_observed(source, std::ldexp(range.low, tables.exponent()),
                            std::ldexp(range.high, tables.exponent()));
  }
  return result;
}

double weighted_error(const QuantizationError& error, const Quantizer& quantizer, double scale,
                      double amax, double clipping_weight) {
  // Relative to amax, so that no square leaves f64.
  const double unit = rounding_unit(quantizer.format, scale, amax) / amax;
  return error.rounding.value(unit) + clipping_weight * error.clipping.value(1.0);
}

/// The search ranks candidates by sums of rounded products; the exact sums choose among the best.
Range least_error_range(const Source& source, SearchTables& tables,
                        const CalibrationOptions& options, double weight) {
  const Quantizer quantizer = options.quantizer();
  const double amax = source.statistics().amax();
  Range best;
  double least = std::numeric_limits<double>::infinity();
  const std::vector<Range> candidates = finalists(source, tables, options, weight);
  for (Range range : candidates) {
    range = {to_compute(range.low, source.dtype()), to_compute(range.high, source.dtype())};
    const ScaleZeroPoint params =
        range_to_scale(range, quantizer, options.symmetric, source.dtype());
    if (candidates.size() == 1) return range;
    const double error =
        weighted_error(source.error(quantizer, params), quantizer, params.scale, amax, weight);
    if (error < least) {
      least = error;
      best = range;
    }
  }
  return best;
}

Range method_range(const Source& source, SearchTables& tables, const CalibrationOptions& options) {
  switch (options.method) {
    case CalibMethod::kMinMax:
      return observed_range(source);
    case CalibMethod::kPercentile:
      return percentile_range_of(source, options);
    case CalibMethod::kEntropy:
      return entropy_range(source, options);
    case CalibMethod::kMse:
      return least_error_range(source, tables, options, 1.0);
    case CalibMethod::kSqnr:
      return least_error_range(source, tables, options, scalar::kSqnrClippingWeight);
  }
  return {};
}

bool answer_is_exact(const Source& source, const CalibrationOptions& options) {
  const bool searches = options.method == CalibMethod::kMse || options.method == CalibMethod::kSqnr;
  return searches ? source.search_is_exact() : source.is_exact();
}

}  // namespace

Range widened(const Range& chosen, bool symmetric) noexcept {
  if (!symmetric) return {std::min(chosen.low, 0.0), std::max(chosen.high, 0.0)};
  const double amax = std::max(std::abs(chosen.low), std::abs(chosen.high));
  return {0.0 - amax, amax};
}

void check(const CalibrationOptions& options) {
  detail::check_enumerator("method", options.method, CalibMethod::kSqnr);
  detail::check_enumerator("format", options.format, Format::kE5M2);
  detail::check_enumerator("rounding", options.rounding, Rounding::kOriginal);
  detail::check_enumerator("dialect", options.dialect, EntropyDialect::kOriginal);
  if (!is_integer(options.format)) {
    const std::string format(to_string(options.format));
    if (!options.symmetric) {
      throw InvalidArgument("symmetric is false with format " + format +
                            ": FP8 has no zero point, so its range must be symmetric");
    }
    if (options.rounding == Rounding::kOriginal) {
      throw InvalidArgument("rounding is original with format " + format +
                            ": it is defined for int8 and int4 only");
    }
  }
  if (!(options.percentile >= 0.0 && options.percentile <= 100.0)) {
    throw InvalidArgument("percentile is " + std::to_string(options.percentile) +
                          ": it must be in [0, 100]");
  }
}

namespace {

ScaleAnswer answer(const Source& source, SearchTables& tables, const CalibrationOptions& options) {
  ScaleAnswer result;
  result.exact = answer_is_exact(source, options);
  if (source.statistics().finite() == 0) return result;
  result.amax = source.statistics().amax();
  const Range chosen = result.amax == 0.0 ? Range{} : method_range(source, tables, options);
  result.range = widened(chosen, options.symmetric);
  const Quantizer quantizer = options.quantizer();
  result.params = range_to_scale(result.range, quantizer, options.symmetric, source.dtype());
  result.error = source.error(quantizer, result.params);
  return result;
}

}  // namespace

std::vector<ScaleAnswer> answer(const Source& source, std::span<const CalibrationOptions> methods) {
  SearchTables tables(source);
  std::vector<ScaleAnswer> answers;
  answers.reserve(methods.size());
  for (const CalibrationOptions& method : methods) {
    answers.push_back(answer(source, tables, method));
  }
  return answers;
}

Assembly::Assembly(std::span<const CalibrationOptions> methods, const Granularity& granularity,
                   double largest_amax)
    : largest_amax_(largest_amax), results_(methods.size()), sums_(methods.size()) {
  for (std::size_t m = 0; m < methods.size(); ++m) {
    results_[m].options = methods[m];
    results_[m].params.quantizer = methods[m].quantizer();
    results_[m].params.granularity = granularity;
    results_[m].params.scale.clear();
  }
}

void Assembly::add(std::span<const ScaleAnswer> answers) {
  for (std::size_t m = 0; m < results_.size(); ++m) {
    const ScaleAnswer& one = answers[m];
    CalibrationResult& result = results_[m];
    result.params.scale.push_back(one.params.scale);
    result.params.zero_point.push_back(one.params.zero_point);
    result.low.push_back(one.range.low);
    result.high.push_back(one.range.high);
    result.exact = result.exact && one.exact;
    Sums& sums = sums_[m];
    sums.count += one.error.count;
    sums.clipped += one.error.clipped;
    if (one.amax == 0.0) continue;
    const double unit =
        rounding_unit(result.options.format, one.params.scale, one.amax) / largest_amax_;
    const double share = one.amax / largest_amax_;
    sums.error += one.error.rounding.value(unit) + one.error.clipping.value(share);
    sums.signal += one.error.signal.value(share);
  }
}

std::vector<CalibrationResult> Assembly::finish() {
  for (std::size_t m = 0; m < results_.size(); ++m) {
    CalibrationResult& result = results_[m];
    const Sums& sums = sums_[m];
    result.sqnr_db = std::numeric_limits<double>::infinity();
    if (sums.count == 0) continue;
    const auto count = static_cast<double>(sums.count);
    result.clipped = static_cast<double>(sums.clipped) / count;
    result.mse = sums.error / count * largest_amax_ * largest_amax_;
    if (sums.error > 0.0) result.sqnr_db = 10.0 * std::log10(sums.signal / sums.error);
  }
  return std::move(results_);
}

}  // namespace cuqat::calibration
