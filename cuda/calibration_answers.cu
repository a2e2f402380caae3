#include "calibration_answers.hpp"

#include <algorithm>
#include <type_traits>

#include "calibration_state.cuh"
#include "clipping_search.cuh"
#include "dispatch.hpp"
#include "entropy.cuh"
#include "finalists.cuh"
#include "launch.hpp"
#include "launchers.hpp"
#include "window_entropy.cuh"

namespace cuqat::gpu {
namespace {

/// The compute type of all of them.
using C = float;

/// Blocks that choose among candidates, and that count bins.
constexpr BlockShape kPlan{kPlanThreads, kPlanThreads * sizeof(int)};
constexpr BlockShape kBins{kDistributionThreads, sizeof(BinStorage)};

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

}  // namespace

OrderBy order_of(const CalibrationOptions& options) {
  const bool asks_magnitudes = options.method == CalibMethod::kEntropy
                                   ? options.dialect != EntropyDialect::kOnnxRuntime
                                   : options.symmetric;
  return asks_magnitudes ? OrderBy::kMagnitude : OrderBy::kValue;
}

bool is_search(const CalibrationOptions& options) {
  return options.method == CalibMethod::kMse || options.method == CalibMethod::kSqnr;
}

void clear_bins(const Scales& scales) {
  const CalibrationMemory& memory = scales.memory;
  const auto num_bins =
      static_cast<std::size_t>(scales.number) * static_cast<std::size_t>(memory.num_bins);
  check(cudaMemsetAsync(memory.bins, 0, num_bins * sizeof(*memory.bins), scales.target.stream),
        "cudaMemsetAsync", scales.target.operation);
}

double launch_finalists(const Scales& scales, const CalibrationOptions& options,
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

void launch_choice(const Scales& scales, const RangeRule& rule, double clipping_weight,
                   const ScaleOutput& output) {
  scales.launch(1, kOneThread, &choose_finalist_kernel<C>, rule, clipping_weight, output,
                scales.first);
}

void launch_answers(const Scales& scales, const CalibrationOptions& options,
                    const Quantizer& quantizer, const ScaleOutput& output) {
  launch_answers(scales, options, quantizer, output, [&](const auto& q, const RangeRule& rule) {
    const int num_blocks = std::max(1, kErrorBlocks / scales.number);
    scales.launch(kFinalistSlots * num_blocks, kErrors,
                  &finalist_errors_kernel<std::decay_t<decltype(q)>, C>, rule, q);
  });
}

}  // namespace cuqat::gpu
