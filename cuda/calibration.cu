#include "calibration_state.cuh"

#include <algorithm>
#include <cstddef>
#include <type_traits>
#include <utility>

#include "binned_distribution.cuh"
#include "clipping_search.cuh"
#include "coarse_distribution.cuh"
#include "dispatch.hpp"
#include "entropy.cuh"
#include "finalists.cuh"
#include "key_distribution.cuh"
#include "launch.hpp"
#include "launchers.hpp"
#include "sorted_distribution.cuh"
#include "window_entropy.cuh"

namespace cuqat::gpu {
namespace {

/// The compute type of all of them.
using C = float;

/// Blocks that sum the errors of one finalist, of a launch for one scale.
constexpr int kErrorBlocks = 32;

/// Blocks that choose among candidates, count bins, have one thread, make a distribution, sum
/// errors.
constexpr BlockShape kPlan{kPlanThreads, kPlanThreads * sizeof(int)};
constexpr BlockShape kBins{kDistributionThreads, sizeof(BinStorage)};
constexpr BlockShape kOneThread{1, 0};
constexpr BlockShape kDistribution{kDistributionThreads, sizeof(DistributionStorage)};
constexpr BlockShape kErrors{kBlockThreads, sizeof(FinalistErrors)};

/// Some scales whose answers are found side by side.
struct Scales {
  CalibrationMemory memory;
  int number;
  std::int64_t first;  ///< Of all scales.
  bool are_binned;     ///< The bins of an entropy are counted; a search takes bins for values.
  const LaunchTarget& target;

  /// So many blocks for each scale.
  template <typename... Parameters, typename... Arguments>
  void launch(int num_blocks, const BlockShape& block,
              void (*kernel)(CalibrationMemory, Parameters...), Arguments&&... arguments) const {
    gpu::launch(dim3(static_cast<unsigned>(num_blocks), static_cast<unsigned>(number)), block,
                target, kernel, memory, std::forward<Arguments>(arguments)...);
  }
};

void launch_search(const Scales& scales, const RangeRule& rule, double clipping_weight) {
  const SearchRule search{rule.symmetric, clipping_weight};
  int num_candidates = 0;
  for (int i = 0; i < SearchRound::number_of(rule.symmetric); ++i) {
    const SearchRound round = SearchRound::of(i, rule.symmetric);
    scales.launch(1, kPlan, &plan_round_kernel, search, i);
    with_quantizer(rule.quantizer, [&](const auto& quantizer) {
      using Q = std::decay_t<decltype(quantizer)>;
      scales.launch(round.size, {kBlockThreads, sizeof(CandidateStorage)},
                    &candidate_cost_kernel<Q, C>, rule, quantizer, round.first);
    });
    num_candidates = round.first + round.size;
  }
  scales.launch(1, kPlan, &search_finalists_kernel<C>, search, num_candidates, scales.are_binned);
}

void launch_modelopt_entropy(const Scales& scales, Format format) {
  constexpr int kThreads = 64;  // a candidate takes long: on as many multiprocessors as there are
  constexpr int kCandidates = kEntropyBins - kFirstEntropyCandidate + 1;
  scales.launch(1, kBins,
                scales.are_binned ? &entropy_bins_kernel<true> : &entropy_bins_kernel<false>);
  scales.launch((kCandidates - 1) / kThreads + 1, {kThreads, 0}, &entropy_divergence_kernel,
                scalar::num_entropy_levels(format));
  scales.launch(1, kPlan, &entropy_finalist_kernel<C>);
}

void launch_onnxruntime_entropy(const Scales& scales, Format format) {
  const int num_levels = scalar::num_entropy_levels(format);
  scales.launch(
      1, kBins,
      scales.are_binned ? &signed_entropy_bins_kernel<true> : &signed_entropy_bins_kernel<false>);
  scales.launch(kEntropyBins / 2 + 1 - num_levels / 2, {kWindowThreads, sizeof(WindowStorage)},
                &window_divergence_kernel, num_levels);
  scales.launch(1, kPlan, &window_finalist_kernel<C>, num_levels);
}

/// Whether the method looks at magnitudes, not at values.
bool asks_magnitudes(const CalibrationOptions& options) {
  if (options.method != CalibMethod::kEntropy) return options.symmetric;
  return options.dialect != EntropyDialect::kOnnxRuntime;
}

/// Puts the candidates that are left at the end among the finalists; gives the weight of clipping
/// by which they are compared.
double launch_method(const Scales& scales, const CalibrationOptions& options,
                     const RangeRule& rule) {
  switch (options.method) {
    case CalibMethod::kMinMax:
      scales.launch(1, kOneThread, &minmax_finalist_kernel<C>);
      return 1.0;
    case CalibMethod::kPercentile:
      scales.launch(1, kOneThread, &percentile_finalist_kernel<C>, options.symmetric,
                    options.percentile);
      return 1.0;
    case CalibMethod::kEntropy:
      if (options.dialect == EntropyDialect::kOnnxRuntime) {
        launch_onnxruntime_entropy(scales, options.format);
      } else {
        launch_modelopt_entropy(scales, options.format);
      }
      return 1.0;
    case CalibMethod::kMse:
      launch_search(scales, rule, 1.0);
      return 1.0;
    case CalibMethod::kSqnr:
      launch_search(scales, rule, scalar::kSqnrClippingWeight);
      return scalar::kSqnrClippingWeight;
  }
  return 1.0;
}

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

/// Whether candidates are compared by what they cost.
bool is_search(const CalibrationOptions& options) {
  return options.method == CalibMethod::kMse || options.method == CalibMethod::kSqnr;
}

/// From the distributions to the scales. launch_errors(an element quantizer, the rule) sums the
/// errors of the finalists of a search.
template <typename LaunchErrors>
void launch_answers(const Scales& scales, const CalibrationOptions& options,
                    const Quantizer& quantizer, const ScaleOutput& output,
                    const LaunchErrors& launch_errors) {
  const RangeRule rule{quantizer, options.symmetric};
  const double clipping_weight = launch_method(scales, options, rule);
  if (is_search(options)) {
    with_quantizer(quantizer,
                   [&](const auto& element_quantizer) { launch_errors(element_quantizer, rule); });
  }
  scales.launch(1, kOneThread, &choose_finalist_kernel<C>, rule, clipping_weight, output,
                scales.first);
}

/// The same where the errors are those of the distributions.
void launch_answers(const Scales& scales, const CalibrationOptions& options,
                    const Quantizer& quantizer, const ScaleOutput& output) {
  launch_answers(scales, options, quantizer, output, [&](const auto& q, const RangeRule& rule) {
    const int num_blocks = std::max(1, kErrorBlocks / scales.number);
    scales.launch(kFinalistSlots * num_blocks, kErrors,
                  &finalist_errors_kernel<std::decay_t<decltype(q)>, C>, rule, q);
  });
}

/// The counts of a collector, for f32 the statistics, and behind them the memory of one scale.
struct KeyState {
  static constexpr std::size_t kCountBytes = kNumKeys * sizeof(unsigned long long);

  unsigned long long* counts;
  ObservedStatistics* statistics;  ///< Of f32.
  CalibrationMemory memory;

  KeyState(DType dtype, void* state)
      : counts(static_cast<unsigned long long*>(state)),
        statistics(reinterpret_cast<ObservedStatistics*>(counts + kNumKeys)),
        memory(CalibrationMemory::at(static_cast<std::byte*>(state) + memory_offset(dtype), 1,
                                     capacity(dtype), num_bins(dtype))) {}

  static std::size_t bytes(DType dtype) {
    return memory_offset(dtype) +
           CalibrationMemory::bytes_per_scale(capacity(dtype), num_bins(dtype));
  }

 private:
  static std::size_t memory_offset(DType dtype) {
    return kCountBytes + (dtype == DType::kF32 ? aligned(sizeof(ObservedStatistics)) : 0);
  }
  static int capacity(DType dtype) {
    return dtype == DType::kF32 ? kMaxValues : static_cast<int>(kNumKeys);
  }
  static int num_bins(DType dtype) { return dtype == DType::kF32 ? 2 * scalar::kSearchBins : 0; }
};

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
  std::size_t elements_bytes = 0;  ///< Sorted, gathered, or a KeyState.
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
        elements_bytes = KeyState::bytes(tensor.dtype);
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

  static OrderBy order_of(const CalibrationOptions& options) {
    return asks_magnitudes(options) ? OrderBy::kMagnitude : OrderBy::kValue;
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
      ScalePlan::order_of(calibration.options), 1, {calibration.options.percentile}};
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

void clear_bins(const Scales& scales) {
  const CalibrationMemory& memory = scales.memory;
  const auto num_bins =
      static_cast<std::size_t>(scales.number) * static_cast<std::size_t>(memory.num_bins);
  check(cudaMemsetAsync(memory.bins, 0, num_bins * sizeof(*memory.bins), scales.target.stream),
        "cudaMemsetAsync", scales.target.operation);
}

/// body(bins, TypeTag<the table of them>, whether that is of magnitudes) for the bins of a search.
template <typename Body>
void with_search_bins(const CalibrationOptions& options, const Body& body) {
  if (!is_integer(options.format)) {
    return body(RelativeBins{}, TypeTag<detail::RelativeBinTable>{}, std::true_type{});
  }
  const EqualBins bins{scalar::kSearchBins, options.symmetric};
  if (options.symmetric)
    return body(bins, TypeTag<detail::EqualBinTable<true>>{}, std::true_type{});
  body(bins, TypeTag<detail::EqualBinTable<false>>{}, std::false_type{});
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
    const EqualBins bins = asks_magnitudes(options) ? magnitude_bins() : value_bins();
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

/// A collector of f32.
void launch_coarse_calibration(const CalibrationOptions& options, const Quantizer& quantizer,
                               const KeyState& state, const ScaleOutput& output,
                               const LaunchTarget& target) {
  const CoarseKeys keys{state.counts, &state.statistics->all};
  const Scales scales{state.memory, 1, 0, is_search(options), target};
  if (is_search(options)) {
    clear_bins(scales);
    with_search_bins(options, [&](const auto& bins, auto table, auto of_magnitudes) {
      using Table = typename decltype(table)::Type;
      scales.launch(static_cast<int>(kNumKeys) / kBlockThreads, {kBlockThreads, 0},
                    &coarse_bins_kernel<std::decay_t<decltype(bins)>>, bins, keys);
      scales.launch(1, kDistribution,
                    &coarse_distribution_kernel<Table, decltype(of_magnitudes)::value>, keys, true);
    });
  } else {
    with_order(ScalePlan::order_of(options), [&](auto of_magnitudes) {
      constexpr bool kOfMagnitudes = decltype(of_magnitudes)::value;
      scales.launch(
          1, kDistribution,
          &coarse_distribution_kernel<detail::EqualBinTable<kOfMagnitudes>, kOfMagnitudes>, keys,
          false);
    });
  }
  launch_answers(scales, options, quantizer, output, [&](const auto& q, const RangeRule& rule) {
    scales.launch(kFinalistSlots * kErrorBlocks, kErrors,
                  &finalist_key_errors_kernel<std::decay_t<decltype(q)>>, rule, q, keys);
  });
}

}  // namespace

std::size_t calibration_state_bytes(DType dtype) { return KeyState::bytes(dtype); }

void launch_merge_statistics(const Statistics* batch, Statistics* all, const LaunchTarget& target) {
  launch(1, kOneThread, target, &merge_statistics_kernel, batch, all);
}

void launch_calibration(DType dtype, const CalibrationOptions& options, const Quantizer& quantizer,
                        void* state, const ScaleOutput& output, const LaunchTarget& target) {
  const KeyState keys(dtype, state);
  if (dtype == DType::kF32) {
    return launch_coarse_calibration(options, quantizer, keys, output, target);
  }
  constexpr BlockShape kBlock{kDistributionThreads,
                              std::max(sizeof(DistributionStorage), sizeof(KeyStatisticsStorage))};
  with_order(ScalePlan::order_of(options), [&](auto of_magnitudes) {
    constexpr bool kOfMagnitudes = decltype(of_magnitudes)::value;
    const auto fill = [&](auto kernel) {
      launch(2, kBlock, target, kernel, keys.counts, keys.memory);
    };
    if (dtype == DType::kBF16) return fill(&key_distribution_kernel<bfloat16, kOfMagnitudes>);
    fill(&key_distribution_kernel<float16, kOfMagnitudes>);
  });
  launch_answers({keys.memory, 1, 0, false, target}, options, quantizer, output);
}

void launch_equal_bins(std::int64_t count, const void* x, double amax, BinRange range,
                       std::size_t num_bins, std::uint64_t* counts, const LaunchTarget& target) {
  const bool of_magnitudes = range == BinRange::kMagnitude;
  const EqualBins bins{static_cast<int>(of_magnitudes ? num_bins : num_bins / 2), of_magnitudes};
  const std::size_t shared_bytes = num_bins * sizeof(unsigned);
  constexpr std::size_t kFew = 8'192;  // that leave a multiprocessor room for several blocks
  const auto add = [&](auto kernel, std::size_t of_block) {
    launch_streaming(count, 1, of_block, target, kernel, bins, amax, count, x,
                     reinterpret_cast<unsigned long long*>(counts),
                     static_cast<unsigned>(num_bins));
  };
  if (num_bins <= kFew) return add(&add_bins_kernel<true, EqualBins>, shared_bytes);
  add(&add_bins_kernel<false, EqualBins>, 0);
}

void launch_relative_bins(std::int64_t count, const void* x, double amax, std::uint64_t* counts,
                          const LaunchTarget& target) {
  launch_streaming(count, 1, 0, target, &add_bins_kernel<false, RelativeBins>, RelativeBins{}, amax,
                   count, x, reinterpret_cast<unsigned long long*>(counts), unsigned{kNumKeys / 2});
}

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
    auto* const counts = static_cast<std::uint64_t*>(scratch);
    check(cudaMemsetAsync(counts, 0, KeyState::kCountBytes, target.stream), "cudaMemsetAsync",
          target.operation);
    launch_key_histogram(tensor.dtype, tensor.shape.count(), x, counts, nullptr, target);
    return launch_calibration(tensor.dtype, options, calibration.quantizer, scratch, output,
                              target);
  }
  auto* const statistics = static_cast<Statistics*>(scratch);
  launch_scale_statistics(tensor, x, statistics, target);
  if (plan.way == Way::kStatistics) {
    return launch_minmax_scales(DType::kF32, tensor.num_scales, statistics,
                                {calibration.quantizer, options.symmetric}, output, target);
  }
  std::byte* const elements_scratch = static_cast<std::byte*>(scratch) + plan.statistics_bytes;
  std::byte* const search_scratch = elements_scratch + plan.elements_bytes;
  const OrderBy order = ScalePlan::order_of(options);
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

}  // namespace cuqat::gpu
