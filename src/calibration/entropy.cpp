#include "calibration/entropy.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "cuqat/scalar/entropy.hpp"
#include "cuqat/scalar/logarithm.hpp"

namespace cuqat::calibration {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// Prefix sums that make one candidate cost O(levels) instead of O(bins).
class Prefixes {
 public:
  explicit Prefixes(std::span<const std::uint64_t> bins)
      : count_(bins.size() + 1), non_empty_(bins.size() + 1), c_log_c_(bins.size() + 1) {
    double runs = 0.0;  // before the run of i, and in it before i
    double run = 0.0;
    for (std::size_t i = 0; i < bins.size(); ++i) {
      if (i % scalar::kEntropyRun == 0) {
        runs += run;
        run = 0.0;
      }
      count_[i + 1] = count_[i] + bins[i];
      non_empty_[i + 1] = non_empty_[i] + static_cast<std::uint32_t>(bins[i] != 0);
      run += scalar::x_log_x(static_cast<double>(bins[i]));
      c_log_c_[i + 1] = runs + run;
    }
  }
  [[nodiscard]] scalar::EntropyPrefixes view() const {
    return {count_.data(), non_empty_.data(), c_log_c_.data()};
  }

 private:
  std::vector<std::uint64_t> count_;
  std::vector<std::uint32_t> non_empty_;
  std::vector<double> c_log_c_;
};

// ONNX Runtime's rule is computed in f32, as ONNX Runtime computes it: near its minimum the
// divergence is so flat that f64 picks candidates 15 bins away.

/// Sum in the association of numpy: eight partial sums a block of at most 128, halves above.
float pairwise_sum(std::span<const float> x) {
  if (x.size() < 8) return std::accumulate(x.begin(), x.end(), 0.0f);
  if (x.size() > 128) {
    const std::size_t half = x.size() / 2 / 8 * 8;
    return pairwise_sum(x.first(half)) + pairwise_sum(x.subspan(half));
  }
  std::array<float, 8> part{};
  const std::size_t whole = x.size() / 8 * 8;
  for (std::size_t i = 0; i < whole; ++i) part[i % 8] += x[i];
  const float sum =
      ((part[0] + part[1]) + (part[2] + part[3])) + ((part[4] + part[5]) + (part[6] + part[7]));
  return std::accumulate(x.begin() + static_cast<std::ptrdiff_t>(whole), x.end(), sum);
}

/// Zeros become 1e-4, and the others give up as much in all; then everything is normalised. False
/// where all are zero.
bool smooth_and_normalise(std::vector<float>& x) {
  constexpr double kEpsilon = 1e-4;
  const auto num_zeros = static_cast<double>(std::count(x.begin(), x.end(), 0.0f));
  const double num_others = static_cast<double>(x.size()) - num_zeros;
  if (num_others == 0.0) return false;
  const auto given_up = static_cast<float>(kEpsilon * num_zeros / num_others);
  for (float& value : x) {
    value = value == 0.0f ? static_cast<float>(kEpsilon) : value - given_up;
  }
  const float sum = pairwise_sum(x);
  for (float& value : x) value /= sum;
  return true;
}

/// sum p ln(p / q) of normalised p and q; p is overwritten. Runs of equal bins are common.
float divergence(std::vector<float>& p, const std::vector<float>& q) {
  float last_p = 0.0f;
  float last_q = 0.0f;
  float last = 0.0f;
  for (std::size_t k = 0; k < p.size(); ++k) {
    if (p[k] != last_p || q[k] != last_q) {
      last_p = p[k];
      last_q = q[k];
      const auto wide = static_cast<double>(last_p);
      last = static_cast<float>(wide * scalar::logarithm(wide / static_cast<double>(last_q)));
    }
    p[k] = last;
  }
  return pairwise_sum(p);
}

double onnxruntime_divergence(std::span<const std::uint64_t> counts,
                              std::span<const std::uint64_t> prefix, BinWindow window,
                              std::size_t num_levels, std::vector<float>& p,
                              std::vector<float>& q) {
  const std::size_t size = window.end - window.begin;
  p.resize(size);
  q.assign(size, 0.0f);
  for (std::size_t k = 1; k + 1 < size; ++k) p[k] = static_cast<float>(counts[window.begin + k]);
  p.front() = static_cast<float>(prefix[window.begin + 1]);
  p.back() = static_cast<float>(prefix.back() - prefix[window.end - 1]);

  const std::size_t bins_a_level = size / num_levels;
  for (std::size_t level = 0; level < num_levels; ++level) {
    const std::size_t begin = level * bins_a_level;
    const std::size_t end = begin + bins_a_level;
    // The bins past the last whole level join its sum, while their own q stays 0.
    const std::size_t sum_end = level + 1 == num_levels ? size : end;
    const std::uint64_t sum = prefix[window.begin + sum_end] - prefix[window.begin + begin];
    const auto non_zero = static_cast<std::uint64_t>(std::count_if(
        p.begin() + static_cast<std::ptrdiff_t>(begin),
        p.begin() + static_cast<std::ptrdiff_t>(end), [](float value) { return value != 0.0f; }));
    if (non_zero == 0) continue;
    const std::uint64_t whole = sum / non_zero;  // the rule truncates
    std::fill(q.begin() + static_cast<std::ptrdiff_t>(begin),
              q.begin() + static_cast<std::ptrdiff_t>(end), static_cast<float>(whole));
  }
  if (!smooth_and_normalise(p) || !smooth_and_normalise(q)) return kInfinity;
  return static_cast<double>(divergence(p, q));
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
    result.push_back(scalar::modelopt_divergence(prefix.view(), bins.size(), i, num_levels));
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
  std::vector<float> p;
  std::vector<float> q;
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
