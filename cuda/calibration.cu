#include "calibration_state.cuh"

#include <type_traits>

#include "clipping_search.cuh"
#include "dispatch.hpp"
#include "entropy.cuh"
#include "finalists.cuh"
#include "launch.hpp"
#include "launchers.hpp"
#include "window_entropy.cuh"

namespace cuqat::gpu {
namespace {

/// All tables are of 16-bit types.
using C = float;

/// Blocks that sum the errors of one finalist.
constexpr int kErrorBlocks = 32;

/// One block that chooses among candidates, and one that counts bins.
constexpr BlockShape kPlan{kPlanThreads, kPlanThreads * sizeof(int)};
constexpr BlockShape kBins{kDistributionThreads, sizeof(BinStorage)};

void launch_search(const RangeRule& rule, double clipping_weight, CalibrationState* state,
                   const LaunchTarget& target) {
  const SearchRule search{rule.symmetric, clipping_weight};
  int num_candidates = 0;
  for (int i = 0; i < SearchRound::number_of(rule.symmetric); ++i) {
    const SearchRound round = SearchRound::of(i, rule.symmetric);
    launch(1, kPlan, target, &plan_round_kernel, state, search, i);
    with_quantizer(rule.quantizer, [&](const auto& quantizer) {
      using Q = std::decay_t<decltype(quantizer)>;
      launch(round.size, sizeof(CandidateStorage), target, &candidate_cost_kernel<Q, C>, state,
             rule, quantizer, round.first);
    });
    num_candidates = round.first + round.size;
  }
  launch(1, kPlan, target, &search_finalists_kernel<C>, state, search, num_candidates);
}

void launch_modelopt_entropy(Format format, CalibrationState* state, const LaunchTarget& target) {
  constexpr int kThreads = 64;  // a candidate takes long: on as many multiprocessors as there are
  constexpr int kCandidates = kEntropyBins - kFirstEntropyCandidate + 1;
  launch(1, kBins, target, &entropy_bins_kernel, state);
  launch((kCandidates - 1) / kThreads + 1, BlockShape{kThreads, 0}, target,
         &entropy_divergence_kernel, state, scalar::num_entropy_levels(format));
  launch(1, kPlan, target, &entropy_finalist_kernel<C>, state);
}

void launch_onnxruntime_entropy(Format format, CalibrationState* state,
                                const LaunchTarget& target) {
  const int num_levels = scalar::num_entropy_levels(format);
  launch(1, kBins, target, &signed_entropy_bins_kernel, state);
  launch(kEntropyBins / 2 + 1 - num_levels / 2, BlockShape{kWindowThreads, sizeof(WindowStorage)},
         target, &window_divergence_kernel, state, num_levels);
  launch(1, kPlan, target, &window_finalist_kernel<C>, state, num_levels);
}

/// Puts the candidates that are left at the end among the finalists; gives the weight of clipping
/// by which they are compared.
double launch_method(const CalibrationOptions& options, const RangeRule& rule,
                     CalibrationState* state, const LaunchTarget& target) {
  constexpr BlockShape kOneThread{1, 0};
  switch (options.method) {
    case CalibMethod::kMinMax:
      launch(1, kOneThread, target, &minmax_finalist_kernel<C>, state);
      return 1.0;
    case CalibMethod::kPercentile:
      launch(1, kOneThread, target, &percentile_finalist_kernel<C>, state, options.symmetric,
             options.percentile);
      return 1.0;
    case CalibMethod::kEntropy:
      if (options.dialect == EntropyDialect::kOnnxRuntime) {
        launch_onnxruntime_entropy(options.format, state, target);
      } else {
        launch_modelopt_entropy(options.format, state, target);
      }
      return 1.0;
    case CalibMethod::kMse:
      launch_search(rule, 1.0, state, target);
      return 1.0;
    case CalibMethod::kSqnr:
      launch_search(rule, scalar::kSqnrClippingWeight, state, target);
      return scalar::kSqnrClippingWeight;
  }
  return 1.0;
}

}  // namespace

std::size_t calibration_state_bytes() { return sizeof(CalibrationState); }

void launch_calibration_tables(DType dtype, void* state, const LaunchTarget& target) {
  auto* const all = static_cast<CalibrationState*>(state);
  constexpr BlockShape kBlock{kDistributionThreads, sizeof(DistributionStorage)};
  const auto run = [&](auto kernel) {
    launch(2, kBlock, target, kernel, all->key_counts, &all->tables);
  };
  if (dtype == DType::kBF16) return run(&distribution_kernel<bfloat16>);
  run(&distribution_kernel<float16>);
}

void launch_calibration(const CalibrationOptions& options, const Quantizer& quantizer, void* state,
                        const ScaleOutput& output, const LaunchTarget& target) {
  auto* const all = static_cast<CalibrationState*>(state);
  const RangeRule rule{quantizer, options.symmetric};
  const double clipping_weight = launch_method(options, rule, all, target);
  with_quantizer(quantizer, [&](const auto& element_quantizer) {
    using Q = std::decay_t<decltype(element_quantizer)>;
    launch(kMaxFinalists * kErrorBlocks, sizeof(FinalistErrors), target,
           &finalist_errors_kernel<Q, C>, all, rule, element_quantizer);
  });
  launch(1, BlockShape{1, 0}, target, &choose_finalist_kernel<C>, all, rule, clipping_weight,
         output);
}

}  // namespace cuqat::gpu
