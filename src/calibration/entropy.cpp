#include "calibration/entropy.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace cuqat::calibration {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double x_log_x(double x) { return x > 0.0 ? x * std::log(x) : 0.0; }

/// Prefix sums that make one candidate cost O(levels) instead of O(bins): for each i, over the bins
/// before i, their count, how many are not empty, and sum c ln c.
struct Prefixes {
  std::vector<double> count;
  std::vector<std::uint32_t> non_empty;
  std::vector<double> c_log_c;

  explicit Prefixes(std::span<const std::uint64_t> bins)
      : count(bins.size() + 1), non_empty(bins.size() + 1), c_log_c(bins.size() + 1) {
    for (std::size_t i = 0; i < bins.size(); ++i) {
      const auto c = static_cast<double>(bins[i]);
      count[i + 1] = count[i] + c;
      non_empty[i + 1] = non_empty[i] + static_cast<std::uint32_t>(bins[i] != 0);
      c_log_c[i + 1] = c_log_c[i] + x_log_x(c);
    }
  }
};

/// sum p ln(p / q), p and q normalised, for the first i bins. With P the total, Q the count kept,
/// S and m the count and the non-empty bins of a level, and all bins past i folded into the last:
///   KL = (sum p ln p - sum over levels (sum of p) ln(S / m)) / P + ln(Q / P)
double modelopt_divergence(const Prefixes& prefix, std::span<const std::uint64_t> bins,
                           std::size_t i, std::size_t num_levels) {
  const double total = prefix.count.back();
  const double kept = prefix.count[i];
  const double outliers = total - kept;
  const auto last = static_cast<double>(bins[i - 1]);
  if (kept == 0.0 || (last == 0.0 && outliers > 0.0)) return kInfinity;
  double cross = 0.0;
  std::size_t begin = 0;
  // Bin k is in level floor(k * num_levels / i), so level l ends before bin ceil((l + 1) * i /
  // num_levels); quotient and remainder are carried along instead of divided anew.
  const std::size_t step = i / num_levels;
  const std::size_t step_remainder = i % num_levels;
  std::size_t floor_end = 0;
  std::size_t remainder = 0;
  for (std::size_t level = 0; level < num_levels; ++level) {
    floor_end += step;
    remainder += step_remainder;
    if (remainder >= num_levels) {
      remainder -= num_levels;
      ++floor_end;
    }
    const std::size_t end = floor_end + static_cast<std::size_t>(remainder != 0);
    const double sum = prefix.count[end] - prefix.count[begin];
    if (sum > 0.0) {
      const double mean = sum / (prefix.non_empty[end] - prefix.non_empty[begin]);
      cross += (end == i ? sum + outliers : sum) * std::log(mean);
    }
    begin = end;
  }
  const double own = prefix.c_log_c[i - 1] + x_log_x(last + outliers);
  return (own - cross) / total + std::log(kept / total);
}

/// Zeros become epsilon, and the others give up as much in all. ONNX Runtime's smoothing.
struct Smoothing {
  static constexpr double kEpsilon = 1e-4;
  double given_up = 0.0;

  Smoothing(std::size_t num_zeros, std::size_t size)
      : given_up(kEpsilon * static_cast<double>(num_zeros) /
                 static_cast<double>(size - num_zeros)) {}
  [[nodiscard]] double operator()(double value) const {
    return value == 0.0 ? kEpsilon : value - given_up;
  }
};

double onnxruntime_divergence(std::span<const std::uint64_t> counts,
                              std::span<const std::uint64_t> prefix, BinWindow window,
                              std::size_t num_levels, std::vector<double>& p,
                              std::vector<double>& q) {
  const std::size_t size = window.end - window.begin;
  p.resize(size);
  q.assign(size, 0.0);
  for (std::size_t k = 0; k < size; ++k) p[k] = static_cast<double>(counts[window.begin + k]);
  p.front() += static_cast<double>(prefix[window.begin]);
  p.back() += static_cast<double>(prefix.back() - prefix[window.end]);

  const std::size_t bins_a_level = size / num_levels;
  for (std::size_t level = 0; level < num_levels; ++level) {
    const std::size_t begin = level * bins_a_level;
    const std::size_t end = begin + bins_a_level;
    // The bins past the last whole level join its sum, while their own q stays 0.
    const std::size_t sum_end = level + 1 == num_levels ? size : end;
    const std::uint64_t sum = prefix[window.begin + sum_end] - prefix[window.begin + begin];
    const auto non_zero = std::count_if(p.begin() + static_cast<std::ptrdiff_t>(begin),
                                        p.begin() + static_cast<std::ptrdiff_t>(end),
                                        [](double value) { return value != 0.0; });
    if (non_zero == 0) continue;
    const double mean = std::trunc(static_cast<double>(sum) / static_cast<double>(non_zero));
    std::fill(q.begin() + static_cast<std::ptrdiff_t>(begin),
              q.begin() + static_cast<std::ptrdiff_t>(end), mean);
  }

  const auto zeros_p = static_cast<std::size_t>(std::count(p.begin(), p.end(), 0.0));
  const auto zeros_q = static_cast<std::size_t>(std::count(q.begin(), q.end(), 0.0));
  if (zeros_p == size || zeros_q == size) return kInfinity;
  const Smoothing smooth_p(zeros_p, size);
  const Smoothing smooth_q(zeros_q, size);
  double total_p = 0.0;
  double total_q = 0.0;
  for (std::size_t k = 0; k < size; ++k) {
    total_p += p[k] = smooth_p(p[k]);
    total_q += q[k] = smooth_q(q[k]);
  }
  double sum = 0.0;
  for (std::size_t k = 0; k < size; ++k) sum += p[k] * std::log(p[k] / q[k]);
  return sum / total_p + std::log(total_q / total_p);
}

}  // namespace

std::vector<double> modelopt_divergences(std::span<const std::uint64_t> counts,
                                         std::size_t num_levels, std::size_t first_candidate) {
  std::vector<std::uint64_t> bins(counts.begin(), counts.end());
  // Zeros and near-zeros say nothing about the range: the first bin takes its neighbour's count.
  if (bins.size() > 1) bins[0] = bins[1];
  const Prefixes prefix(bins);
  std::vector<double> result;
  for (std::size_t i = first_candidate; i <= bins.size(); ++i) {
    result.push_back(modelopt_divergence(prefix, bins, i, num_levels));
  }
  return result;
}

std::size_t modelopt_entropy_bins(std::span<const std::uint64_t> counts, std::size_t num_levels,
                                  std::size_t first_candidate) {
  const std::vector<double> divergences = modelopt_divergences(counts, num_levels, first_candidate);
  if (divergences.empty()) return counts.size();
  const auto last_least = std::min_element(divergences.rbegin(), divergences.rend());
  return counts.size() - static_cast<std::size_t>(last_least - divergences.rbegin());
}

std::vector<double> onnxruntime_divergences(std::span<const std::uint64_t> counts,
                                            std::size_t num_levels) {
  std::vector<std::uint64_t> prefix(counts.size() + 1);
  std::partial_sum(counts.begin(), counts.end(), prefix.begin() + 1);
  const std::size_t zero = counts.size() / 2;
  std::vector<double> result;
  std::vector<double> p;
  std::vector<double> q;
  for (std::size_t i = num_levels / 2; i <= zero; ++i) {
    const BinWindow window{zero - i, std::min(zero + i + 1, counts.size())};
    result.push_back(onnxruntime_divergence(counts, prefix, window, num_levels, p, q));
  }
  return result;
}

BinWindow onnxruntime_entropy_window(std::span<const std::uint64_t> counts,
                                     std::size_t num_levels) {
  const std::vector<double> divergences = onnxruntime_divergences(counts, num_levels);
  const std::size_t zero = counts.size() / 2;
  if (divergences.empty()) return {0, counts.size()};
  const auto first_least = std::min_element(divergences.begin(), divergences.end());
  const std::size_t i =
      num_levels / 2 + static_cast<std::size_t>(first_least - divergences.begin());
  return {zero - i, std::min(zero + i + 1, counts.size())};
}

}  // namespace cuqat::calibration
