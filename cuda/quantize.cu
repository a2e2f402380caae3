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
  const ReductionScratch scratch =
      statistics == nullptr ? ReductionScratch{} : reduction_scratch(target.workspace);
  const std::size_t shared_bytes = statistics == nullptr ? 0 : sizeof(StatisticsStorage);
  const ScaleMap map = scale_map(tensor);
  with_kernel_types(tensor.dtype, tensor.quantizer, [&](auto type, const auto& quantizer) {
    using T = typename decltype(type)::Type;
    with_scales<T>(map, quantizer, count, target, [&](auto scales, bool from_start) {
      using Scales = typename decltype(scales)::Type;
      const auto run = [&](auto kernel, const PackLayout& layout) {
        launch_streaming(layout.num_packs, kPacksInFlight<T>, shared_bytes, target, kernel, layout,
                         map, quantizer, x, codes, scratch, statistics);
      };
      if (code_layout == CodeLayout::kBytes) {
        run(&quantize_kernel<Scales>,
            from_start ? packs_from_start(count) : packs_aligned_to<T>(x, count));
      } else if constexpr (is_integer(Scales::Quantizer::kFormat)) {
        run(&quantize_nibbles_kernel<Scales>, packs_from_start(count));
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
    using Scales = PackScales<T, std::decay_t<decltype(quantizer)>>;
    const auto run = [&](auto kernel, const PackLayout& layout, int packs_in_flight) {
      launch_streaming(layout.num_packs, packs_in_flight, 0, target, kernel, layout,
                       scale_map(tensor), quantizer, codes, y);
    };
    if (code_layout == CodeLayout::kBytes) {
      run(&dequantize_kernel<Scales>, packs_aligned_to<T>(y, count), kPacksInFlight<std::uint8_t>);
    } else if constexpr (is_integer(Scales::Quantizer::kFormat)) {
      run(&dequantize_nibbles_kernel<Scales>, packs_from_start(count), 1);
    }
  });
}

}  // namespace cuqat::gpu
