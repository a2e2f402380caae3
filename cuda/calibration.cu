#include "calibration_answers.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "binned_distribution.cuh"
#include "calibration_state.cuh"
#include "coarse_distribution.cuh"
#include "dispatch.hpp"
#include "finalists.cuh"
#include "key_distribution.cuh"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

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
    with_order(order_of(options), [&](auto of_magnitudes) {
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

void launch_clear_statistics(Statistics* all, const LaunchTarget& target) {
  launch(1, kOneThread, target, &clear_statistics_kernel, all);
}

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
  with_order(order_of(options), [&](auto of_magnitudes) {
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

}  // namespace cuqat::gpu
