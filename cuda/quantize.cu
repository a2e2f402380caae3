#include "quantize.cuh"

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

void launch_quantize(const DeviceScaledTensor& tensor, const void* x, std::uint8_t* codes,
                     CodeLayout code_layout, const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) return;
  with_type(tensor.dtype, [&](auto type) {
    with_quantizer(tensor.quantizer, [&](auto quantizer) {
      using T = typename decltype(type)::Type;
      using Q = decltype(quantizer);
      const auto run = [&](auto kernel, const PackLayout& layout) {
        launch_streaming(layout.num_packs, kPacksInFlight<T>, 0, target, kernel, layout,
                         scale_map(tensor), quantizer, x, codes);
      };
      if (code_layout == CodeLayout::kBytes) {
        run(&quantize_kernel<T, Q>, packs_aligned_to<T>(x, count));
      } else if constexpr (is_integer(Q::kFormat)) {
        run(&quantize_nibbles_kernel<T, Q>, packs_from_start(count));
      }
    });
  });
}

void launch_dequantize(const DeviceScaledTensor& tensor, const std::uint8_t* codes,
                       CodeLayout code_layout, void* y, const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) return;
  with_type(tensor.dtype, [&](auto type) {
    with_quantizer(tensor.quantizer, [&](auto quantizer) {
      using T = typename decltype(type)::Type;
      using Q = decltype(quantizer);
      const auto run = [&](auto kernel, const PackLayout& layout, int packs_in_flight) {
        launch_streaming(layout.num_packs, packs_in_flight, 0, target, kernel, layout,
                         scale_map(tensor), quantizer, codes, y);
      };
      if (code_layout == CodeLayout::kBytes) {
        run(&dequantize_kernel<T, Q>, packs_aligned_to<T>(y, count), kPacksInFlight<std::uint8_t>);
      } else if constexpr (is_integer(Q::kFormat)) {
        run(&dequantize_nibbles_kernel<T, Q>, packs_from_start(count), 1);
      }
    });
  });
}

}  // namespace cuqat::gpu
