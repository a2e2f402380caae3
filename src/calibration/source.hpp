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

/// Adds the error of another part of the same elements.
void merge_errors(QuantizationError& sum, const QuantizationError& part);

/// Error of quantizing all batches with one scale.
QuantizationError error_of_tensors(std::span<const ConstTensorView> batches,
                                   const Quantizer& quantizer, ScaleZeroPoint params, double amax,
                                   const HostOptions& options);

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
  /// Error of quantizing everything with one scale; its unit is statistics().amax().
  [[nodiscard]] virtual QuantizationError error(const Quantizer& quantizer,
                                                ScaleZeroPoint params) const = 0;
  /// Values to search a clipping range on.
  [[nodiscard]] virtual const Distribution& search_values(OrderBy order) const = 0;
  /// Whether order statistics and histograms are those of the observed elements.
  [[nodiscard]] virtual bool is_exact() const noexcept = 0;
  /// Whether search_values are.
  [[nodiscard]] virtual bool search_is_exact() const noexcept = 0;

 private:
  DType dtype_;
  Statistics statistics_;
};

/// A distribution in memory, exact or coarsened. It must outlive the source, and so must `data`,
/// the tensors it is of: where they are given and few of their elements are equal, errors are
/// computed by reading them, which is faster and gives the same integers.
class DistributionSource final : public Source {
 public:
  DistributionSource(DType dtype, const Statistics& statistics, const Distribution& values,
                     bool exact, const HostOptions& options,
                     std::span<const ConstTensorView> data = {});
  [[nodiscard]] std::vector<double> order_statistics(
      OrderBy order, std::span<const std::int64_t> ranks) const override;
  [[nodiscard]] std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                            std::size_t num_bins) const override;
  [[nodiscard]] QuantizationError error(const Quantizer& quantizer,
                                        ScaleZeroPoint params) const override;
  [[nodiscard]] const Distribution& search_values(OrderBy order) const override;
  [[nodiscard]] bool is_exact() const noexcept override { return exact_; }
  [[nodiscard]] bool search_is_exact() const noexcept override { return exact_; }

 private:
  const Distribution& values_;
  std::span<const ConstTensorView> data_;
  mutable Distribution magnitudes_;  ///< Made when first asked for.
  bool exact_;
  HostOptions options_;
};

/// Tensors that are read once or twice for each answer.
class TensorSource final : public Source {
 public:
  TensorSource(std::span<const ConstTensorView> batches, const Statistics& statistics,
               const HostOptions& options);
  [[nodiscard]] std::vector<double> order_statistics(
      OrderBy order, std::span<const std::int64_t> ranks) const override;
  [[nodiscard]] std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                            std::size_t num_bins) const override;
  [[nodiscard]] QuantizationError error(const Quantizer& quantizer,
                                        ScaleZeroPoint params) const override;
  [[nodiscard]] const Distribution& search_values(OrderBy order) const override;
  [[nodiscard]] bool is_exact() const noexcept override { return true; }
  [[nodiscard]] bool search_is_exact() const noexcept override { return false; }

 private:
  std::span<const ConstTensorView> batches_;
  mutable Distribution magnitudes_;
  mutable Distribution signed_values_;
  HostOptions options_;
};

}  // namespace cuqat::calibration
