#include "learned_scale.cuh"

#include <algorithm>
#include <type_traits>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

static_assert(kBlockThreads == kStripScales * kStripPhases);

/// Where the sums of rounds lie: those of the first, third, ... behind the reduction's counter,
/// those of the others behind them, as a round must not write over terms that it reads.
struct SumRegions {
  explicit SumRegions(const ScaleTerms& terms)
      : first_bytes(bytes_of(terms.num_scales, terms.chunks_per_scale)),
        second_bytes(bytes_of(terms.num_scales, num_chunks(terms.chunks_per_scale))) {}

  [[nodiscard]] std::size_t workspace_bytes() const {
    return first_bytes == 0 ? 0 : kCounterBytes + first_bytes + second_bytes;
  }
  [[nodiscard]] RoundSums after(int rounds, std::int64_t per_scale, void* workspace) const {
    if (per_scale <= 1) return {nullptr, per_scale};
    auto* const first = static_cast<char*>(workspace) + kCounterBytes;
    return {reinterpret_cast<GradientSums*>(rounds % 2 != 0 ? first : first + first_bytes),
            per_scale};
  }

 private:
  static std::size_t bytes_of(std::int64_t num_scales, std::int64_t sums_per_scale) {
    if (sums_per_scale <= 1) return 0;
    return static_cast<std::size_t>(num_scales * sums_per_scale) * sizeof(GradientSums);
  }

  std::size_t first_bytes;
  std::size_t second_bytes;
};

LearnedScaleResult result_of(const DeviceScaledTensor& tensor,
                             const LearnedScaleGradients& gradients) {
  return {gradients.dscale, gradients.dzero_point, gradients.gradient_scale.value_or(0.0),
          gradients.gradient_scale.has_value(), static_cast<double>(qmax(tensor.quantizer))};
}

}  // namespace

std::size_t learned_scale_workspace_bytes(const DeviceScaledTensor& tensor) {
  return tensor.num_scales == 0 ? 0 : SumRegions(scale_terms(tensor)).workspace_bytes();
}

void launch_sum_rounds(const DeviceScaledTensor& tensor, const LearnedScaleGradients& gradients,
                       const LaunchTarget& target) {
  const ScaleTerms terms = scale_terms(tensor);
  const SumRegions regions(terms);
  const Divider by_scales(terms.num_scales);
  std::int64_t per_scale = terms.chunks_per_scale;
  for (int round = 1; per_scale != 1; ++round) {
    const RoundSums from = regions.after(round, per_scale, target.workspace);
    per_scale = std::max<std::int64_t>(num_chunks(per_scale), 1);
    const RoundSums to = regions.after(round + 1, per_scale, target.workspace);
    with_type(tensor.dtype, [&](auto type) {
      using C = scalar::ComputeType<typename decltype(type)::Type>;
      launch_streaming(terms.num_scales * per_scale * kWarpThreads, 1, 0, target,
                       &sum_round_kernel<C>, terms, by_scales, round * kChunkShift, from, to,
                       result_of(tensor, gradients));
    });
  }
}

void launch_learned_scale_backward(const DeviceScaledTensor& tensor, const void* dy, const void* x,
                                   void* dx, const LearnedScaleGradients& gradients,
                                   const LaunchTarget& target) {
  if (tensor.num_scales == 0) return;
  const ScaleTerms terms = scale_terms(tensor);
  if (terms.chunks_per_scale == 0) return launch_sum_rounds(tensor, gradients, target);
  const RoundSums to = SumRegions(terms).after(1, terms.chunks_per_scale, target.workspace);
  with_kernel_types(tensor.dtype, tensor.quantizer, [&](auto type, const auto& quantizer) {
    using T = typename decltype(type)::Type;
    using Q = std::decay_t<decltype(quantizer)>;
    launch_over_terms(terms, &learned_scale_kernel<T, Q>, &learned_scale_strip_kernel<T, Q>,
                      sizeof(StripStorage), target, quantizer, dy, x, dx, to,
                      result_of(tensor, gradients));
  });
  launch_sum_rounds(tensor, gradients, target);
}

}  // namespace cuqat::gpu
