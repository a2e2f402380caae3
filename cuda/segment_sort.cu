#include "segment_sort.cuh"

#include <algorithm>
#include <cstddef>
#include <limits>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_segmented_radix_sort.cuh>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

/// How the segments are shared out among calls of CUB.
struct SortPlan {
  SegmentLayout layout;
  std::int64_t num_segments;
  std::int64_t segments_per_call;  ///< 0: one, by the sort that is not segmented.

  SortPlan(const DeviceScaledTensor& tensor, const LaunchTarget& target)
      : layout(scale_segments(tensor)), num_segments(tensor.num_scales) {
    // A segmented sort has one block for each: there must be many, and not long. (Not measured.)
    constexpr std::int64_t kLongest = 1 << 18;
    constexpr std::int64_t kMost = std::numeric_limits<int>::max();
    const bool by_segments =
        num_segments >= target.num_multiprocessors && layout.segment_length <= kLongest;
    segments_per_call =
        by_segments ? std::clamp<std::int64_t>(kMost / layout.segment_length, 1, num_segments) : 0;
  }
};

/// Sorts the segments of one call, from `first` on; or, without memory, says how much it takes.
///
/// CUB asks the runtime for its last error, and takes one that earlier work of the application has
/// left for its own: it is forgotten first.
template <typename Bits>
void sort_segments(const SortPlan& plan, std::int64_t first, void* temporary,
                   std::size_t& temporary_bytes, cub::DoubleBuffer<Bits>& keys,
                   const LaunchTarget& target) {
  static_cast<void>(cudaGetLastError());
  constexpr int kEndBit = static_cast<int>(sizeof(Bits)) * 8;
  if (plan.segments_per_call == 0) {
    const std::int64_t length = plan.layout.end(first) - plan.layout.begin(first);
    check(cub::DeviceRadixSort::SortKeys(temporary, temporary_bytes, keys, length, 0, kEndBit,
                                         target.stream),
          "cub::DeviceRadixSort::SortKeys", target.operation);
    return;
  }
  const std::int64_t end = std::min(first + plan.segments_per_call, plan.num_segments);
  const std::int64_t length = plan.layout.end(end - 1) - plan.layout.begin(first);
  check(cub::DeviceSegmentedRadixSort::SortKeys(
            temporary, temporary_bytes, keys, static_cast<int>(length),
            static_cast<int>(end - first), SegmentOffsets(plan.layout, first, false),
            SegmentOffsets(plan.layout, first, true), 0, kEndBit, target.stream),
        "cub::DeviceSegmentedRadixSort::SortKeys", target.operation);
}

/// Of any call: the first segment is as long as any, and the first call has as many.
template <typename Bits>
std::size_t temporary_bytes(const SortPlan& plan, const LaunchTarget& target) {
  std::size_t bytes = 0;
  cub::DoubleBuffer<Bits> keys;
  sort_segments(plan, 0, nullptr, bytes, keys, target);
  return bytes;
}

template <typename Bits>
const Bits* sort(const SortPlan& plan, std::int64_t count, Bits* keys, Bits* others,
                 void* temporary, std::size_t temporary_bytes, const LaunchTarget& target) {
  const Bits* sorted = nullptr;
  const std::int64_t step = std::max<std::int64_t>(plan.segments_per_call, 1);
  for (std::int64_t first = 0; first < plan.num_segments; first += step) {
    const std::int64_t begin = plan.layout.begin(first);
    cub::DoubleBuffer<Bits> buffers(keys + begin, others + begin);
    sort_segments(plan, first, temporary, temporary_bytes, buffers, target);
    const Bits* const now = buffers.Current() - begin;
    if (sorted == nullptr) sorted = now;
    if (now == sorted) continue;
    // A sort that is not segmented chooses the buffer by size: that of a row's shorter last group
    // may end in the other one.
    const std::int64_t end =
        first + step < plan.num_segments ? plan.layout.begin(first + step) : count;
    check(cudaMemcpyAsync(buffers.Alternate(), buffers.Current(),
                          static_cast<std::size_t>(end - begin) * sizeof(Bits),
                          cudaMemcpyDeviceToDevice, target.stream),
          "cudaMemcpyAsync", target.operation);
  }
  return sorted;
}

}  // namespace

std::size_t sort_scratch_bytes(const DeviceScaledTensor& tensor, const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) return 0;
  const SortPlan plan(tensor, target);
  const std::size_t of_keys = static_cast<std::size_t>(count) * dtype_bytes(tensor.dtype);
  std::size_t bytes = 0;
  with_bits(tensor.dtype, [&](auto bits) {
    bytes = 2 * aligned(of_keys) + temporary_bytes<typename decltype(bits)::Type>(plan, target);
  });
  return bytes;
}

const void* launch_sort_scales(const DeviceScaledTensor& tensor, const void* x, OrderBy order,
                               void* scratch, std::size_t scratch_bytes,
                               const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  const SortPlan plan(tensor, target);
  const void* sorted = nullptr;
  with_type(tensor.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    using Bits = BitsOf<T>;
    const std::size_t of_keys = aligned(static_cast<std::size_t>(count) * sizeof(Bits));
    auto* const keys = static_cast<Bits*>(scratch);
    auto* const others = reinterpret_cast<Bits*>(static_cast<std::byte*>(scratch) + of_keys);
    void* const temporary = static_cast<std::byte*>(scratch) + 2 * of_keys;
    with_order(order, [&](auto of_magnitudes) {
      launch_streaming(count, 1, 0, target, &sort_keys_kernel<T, decltype(of_magnitudes)::value>,
                       count, scale_map(tensor), plan.layout.segment_length, x, keys);
    });
    sorted = sort(plan, count, keys, others, temporary, scratch_bytes - 2 * of_keys, target);
  });
  return sorted;
}

}  // namespace cuqat::gpu
