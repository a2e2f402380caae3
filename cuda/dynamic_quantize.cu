#include "dynamic_quantize.cuh"

#include <algorithm>
#include <type_traits>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

/// The tensor has elements.
GroupLayout group_layout(const DynamicTensor& tensor) {
  GroupLayout layout{};
  layout.row_length = tensor.shape.extents().back();
  layout.group_length = std::min(tensor.group_size, layout.row_length);
  layout.groups_per_row = (layout.row_length - 1) / layout.group_length + 1;
  layout.num_groups = tensor.shape.count() / layout.row_length * layout.groups_per_row;
  layout.by_groups_per_row = Divider(layout.groups_per_row);
  return layout;
}

/// Threads of a team that takes one pack each, at most a warp.
int lanes_of(std::int64_t group_length) {
  int lanes = 1;
  while (lanes < kWarpThreads && lanes * std::int64_t{kPackElements} < group_length) lanes *= 2;
  return lanes;
}

template <typename T, typename Q, typename Write>
void launch_groups(const DynamicTensor& tensor, const Q& quantizer, const void* x,
                   const Write& write, const LaunchTarget& target) {
  const GroupLayout layout = group_layout(tensor);
  const int lanes = lanes_of(layout.group_length);
  constexpr std::size_t kForStatistics =
      std::is_same_v<Write, WriteValuesAndExtras> ? sizeof(StatisticsStorage) : 0;
  const auto by_lanes = [&](auto kernel, int groups_of_thread) {
    launch_streaming(layout.num_groups * lanes, groups_of_thread, kForStatistics, target, kernel,
                     layout, lanes, tensor.rule, quantizer, x, tensor.scales, write);
  };
  const std::int64_t packs_of_thread = (layout.group_length - 1) / (lanes * kPackElements) + 1;
  if (packs_of_thread == 1) {
    by_lanes(&dynamic_quantize_by_lanes_kernel<T, Q, kHeldPacks<T>, Write>, kHeldPacks<T>);
  } else if (packs_of_thread <= kHeldPacks<T>) {
    by_lanes(&dynamic_quantize_by_lanes_kernel<T, Q, 1, Write>, 1);
  } else {
    constexpr std::size_t kShared =
        std::max(sizeof(ExtremesStorage<scalar::ComputeType<T>>), kForStatistics);
    launch_streaming(layout.num_groups * kBlockThreads, 1, kShared, target,
                     &dynamic_quantize_by_blocks_kernel<T, Q, Write>, layout, tensor.rule,
                     quantizer, x, tensor.scales, write);
  }
}

}  // namespace

void launch_dynamic_scales(const DynamicTensor& tensor, const void* x, const LaunchTarget& target) {
  if (tensor.shape.count() == 0) return;
  with_type(tensor.dtype, [&](auto type) {
    // No element is quantized: any quantizer does.
    launch_groups<typename decltype(type)::Type>(tensor, scalar::ElementQuantizer<Format::kInt8>{},
                                                 x, WriteNothing{}, target);
  });
}

void launch_quantize_dynamic(const DynamicTensor& tensor, const void* x, std::uint8_t* codes,
                             CodeLayout code_layout, const LaunchTarget& target) {
  if (tensor.shape.count() == 0) return;
  with_kernel_types(tensor.dtype, tensor.rule.quantizer, [&](auto type, const auto& quantizer) {
    const bool packed = code_layout == CodeLayout::kNibbles;
    launch_groups<typename decltype(type)::Type>(tensor, quantizer, x, WriteCodes(codes, packed),
                                                 target);
  });
}

void launch_fake_quantize_dynamic(const DynamicTensor& tensor, const void* x, void* y,
                                  std::uint8_t* clip_mask, Statistics* statistics,
                                  const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) {
    if (statistics != nullptr) launch_statistics(tensor.dtype, 0, x, statistics, target);
    return;
  }
  with_kernel_types(tensor.dtype, tensor.rule.quantizer, [&](auto type, const auto& quantizer) {
    using T = typename decltype(type)::Type;
    if (clip_mask == nullptr && statistics == nullptr) {
      launch_groups<T>(tensor, quantizer, x, WriteValues(y), target);
    } else {
      launch_groups<T>(tensor, quantizer, x,
                       WriteValuesAndExtras(y, clip_mask, count,
                                            reduction_scratch(target.workspace), statistics),
                       target);
    }
  });
}

}  // namespace cuqat::gpu
