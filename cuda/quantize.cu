#include "quantize.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_quantize(const DeviceScaledTensor& tensor, const void* x, std::uint8_t* codes,
                     CodeLayout code_layout, Statistics* statistics, const LaunchTarget& target) {
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
      const auto run = [&](auto plain, auto with_statistics, const PackLayout& layout) {
        const auto put = [&](auto kernel, std::size_t shared_bytes,
                             const ReductionScratch& scratch) {
          launch_streaming(layout.num_packs, Scales::kInFlight, shared_bytes, target, kernel,
                           layout, map, quantizer, x, codes, scratch, statistics);
        };
        if (statistics == nullptr) {
          put(plain, 0, {});
        } else {
          put(with_statistics, sizeof(StatisticsStorage), reduction_scratch(target.workspace));
        }
      };
      if (code_layout == CodeLayout::kBytes) {
        run(&quantize_kernel<Scales, false>, &quantize_kernel<Scales, true>,
            from_start ? packs_from_start(count) : packs_aligned_to<T>(x, count));
      } else if constexpr (is_integer(Scales::Quantizer::kFormat)) {
        run(&quantize_nibbles_kernel<Scales, false>, &quantize_nibbles_kernel<Scales, true>,
            packs_from_start(count));
      }
    });
  });
}

void launch_dequantize(const DeviceScaledTensor& tensor, const std::uint8_t* codes,
                       CodeLayout code_layout, void* y, const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) return;
  with_kernel_types(tensor.dtype, tensor.quantizer, [&](auto type, const auto& quantizer) {
    using T = typename decltype(type)::Type;
    const ScaleMap map = scale_map(tensor);
    with_scales<T>(map, quantizer, [&](auto scales) {
      using Scales = typename decltype(scales)::Type;
      const auto run = [&](auto kernel, const PackLayout& layout) {
        launch_streaming(layout.num_packs, kPacksInFlight<std::uint8_t>, 0, target, kernel, layout,
                         map, quantizer, codes, y);
      };
      if (code_layout == CodeLayout::kBytes) {
        run(&dequantize_kernel<Scales>, packs_aligned_to<T>(y, count));
      } else if constexpr (is_integer(Scales::Quantizer::kFormat)) {
        run(&dequantize_nibbles_kernel<Scales>, packs_from_start(count));
      }
    });
  });
}

}  // namespace cuqat::gpu
