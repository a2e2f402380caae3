// What calibration asks of f32 batches in device memory, read once or twice for each answer there.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "calibration/source.hpp"
#include "cuqat/tensor_view.hpp"
#include "device/memory.hpp"
#include "launchers.hpp"

namespace cuqat {

/// More than kMaxSearchedElements elements. Every answer waits for the stream. The batches must
/// outlive the source.
class BatchSource final : public calibration::Source {
 public:
  BatchSource(std::span<const ConstDeviceTensorView> batches, const Statistics& statistics,
              const gpu::LaunchTarget& target);

  [[nodiscard]] std::vector<double> order_statistics(
      OrderBy order, std::span<const std::int64_t> ranks) const override;
  [[nodiscard]] std::vector<std::uint64_t> linear_histogram(BinRange range,
                                                            std::size_t num_bins) const override;
  [[nodiscard]] std::vector<std::uint64_t> key_histogram(int exponent) const override;
  [[nodiscard]] bool is_exact() const noexcept override { return true; }

  /// Of all elements. @throws CudaError
  static Statistics statistics_of(std::span<const ConstDeviceTensorView> batches,
                                  const gpu::LaunchTarget& target);

 private:
  [[nodiscard]] QuantizationError sum_errors(const QuantParams& params) const override;
  /// Counts that launch(batch, counts) adds up, all batches' together.
  template <typename Launch>
  [[nodiscard]] std::vector<std::uint64_t> counted(std::size_t num_counts,
                                                   const Launch& launch) const;

  std::span<const ConstDeviceTensorView> batches_;
  gpu::LaunchTarget target_;
  detail::DeviceMemory memory_;
  detail::PinnedMemory on_host_;
};

}  // namespace cuqat
