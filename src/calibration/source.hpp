// Where a calibration's numbers come from: a distribution in memory, or tensors that can be read
// again. Every answer is a sum of integers or an order statistic, so it depends on the numbers
// alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "calibration/distribution.hpp"
#include "cuqat/calibration.hpp"

namespace cuqat::calibration {

inline bool must_search_bins(DType dtype, const Statistics& statistics) noexcept {
  return (dtype == DType::kF32 || dtype == DType::kF64) && statistics.count > kMaxSearchedElements;
}

class Source {
 public:
  Source(DType dtype, const Statistics& statistics) : dtype_(dtype), statistics_(statistics) {}
  virtual ~Source() = default;
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  [[nodiscard]] DType dtype() const noexcept { return dtype_; }
  [[nodiscard]] const Statistics& statistics() const noexcept { return statistics_; }

  /// The finite elements of these ranks.
  [[nodiscard]] virtual std::vector<double> order_statistics(
      OrderBy order, std::span<const std::int64_t> ranks) const = 0;
  /// Equal bins as accumulate_linear_histogram defines them.
  [[nodiscard]] virtual std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                                    std::size_t num_bins) const = 0;
  /// Error of quantizing everything with one scale; its unit is statistics().amax(). Methods often
  /// ask for the same again: answers are kept.
  [[nodiscard]] QuantizationError error(const Quantizer& quantizer, ScaleZeroPoint params) const;
  /// Keys of f32(x * 2^-exponent), 65 536 of them: bins of equal relative width.
  [[nodiscard]] virtual std::vector<std::uint64_t> key_histogram(int exponent) const = 0;
  /// Values to search a clipping range on: the distinct values, or bins of more f32 or f64 elements
  /// than kMaxSearchedElements. The bins are as wide everywhere as the format's steps are: equal
  /// for integers, relative to the value for FP8 (whose search is by magnitude).
  [[nodiscard]] const Distribution& search_values(OrderBy order, Format format) const;
  /// Whether order statistics and histograms are those of the observed elements.
  [[nodiscard]] virtual bool is_exact() const noexcept = 0;
  /// Whether search_values are.
  [[nodiscard]] bool search_is_exact() const noexcept { return is_exact() && !searches_bins(); }

 protected:
  [[nodiscard]] virtual QuantizationError sum_errors(const QuantParams& params) const = 0;
  /// Depends on the elements alone, so that tensors and saved statistics are searched alike.
  [[nodiscard]] bool searches_bins() const noexcept {
    return must_search_bins(dtype_, statistics_);
  }
  /// The distinct values; null where they are too many to have or to search.
  [[nodiscard]] virtual const Distribution* distinct_values(OrderBy) const { return nullptr; }

 private:
  /// 2^16 equal bins of each sign, as values at their middles.
  [[nodiscard]] Distribution equal_bins(OrderBy order) const;
  /// Bins of magnitudes by the leading bits of f32.
  [[nodiscard]] Distribution relative_bins() const;

  DType dtype_;
  Statistics statistics_;
  mutable Distribution binned_magnitudes_;  ///< Made when first asked for.
  mutable Distribution binned_values_;
  mutable Distribution relative_magnitudes_;
  struct KnownError {
    Quantizer quantizer;
    ScaleZeroPoint params;
    QuantizationError error;
  };
  mutable std::vector<KnownError> known_errors_;
};

/// Adds the values, none of a magnitude over amax, to equal bins, as accumulate_linear_histogram
/// does.
void add_linear_histogram(const Distribution& values, DType dtype, double amax, BinRange range,
                          std::span<std::uint64_t> bins);

/// A distribution in memory, exact or coarsened. It must outlive the source.
class DistributionSource final : public Source {
 public:
  DistributionSource(DType dtype, const Statistics& statistics, const Distribution& values,
                     bool exact, const HostOptions& options);
  [[nodiscard]] std::vector<double> order_statistics(
      OrderBy order, std::span<const std::int64_t> ranks) const override;
  [[nodiscard]] std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                            std::size_t num_bins) const override;
  [[nodiscard]] std::vector<std::uint64_t> key_histogram(int exponent) const override;
  [[nodiscard]] bool is_exact() const noexcept override { return exact_; }

 private:
  [[nodiscard]] QuantizationError sum_errors(const QuantParams& params) const override;
  [[nodiscard]] const Distribution* distinct_values(OrderBy order) const override;
  [[nodiscard]] const Distribution& sorted(OrderBy order) const;

  const Distribution& values_;
  mutable Distribution magnitudes_;  ///< Made when first asked for.
  bool exact_;
  HostOptions options_;
};

/// More than kMaxSearchedElements f32 or f64 elements, read once or twice for each answer.
class TensorSource final : public Source {
 public:
  TensorSource(std::span<const ConstTensorView> batches, const Statistics& statistics,
               const HostOptions& options);
  [[nodiscard]] std::vector<double> order_statistics(
      OrderBy order, std::span<const std::int64_t> ranks) const override;
  [[nodiscard]] std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                            std::size_t num_bins) const override;
  [[nodiscard]] std::vector<std::uint64_t> key_histogram(int exponent) const override;
  [[nodiscard]] bool is_exact() const noexcept override { return true; }

 private:
  [[nodiscard]] QuantizationError sum_errors(const QuantParams& params) const override;

  std::span<const ConstTensorView> batches_;
  HostOptions options_;
};

/// The same for elements of one scale that do not lie together and are too many to copy: they are
/// gathered piece by piece for each answer.
class ScatteredSource final : public Source {
 public:
  ScatteredSource(std::span<const ConstTensorView> batches, const Granularity& granularity,
                  std::int64_t scale, const Statistics& statistics, const HostOptions& options);
  [[nodiscard]] std::vector<double> order_statistics(
      OrderBy order, std::span<const std::int64_t> ranks) const override;
  [[nodiscard]] std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                            std::size_t num_bins) const override;
  [[nodiscard]] std::vector<std::uint64_t> key_histogram(int exponent) const override;
  [[nodiscard]] bool is_exact() const noexcept override { return true; }

 private:
  [[nodiscard]] QuantizationError sum_errors(const QuantParams& params) const override;
  /// visit(a TensorSource of some of the elements), for all of them.
  template <typename Visit>
  void for_each_piece(Visit visit) const;

  std::span<const ConstTensorView> batches_;
  Granularity granularity_;
  std::int64_t scale_;
  HostOptions options_;
};

/// Times 2^-exponent, rounded to f32. The product with a number of that exponent is near 1.
class RelativeKey {
 public:
  explicit RelativeKey(int exponent);
  [[nodiscard]] float operator()(double value) const noexcept;

 private:
  double first_;  ///< Two factors: one may be past the range of f64.
  double second_;
};

}  // namespace cuqat::calibration
