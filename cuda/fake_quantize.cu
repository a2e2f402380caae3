#include "fake_quantize.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_fake_quantize(const DeviceScaledTensor& tensor, const void* x, void* y,
                          std::uint8_t* clip_mask, Statistics* statistics,
                          const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) {
    if (statistics != nullptr) launch_statistics(tensor.dtype, 0, x, statistics, target);
    return;
  }
  const ScaleMap map = scale_map(tensor);
  with_kernel_types(tensor.dtype, tensor.quantizer, [&](auto type, const auto& quantizer) {
    using T = typename decltype(type)::Type;
    with_scales<T>(map, quantizer, count, target, [&](auto scales, bool from_start) {
      using Scales = typename decltype(scales)::Type;
      const PackLayout layout = clip_mask == nullptr && !from_start ? packs_aligned_to<T>(y, count)
                                                                    : packs_from_start(count);
      const auto run = [&](auto kernel, std::size_t shared_bytes, const ReductionScratch& scratch) {
        launch_streaming(layout.num_packs, Scales::kInFlight, shared_bytes, target, kernel, layout,
                         map, quantizer, x, y, clip_mask, scratch, statistics);
      };
      if (statistics == nullptr) {
        run(&fake_quantize_kernel<Scales, false>, 0, {});
      } else {
        run(&fake_quantize_kernel<Scales, true>, sizeof(StatisticsStorage),
            reduction_scratch(target.workspace));
      }
    });
  });
}

void launch_fake_quantize_backward(const DeviceScaledTensor& tensor, const void* dy, const void* x,
                                   void* dx, const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) return;
  const ScaleMap map = scale_map(tensor);
  with_kernel_types(tensor.dtype, tensor.quantizer, [&](auto type, const auto& quantizer) {
    using T = typename decltype(type)::Type;
    with_scales<T>(map, quantizer, count, target, [&](auto scales, bool from_start) {
      const PackLayout layout =
          from_start ? packs_from_start(count) : packs_aligned_to<T>(dx, count);
      launch_streaming(layout.num_packs, kPairsInFlight<T>, 0, target,
                       &fake_quantize_backward_kernel<typename decltype(scales)::Type>, layout, map,
                       quantizer, dy, x, dx);
    });
  });
}

void launch_fake_quantize_backward_from_mask(DType dtype, std::int64_t count, const void* dy,
                                             const std::uint8_t* clip_mask, void* dx,
                                             const LaunchTarget& target) {
  if (count == 0) return;
  with_bits(dtype, [&](auto type) {
    using Bits = typename decltype(type)::Type;
    const PackLayout packs = packs_from_start(count);
    if (dx == dy) {
      const PackLayout bytes = packs_from_start(packs.num_packs);
      launch_streaming(bytes.num_packs, kPacksInFlight<std::uint8_t>, 0, target,
                       &zero_clipped_kernel<Bits>, bytes, count, clip_mask, dx);
      return;
    }
    launch_streaming(packs.num_packs, kPacksInFlight<Bits>, 0, target,
                     &backward_from_mask_kernel<Bits>, packs, dy, clip_mask, dx);
  });
}

}  // namespace cuqat::gpu
