#include "calibration_answers.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "binned_distribution.cuh"
#include "bins.cuh"
#include "calibration_state.cuh"
#include "dispatch.hpp"
#include "finalists.cuh"
#include "gather_scales.cuh"
#include "launch.hpp"
#include "launchers.hpp"
#include "sorted_distribution.cuh"

namespace cuqat::gpu {
namespace {

/// Elements of f32 that lie together by scale.
struct ScaleElements {
  SegmentLayout layout;
  const void* x;  ///< Of any alignment.
};

/// Blocks for each scale of a launch over elements: enough for the device, and so many that no
/// counter of a block gets past 32 bits.
int blocks_over_elements(const Scales& scales, const SegmentLayout& layout) {
  const int wanted =
      scales.target.num_multiprocessors * kMaxBlocksPerMultiprocessor / 2 / scales.number;
  return std::max(wanted, static_cast<int>(layout.segment_length >> 31) + 1);
}

/// How a calibration of scales is answered, and the scratch memory that it takes, in its order.
struct ScalePlan {
  enum class Way : std::uint8_t {
    kStatistics,  ///< Min-max; of nothing every method says the same.
    kPercentiles,
    kKeys,    ///< One scale of 16-bit elements is counted.
    kSorted,  ///< The elements of each scale are sorted.
    kBinned   ///< Those of f32 that are too many are counted in bins.
  };

  Way way;
  std::size_t statistics_bytes = 0;
  std::size_t ranges_bytes = 0;
  std::size_t elements_bytes = 0;  ///< Sorted, gathered, or what a collector has.
  int capacity = 0;
  int num_bins = 0;
  std::size_t bytes_per_scale = 0;  ///< That is searched.

  ScalePlan(const ScaleCalibration& calibration, const LaunchTarget& target)
      : way(way_of(calibration)) {
    const DeviceScaledTensor& tensor = calibration.tensor;
    const CalibrationOptions& options = calibration.options;
    const auto num_scales = static_cast<std::size_t>(tensor.num_scales);
    if (way != Way::kPercentiles && way != Way::kKeys) {
      statistics_bytes = aligned(num_scales * sizeof(Statistics));
    }
    switch (way) {
      case Way::kStatistics:
        return;
      case Way::kPercentiles:
        ranges_bytes = aligned(num_scales * sizeof(Range));
        elements_bytes = num_scales == 1
                             ? percentile_scratch_bytes(tensor.dtype, order_of(options), 1)
                             : sort_scratch_bytes(tensor, target);
        return;
      case Way::kKeys:
        elements_bytes = calibration_state_bytes(tensor.dtype);
        return;
      case Way::kSorted:
        elements_bytes = aligned(sort_scratch_bytes(tensor, target));
        capacity = static_cast<int>(std::min<std::int64_t>(longest_scale(tensor), kNumKeys));
        break;
      case Way::kBinned:
        if (must_gather(tensor)) {
          elements_bytes = aligned(static_cast<std::size_t>(tensor.shape.count()) * sizeof(float));
        }
        num_bins = num_bins_of(options);
        capacity = options.method == CalibMethod::kEntropy ? 0 : num_bins + 1;  // and 0
        break;
    }
    bytes_per_scale = CalibrationMemory::bytes_per_scale(capacity, num_bins);
  }

  /// Scales that are searched side by side, at most: blocks of a grid in that direction.
  static constexpr std::int64_t kMostAtOnce = 65'535;

  [[nodiscard]] std::size_t fixed_bytes() const {
    return statistics_bytes + ranges_bytes + elements_bytes;
  }

  /// The elements of a scale do not lie together.
  static bool must_gather(const DeviceScaledTensor& tensor) {
    const ScaleMap map = scale_map(tensor);
    return map.is_periodic && tensor.shape.count() > map.row_length;
  }

 private:
  static int num_bins_of(const CalibrationOptions& options) {
    if (options.method == CalibMethod::kEntropy) return kEntropyBins;
    if (!is_integer(options.format)) return static_cast<int>(kNumKeys) / 2;
    return options.symmetric ? scalar::kSearchBins : 2 * scalar::kSearchBins;
  }
  static Way way_of(const ScaleCalibration& calibration) {
    const DeviceScaledTensor& tensor = calibration.tensor;
    if (calibration.options.method == CalibMethod::kMinMax || tensor.shape.count() == 0) {
      return Way::kStatistics;
    }
    if (calibration.options.method == CalibMethod::kPercentile) return Way::kPercentiles;
    if (tensor.dtype != DType::kF32) return tensor.num_scales == 1 ? Way::kKeys : Way::kSorted;
    return longest_scale(tensor) > kMaxSearchedElements ? Way::kBinned : Way::kSorted;
  }
};

void launch_percentile_scales(const ScaleCalibration& calibration, const void* x,
                              const ScalePlan& plan, const ScaleOutput& output, void* scratch,
                              const LaunchTarget& target) {
  const DeviceScaledTensor& tensor = calibration.tensor;
  auto* const ranges = static_cast<Range*>(scratch);
  void* const rest = static_cast<std::byte*>(scratch) + plan.ranges_bytes;
  const PercentileRequest request{
      order_of(calibration.options), 1, {calibration.options.percentile}};
  if (tensor.num_scales == 1) {
    launch_percentiles(tensor.dtype, tensor.shape.count(), x, request, ranges, rest, target);
  } else {
    launch_sorted_percentiles(tensor, x, request, ranges, rest, plan.elements_bytes, target);
  }
  launch_range_scales(DType::kF32, tensor.num_scales, ranges,
                      {calibration.quantizer, calibration.options.symmetric}, output, target);
}

void launch_distributions(const Scales& scales, const DeviceScaledTensor& tensor, OrderBy order,
                          const void* keys, const Statistics* statistics) {
  with_type(tensor.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    if constexpr (!std::is_same_v<T, double>) {
      with_order(order, [&](auto of_magnitudes) {
        scales.launch(
            1, kDistribution, &sorted_distribution_kernel<T, decltype(of_magnitudes)::value>,
            scale_segments(tensor), scales.first, static_cast<const BitsOf<T>*>(keys), statistics);
      });
    }
  });
}

/// Bins of f32 elements, and for a search what they stand for as values.
void launch_binned(const Scales& scales, const CalibrationOptions& options,
                   const ScaleElements& elements, const Statistics* statistics) {
  clear_bins(scales);
  const int num_blocks = blocks_over_elements(scales, elements.layout);
  const auto count = [&](auto kernel, const auto& bins, std::size_t shared_bytes) {
    scales.launch(num_blocks, {kBlockThreads, shared_bytes}, kernel, bins, elements.layout,
                  scales.first, elements.x, statistics);
  };
  if (options.method == CalibMethod::kEntropy) {
    const EqualBins bins =
        order_of(options) == OrderBy::kMagnitude ? magnitude_bins() : value_bins();
    return count(&count_bins_kernel<true, EqualBins>, bins, kEntropyBins * sizeof(unsigned));
  }
  with_search_bins(options, [&](const auto& bins, auto table, auto of_magnitudes) {
    using Table = typename decltype(table)::Type;
    count(&count_bins_kernel<false, std::decay_t<decltype(bins)>>, bins, 0);
    scales.launch(1, kDistribution,
                  &binned_distribution_kernel<Table, decltype(of_magnitudes)::value>, scales.first,
                  statistics);
  });
}

/// One scale of 16-bit elements, as a collector would answer.
void launch_counted_scale(const ScaleCalibration& calibration, const void* x,
                          const ScaleOutput& output, void* scratch, const LaunchTarget& target) {
  const DeviceScaledTensor& tensor = calibration.tensor;
  auto* const counts = static_cast<std::uint64_t*>(scratch);
  check(cudaMemsetAsync(counts, 0, kNumKeys * sizeof(*counts), target.stream), "cudaMemsetAsync",
        target.operation);
  launch_key_histogram(tensor.dtype, tensor.shape.count(), x, counts, nullptr, target);
  launch_calibration(tensor.dtype, calibration.options, calibration.quantizer, scratch, output,
                     target);
}

/// The scales of a sorted or counted tensor, as many side by side as the scratch memory holds. It
/// begins with the statistics of each.
void launch_searches(const ScaleCalibration& calibration, const void* x, const ScalePlan& plan,
                     const ScaleOutput& output, void* scratch, std::size_t scratch_bytes,
                     const LaunchTarget& target) {
  using Way = ScalePlan::Way;
  const DeviceScaledTensor& tensor = calibration.tensor;
  const CalibrationOptions& options = calibration.options;
  const auto* const statistics = static_cast<const Statistics*>(scratch);
  std::byte* const elements_scratch = static_cast<std::byte*>(scratch) + plan.statistics_bytes;
  std::byte* const search_scratch = elements_scratch + plan.elements_bytes;
  const OrderBy order = order_of(options);
  const void* keys = nullptr;
  ScaleElements elements{scale_segments(tensor), x};
  if (plan.way == Way::kSorted) {
    keys = launch_sort_scales(tensor, x, order, elements_scratch, plan.elements_bytes, target);
  } else if (ScalePlan::must_gather(tensor)) {
    auto* const gathered = reinterpret_cast<float*>(elements_scratch);
    launch_streaming(tensor.shape.count(), 1, 0, target, &gather_scales_kernel,
                     tensor.shape.count(), scale_map(tensor), elements.layout.segment_length,
                     elements.x, gathered);
    elements.x = gathered;
  }
  const auto room =
      static_cast<std::int64_t>((scratch_bytes - plan.fixed_bytes()) / plan.bytes_per_scale);
  const std::int64_t at_once = std::min(room, ScalePlan::kMostAtOnce);
  for (std::int64_t first = 0; first < tensor.num_scales; first += at_once) {
    const auto number = static_cast<int>(std::min(at_once, tensor.num_scales - first));
    const Scales scales{CalibrationMemory::at(search_scratch, number, plan.capacity, plan.num_bins),
                        number, first, plan.way == Way::kBinned, target};
    if (plan.way == Way::kSorted) {
      launch_distributions(scales, tensor, order, keys, statistics);
      launch_answers(scales, options, calibration.quantizer, output);
    } else {
      launch_binned(scales, options, elements, statistics);
      const int num_blocks =
          std::max(1, blocks_over_elements(scales, elements.layout) / kFinalistSlots);
      launch_answers(scales, options, calibration.quantizer, output,
                     [&](const auto& q, const RangeRule& rule) {
                       scales.launch(kFinalistSlots * num_blocks, kErrors,
                                     &finalist_element_errors_kernel<std::decay_t<decltype(q)>>,
                                     rule, q, elements.layout, first, elements.x);
                     });
    }
  }
}

}  // namespace

std::int64_t longest_scale(const DeviceScaledTensor& tensor) {
  return tensor.shape.count() == 0 ? 0 : scale_segments(tensor).segment_length;
}

std::size_t scale_calibration_scratch_bytes(const ScaleCalibration& calibration,
                                            std::int64_t scales_at_once,
                                            const LaunchTarget& target) {
  const ScalePlan plan(calibration, target);
  const std::int64_t most =
      std::clamp<std::int64_t>(calibration.tensor.num_scales, 1, ScalePlan::kMostAtOnce);
  return plan.fixed_bytes() +
         static_cast<std::size_t>(std::min(scales_at_once, most)) * plan.bytes_per_scale;
}

void launch_scale_calibration(const ScaleCalibration& calibration, const void* x,
                              const ScaleOutput& output, void* scratch, std::size_t scratch_bytes,
                              const LaunchTarget& target) {
  using Way = ScalePlan::Way;
  const DeviceScaledTensor& tensor = calibration.tensor;
  const CalibrationOptions& options = calibration.options;
  const ScalePlan plan(calibration, target);
  if (plan.way == Way::kPercentiles) {
    return launch_percentile_scales(calibration, x, plan, output, scratch, target);
  }
  if (plan.way == Way::kKeys) {
    return launch_counted_scale(calibration, x, output, scratch, target);
  }
  auto* const statistics = static_cast<Statistics*>(scratch);
  launch_scale_statistics(tensor, x, statistics, target);
  if (plan.way == Way::kStatistics) {
    return launch_minmax_scales(DType::kF32, tensor.num_scales, statistics,
                                {calibration.quantizer, options.symmetric}, output, target);
  }
  launch_searches(calibration, x, plan, output, scratch, scratch_bytes, target);
}

}  // namespace cuqat::gpu
