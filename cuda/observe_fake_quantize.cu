#include "observe_fake_quantize.cuh"

#include <cstdint>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

template <typename Scales>
void launch_as(const DeviceScaledTensor& tensor, const typename Scales::Quantizer& quantizer,
               const ScaleMap& map, const void* x, void* y, std::uint8_t* clip_mask,
               std::uint64_t* counts, const LaunchTarget& target) {
  using T = typename Scales::Element;
  const std::int64_t count = tensor.shape.count();
  const PackLayout layout =
      clip_mask == nullptr ? packs_aligned_to<T>(y, count) : packs_from_start(count);
  const WindowShape window = window_shape(tensor.dtype, target.max_shared_bytes);
  launch_alone(layout.num_packs, Scales::kInFlight, BlockShape{kObservingThreads, window.bytes()},
               target, &observe_fake_quantize_kernel<Scales>, layout, map, quantizer, x, y,
               clip_mask, window, reinterpret_cast<unsigned long long*>(counts));
}

}  // namespace

void launch_observe_fake_quantize(const DeviceScaledTensor& tensor, const void* x, void* y,
                                  std::uint8_t* clip_mask, std::uint64_t* counts,
                                  const LaunchTarget& target) {
  if (tensor.shape.count() == 0) return;
  const ScaleMap map = scale_map(tensor);
  with_quantizer(tensor.quantizer, [&](const auto& quantizer) {
    const auto run = [&](auto type) {
      with_scales<typename decltype(type)::Type>(map, quantizer, [&](auto scales) {
        launch_as<typename decltype(scales)::Type>(tensor, quantizer, map, x, y, clip_mask, counts,
                                                   target);
      });
    };
    if (tensor.dtype == DType::kBF16) return run(TypeTag<bfloat16>{});
    run(TypeTag<float16>{});
  });
}

}  // namespace cuqat::gpu
