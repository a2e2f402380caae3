// The answers of scales that are found side by side: every method's steps from the distributions of
// the scales to what is chosen. Collectors have one scale (calibration.cu), the scales of a tensor
// are many (scale_calibration.cu).
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "binned_distribution.cuh"
#include "calibration_state.cuh"
#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

/// Blocks that sum the errors of one finalist, of a launch for one scale.
inline constexpr int kErrorBlocks = 32;

/// Blocks that have one thread, make a distribution, sum errors.
inline constexpr BlockShape kOneThread{1, 0};
inline constexpr BlockShape kDistribution{kDistributionThreads, sizeof(DistributionStorage)};
inline constexpr BlockShape kErrors{kBlockThreads, sizeof(FinalistErrors)};

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

/// What the method looks at.
OrderBy order_of(const CalibrationOptions& options);

/// Whether candidates are compared by what they cost.
bool is_search(const CalibrationOptions& options);

void clear_bins(const Scales& scales);

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

/// The method's steps from the distributions to the finalists; gives the weight of clipping by
/// which they are compared.
double launch_finalists(const Scales& scales, const CalibrationOptions& options,
                        const RangeRule& rule);

/// The scale of the best finalist.
void launch_choice(const Scales& scales, const RangeRule& rule, double clipping_weight,
                   const ScaleOutput& output);

/// From the distributions to the scales. launch_errors(an element quantizer, the rule) sums the
/// errors of the finalists of a search.
template <typename LaunchErrors>
void launch_answers(const Scales& scales, const CalibrationOptions& options,
                    const Quantizer& quantizer, const ScaleOutput& output,
                    const LaunchErrors& launch_errors) {
  const RangeRule rule{quantizer, options.symmetric};
  const double clipping_weight = launch_finalists(scales, options, rule);
  if (is_search(options)) {
    with_quantizer(quantizer,
                   [&](const auto& element_quantizer) { launch_errors(element_quantizer, rule); });
  }
  launch_choice(scales, rule, clipping_weight, output);
}

/// The same where the errors are those of the distributions.
void launch_answers(const Scales& scales, const CalibrationOptions& options,
                    const Quantizer& quantizer, const ScaleOutput& output);

}  // namespace cuqat::gpu
