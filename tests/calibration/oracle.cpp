#include "calibration/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "calibration/samples.hpp"

namespace cuqat::test {
namespace {

/// Magnitudes of an FP8 format in the order of their codes.
struct Fp8Table {
  std::vector<double> value;
  double first_clipped;
  bool first_is_inside;
};

Fp8Table make_fp8_table(int fraction_bits, int bias, int num_codes, double limit, bool inside) {
  Fp8Table table{{}, limit, inside};
  const int steps = 1 << fraction_bits;
  for (int code = 0; code < num_codes; ++code) {
    const int exponent = code / steps;
    const int fraction = code % steps + (exponent == 0 ? 0 : steps);
    table.value.push_back(std::ldexp(fraction, std::max(exponent, 1) - bias - fraction_bits));
  }
  return table;
}

const Fp8Table& fp8_table(Format format) {
  static const Fp8Table kE4M3 = make_fp8_table(3, 7, 127, 464.0, true);
  static const Fp8Table kE5M2 = make_fp8_table(2, 15, 124, 61440.0, false);
  return format == Format::kE4M3 ? kE4M3 : kE5M2;
}

/// The nearest of the table's values, of two equally near the one with the even code.
double nearest(const Fp8Table& table, double magnitude) {
  const auto above = std::lower_bound(table.value.begin(), table.value.end(), magnitude);
  if (above == table.value.end()) return table.value.back();
  if (above == table.value.begin()) return *above;
  const double to_above = *above - magnitude;
  const double to_below = magnitude - *(above - 1);
  if (to_above != to_below) return to_above < to_below ? *above : *(above - 1);
  return (above - table.value.begin()) % 2 == 0 ? *above : *(above - 1);
}

/// The element rule with everything that is the same for all elements worked out before.
template <typename C>
class Element {
 public:
  Element(const Quantizer& quantizer, ScaleZeroPoint params)
      : scale_(static_cast<C>(params.scale)),
        zero_(static_cast<C>(params.zero_point)),
        low_(static_cast<C>(qmin(quantizer))),
        high_(static_cast<C>(qmax(quantizer))),
        original_(quantizer.rounding == Rounding::kOriginal),
        fp8_(is_integer(quantizer.format) ? nullptr : &fp8_table(quantizer.format)) {}

  OracleElement operator()(double value) const {
    const C quotient = static_cast<C>(value) / scale_;
    if (fp8_ != nullptr) {
      const double magnitude = std::abs(static_cast<double>(quotient));
      const bool clipped = fp8_->first_is_inside ? magnitude > fp8_->first_clipped
                                                 : magnitude >= fp8_->first_clipped;
      const C decoded = static_cast<C>(std::copysign(nearest(*fp8_, magnitude), quotient));
      return {static_cast<double>(decoded * scale_), clipped};
    }
    const C unclamped = original_ ? std::round(quotient + zero_) : std::nearbyint(quotient) + zero_;
    const C code = std::clamp(unclamped, low_, high_);
    return {static_cast<double>((code - zero_) * scale_), code != unclamped};
  }

 private:
  C scale_;
  C zero_;
  C low_;
  C high_;
  bool original_;
  const Fp8Table* fp8_;
};

template <typename C>
OracleCost cost_in(std::span<const double> x, const Element<C>& element, double unit) {
  OracleCost cost;
  long double rounding = 0.0L;
  long double clipping = 0.0L;
  for (const double value : x) {
    const OracleElement result = element(value);
    const double error = (value - result.y) / unit;
    (result.clipped ? clipping : rounding) += static_cast<long double>(error) * error;
    cost.clipped += result.clipped ? 1 : 0;
  }
  cost.rounding = static_cast<double>(rounding);
  cost.clipping = static_cast<double>(clipping);
  return cost;
}

template <typename C>
ScaleZeroPoint scale_in(Range range, const Quantizer& quantizer, bool symmetric) {
  C low = static_cast<C>(range.low);
  C high = static_cast<C>(range.high);
  const C least = std::numeric_limits<C>::min();
  if (symmetric) {
    const C amax = std::max(std::abs(low), std::abs(high));
    if (amax == C{0}) return {};
    return {static_cast<double>(std::max(amax / static_cast<C>(qmax(quantizer)), least)), 0};
  }
  low = std::min(low, C{0});
  high = std::max(high, C{0});
  if (low == high) return {};
  const C steps = static_cast<C>(qmax(quantizer) - qmin(quantizer));
  // A width past the largest number is divided end by end.
  const C width = high - low;
  const C quotient = std::isinf(width) ? high / steps - low / steps : width / steps;
  const C scale = std::max(quotient, least);
  const C zero = std::nearbyint(static_cast<C>(qmin(quantizer)) - low / scale);
  return {static_cast<double>(scale),
          static_cast<std::int32_t>(
              std::clamp(zero, static_cast<C>(qmin(quantizer)), static_cast<C>(qmax(quantizer))))};
}

void keep_least(LeastCost& least, const OracleCost& cost) {
  least.mse = std::min(least.mse, cost.total(1.0));
  least.sqnr = std::min(least.sqnr, cost.total(3.0));
}

constexpr LeastCost kNoCost{std::numeric_limits<double>::infinity(),
                            std::numeric_limits<double>::infinity()};

/// The last bin whose lower edge, first_edge + bin * amax / half, is not above x. All products are
/// of few enough bits to be exact.
std::size_t bin_of(double x, double amax, double half, double offset, std::size_t num_bins) {
  double bin = std::floor(x / amax * half);
  while (bin * amax > x * half) bin -= 1.0;
  while ((bin + 1.0) * amax <= x * half) bin += 1.0;
  return std::min(static_cast<std::size_t>(bin + offset), num_bins - 1);
}

std::size_t f64_bin_of(double x, double amax, std::size_t half, bool is_signed,
                       std::size_t num_bins) {
  const double place = std::abs(x) / amax * static_cast<double>(half);
  if (!is_signed) return std::min(static_cast<std::size_t>(place), num_bins - 1);
  if (x < 0.0) return half - std::max<std::size_t>(static_cast<std::size_t>(std::ceil(place)), 1);
  return std::min(half + static_cast<std::size_t>(place), num_bins - 1);
}

double divergence(const std::vector<double>& p, const std::vector<double>& q) {
  long double p_total = 0.0L;
  long double q_total = 0.0L;
  for (std::size_t i = 0; i < p.size(); ++i) {
    p_total += p[i];
    q_total += q[i];
  }
  const auto ratio = static_cast<double>(q_total / p_total);
  long double sum = 0.0L;
  for (std::size_t i = 0; i < p.size(); ++i) {
    if (p[i] == 0.0) continue;
    if (q[i] == 0.0) return std::numeric_limits<double>::infinity();
    sum += p[i] * std::log(p[i] / q[i] * ratio);
  }
  return static_cast<double>(sum / p_total);
}

/// Zeros become 1e-4, which the others pay for. False where there is nothing to pay with.
bool smooth(std::vector<double>& bins) {
  const auto zeros = static_cast<double>(std::count(bins.begin(), bins.end(), 0.0));
  const double others = static_cast<double>(bins.size()) - zeros;
  if (others == 0.0) return false;
  for (double& bin : bins) bin = bin == 0.0 ? 1e-4 : bin - 1e-4 * zeros / others;
  return true;
}

double sum_of(std::span<const std::uint64_t> counts, std::size_t begin, std::size_t end) {
  std::uint64_t sum = 0;
  for (std::size_t i = begin; i < end; ++i) sum += counts[i];
  return static_cast<double>(sum);
}

double naive_onnxruntime_divergence(std::span<const std::uint64_t> counts, std::size_t begin,
                                    std::size_t end, std::size_t num_levels) {
  std::vector<double> p(counts.begin() + static_cast<std::ptrdiff_t>(begin),
                        counts.begin() + static_cast<std::ptrdiff_t>(end));
  std::vector<double> q(p.size(), 0.0);
  p.front() += sum_of(counts, 0, begin);
  p.back() += sum_of(counts, end, counts.size());
  const std::size_t merged = p.size() / num_levels;
  for (std::size_t level = 0; level < num_levels; ++level) {
    const std::size_t first = level * merged;
    const std::size_t last = first + merged;
    const bool is_last = level + 1 == num_levels;
    const double sum = sum_of(counts, begin + first, is_last ? end : begin + last);
    const auto used = static_cast<double>(std::count_if(
        p.begin() + static_cast<std::ptrdiff_t>(first),
        p.begin() + static_cast<std::ptrdiff_t>(last), [](double c) { return c != 0.0; }));
    if (used == 0.0) continue;
    std::fill(q.begin() + static_cast<std::ptrdiff_t>(first),
              q.begin() + static_cast<std::ptrdiff_t>(last), std::trunc(sum / used));
  }
  if (!smooth(p) || !smooth(q)) return std::numeric_limits<double>::infinity();
  return divergence(p, q);
}

}  // namespace

ScaleZeroPoint oracle_scale(Range range, const Quantizer& quantizer, bool symmetric, DType dtype) {
  return dtype == DType::kF64 ? scale_in<double>(range, quantizer, symmetric)
                              : scale_in<float>(range, quantizer, symmetric);
}

OracleCost oracle_cost(std::span<const double> x, const Quantizer& quantizer, ScaleZeroPoint params,
                       DType dtype, double unit) {
  return dtype == DType::kF64 ? cost_in(x, Element<double>(quantizer, params), unit)
                              : cost_in(x, Element<float>(quantizer, params), unit);
}

OracleElement oracle_fake_quantize(double x, const Quantizer& quantizer, ScaleZeroPoint params,
                                   DType dtype) {
  return dtype == DType::kF64 ? Element<double>(quantizer, params)(x)
                              : Element<float>(quantizer, params)(x);
}

LeastCost least_symmetric_cost(std::span<const double> x, const Quantizer& quantizer, DType dtype,
                               int num_candidates) {
  const double amax = amax_of(x);
  LeastCost least = kNoCost;
  for (int i = 1; i <= num_candidates; ++i) {
    const double edge = amax * (static_cast<double>(i) / num_candidates);
    const ScaleZeroPoint params = oracle_scale({-edge, edge}, quantizer, true, dtype);
    keep_least(least, oracle_cost(x, quantizer, params, dtype, amax));
  }
  return least;
}

LeastCost least_affine_cost(std::span<const double> x, const Quantizer& quantizer, DType dtype) {
  const double amax = amax_of(x);
  const double low = std::min(*std::min_element(x.begin(), x.end()), 0.0);
  const double high = std::max(*std::max_element(x.begin(), x.end()), 0.0);
  LeastCost least = kNoCost;
  const auto try_range = [&](double low_part, double high_part) {
    const Range range{low * low_part, high * high_part};
    const ScaleZeroPoint params = oracle_scale(range, quantizer, false, dtype);
    keep_least(least, oracle_cost(x, quantizer, params, dtype, amax));
  };
  for (int i = 1; i <= 400; ++i) try_range(i / 400.0, i / 400.0);
  for (int i = 1; i <= 25; ++i) {
    for (int j = 1; j <= 25; ++j) try_range(i / 25.0, j / 25.0);
  }
  return least;
}

Quantizer oracle_quantizer(const CalibrationOptions& options) {
  return {.format = options.format,
          .rounding = options.rounding,
          .narrow_range = options.symmetric && is_integer(options.format)};
}

std::vector<std::uint64_t> oracle_histogram(std::span<const double> x, BinRange range,
                                            std::size_t num_bins, DType dtype) {
  const double amax = amax_of(x);
  const bool is_signed = range == BinRange::kSigned;
  const std::size_t half = is_signed ? num_bins / 2 : num_bins;
  std::vector<std::uint64_t> counts(num_bins, 0);
  for (const double value : x) {
    if (!std::isfinite(value)) continue;
    const double place = is_signed ? value : std::abs(value);
    const std::size_t bin = dtype == DType::kF64
                                ? f64_bin_of(place, amax, half, is_signed, num_bins)
                                : bin_of(place, amax, static_cast<double>(half),
                                         is_signed ? static_cast<double>(half) : 0.0, num_bins);
    ++counts[bin];
  }
  return counts;
}

std::vector<double> naive_modelopt_divergences(std::span<const std::uint64_t> counts,
                                               std::size_t num_levels,
                                               std::size_t first_candidate) {
  std::vector<std::uint64_t> bins(counts.begin(), counts.end());
  bins[0] = bins[1];
  std::vector<double> result;
  for (std::size_t kept = first_candidate; kept <= bins.size(); ++kept) {
    std::vector<double> p(bins.begin(), bins.begin() + static_cast<std::ptrdiff_t>(kept));
    std::vector<double> sum(num_levels, 0.0);
    std::vector<double> used(num_levels, 0.0);
    for (std::size_t k = 0; k < kept; ++k) {
      sum[k * num_levels / kept] += p[k];
      used[k * num_levels / kept] += p[k] != 0.0 ? 1.0 : 0.0;
    }
    std::vector<double> q(kept, 0.0);
    for (std::size_t k = 0; k < kept; ++k) {
      const std::size_t level = k * num_levels / kept;
      if (p[k] != 0.0) q[k] = sum[level] / used[level];
    }
    p.back() += sum_of(bins, kept, bins.size());
    result.push_back(divergence(p, q));
  }
  return result;
}

std::vector<double> naive_onnxruntime_divergences(std::span<const std::uint64_t> counts,
                                                  std::size_t num_levels) {
  const std::size_t zero = counts.size() / 2;
  std::vector<double> result;
  for (std::size_t i = num_levels / 2; i <= zero; ++i) {
    result.push_back(naive_onnxruntime_divergence(
        counts, zero - i, std::min(zero + i + 1, counts.size()), num_levels));
  }
  return result;
}

}  // namespace cuqat::test
