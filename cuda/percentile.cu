#include "percentile.cuh"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>

#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_segmented_radix_sort.cuh>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"
#include "sorted_percentile.cuh"

namespace cuqat::gpu {
namespace {

constexpr BlockShape kSelecting{kSelectionThreads, sizeof(SelectionStorage)};

/// What follows begins where cudaMalloc would begin.
constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 255) / 256 * 256; }

/// body(std::bool_constant<of magnitudes>).
template <typename Body>
void with_order(OrderBy order, const Body& body) {
  if (order == OrderBy::kMagnitude) {
    body(std::true_type{});
  } else {
    body(std::false_type{});
  }
}

int num_ranks(OrderBy order, std::size_t num_percentiles) {
  return static_cast<int>(num_percentiles) * (order == OrderBy::kMagnitude ? 1 : 2);
}

/// Scratch memory of the selection.
struct SelectionScratch {
  static constexpr std::size_t kKeyBytes = kNumKeys * sizeof(std::uint64_t);
  static constexpr std::size_t kLowBytes = kLowCounts * sizeof(std::uint64_t);

  std::uint64_t* key_counts;
  KeySelection* selection;
  unsigned long long* low_counts;

  explicit SelectionScratch(void* scratch)
      : key_counts(static_cast<std::uint64_t*>(scratch)),
        selection(reinterpret_cast<KeySelection*>(static_cast<std::byte*>(scratch) + kKeyBytes)),
        low_counts(reinterpret_cast<unsigned long long*>(
            static_cast<std::byte*>(scratch) + kKeyBytes + aligned(sizeof(KeySelection)))) {}
};

void clear(void* memory, std::size_t bytes, const LaunchTarget& target) {
  check(cudaMemsetAsync(memory, 0, bytes, target.stream), "cudaMemsetAsync", target.operation);
}

/// How the segments are shared out among calls of CUB.
struct SortPlan {
  SegmentLayout layout;
  std::int64_t num_segments;
  std::int64_t segments_per_call;  ///< 0: one, by the sort that is not segmented.

  SortPlan(const DeviceScaledTensor& tensor, const ScaleMap& map, const LaunchTarget& target)
      : num_segments(tensor.num_scales) {
    const std::int64_t count = tensor.shape.count();
    const bool in_groups = !map.is_single && !map.is_periodic;
    layout.segment_length =
        in_groups ? map.run_length : count / std::max<std::int64_t>(num_segments, 1);
    layout.segments_per_row = in_groups ? map.runs_per_row : 1;
    layout.row_length = in_groups ? map.row_length : layout.segment_length;
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

std::size_t percentile_scratch_bytes(DType dtype, OrderBy order, std::size_t num_percentiles) {
  const std::size_t of_keys = SelectionScratch::kKeyBytes + aligned(sizeof(KeySelection));
  if (dtype != DType::kF32) return of_keys;
  return of_keys +
         static_cast<std::size_t>(num_ranks(order, num_percentiles)) * SelectionScratch::kLowBytes;
}

void launch_percentiles(DType dtype, std::int64_t count, const void* x,
                        const PercentileRequest& request, Range* result, void* scratch,
                        const LaunchTarget& target) {
  const SelectionScratch memory(scratch);
  clear(memory.key_counts, SelectionScratch::kKeyBytes, target);
  launch_key_histogram(dtype, count, x, memory.key_counts, nullptr, target);
  const auto* const key_counts = reinterpret_cast<const unsigned long long*>(memory.key_counts);
  with_order(request.order, [&](auto of_magnitudes) {
    constexpr bool kOfMagnitudes = decltype(of_magnitudes)::value;
    const auto select = [&](auto kernel) {
      launch(1, kSelecting, target, kernel, key_counts, request, memory.selection, result);
    };
    if (dtype == DType::kBF16) return select(&select_keys_kernel<bfloat16, kOfMagnitudes>);
    if (dtype == DType::kF16) return select(&select_keys_kernel<float16, kOfMagnitudes>);
    const int ranks = num_ranks(request.order, static_cast<std::size_t>(request.num_percentiles));
    clear(memory.low_counts, static_cast<std::size_t>(ranks) * SelectionScratch::kLowBytes, target);
    select(&select_keys_kernel<float, kOfMagnitudes>);
    const PackLayout layout = packs_aligned_to<float>(x, count);
    launch_streaming(layout.num_packs, kPacksInFlight<float>, sizeof(LowCountStorage), target,
                     &low_counts_kernel<kOfMagnitudes>, layout, x, memory.selection,
                     memory.low_counts);
    launch(ranks, kSelecting, target, &select_low_kernel<kOfMagnitudes>, memory.selection,
           memory.low_counts, request, result);
  });
}

std::size_t sorted_percentile_scratch_bytes(const DeviceScaledTensor& tensor,
                                            const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) return 0;
  const SortPlan plan(tensor, scale_map(tensor), target);
  const std::size_t of_keys = static_cast<std::size_t>(count) * dtype_bytes(tensor.dtype);
  std::size_t bytes = 0;
  with_bits(tensor.dtype, [&](auto bits) {
    bytes = 2 * aligned(of_keys) + temporary_bytes<typename decltype(bits)::Type>(plan, target);
  });
  return bytes;
}

void launch_sorted_percentiles(const DeviceScaledTensor& tensor, const void* x,
                               const PercentileRequest& request, Range* result, void* scratch,
                               std::size_t scratch_bytes, const LaunchTarget& target) {
  const std::int64_t count = tensor.shape.count();
  if (count == 0) {
    clear(result,
          static_cast<std::size_t>(tensor.num_scales * request.num_percentiles) * sizeof(Range),
          target);
    return;
  }
  const ScaleMap map = scale_map(tensor);
  const SortPlan plan(tensor, map, target);
  with_type(tensor.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    using Bits = BitsOf<T>;
    const std::size_t of_keys = aligned(static_cast<std::size_t>(count) * sizeof(Bits));
    auto* const keys = static_cast<Bits*>(scratch);
    auto* const others = reinterpret_cast<Bits*>(static_cast<std::byte*>(scratch) + of_keys);
    void* const temporary = static_cast<std::byte*>(scratch) + 2 * of_keys;
    with_order(request.order, [&](auto of_magnitudes) {
      constexpr bool kOfMagnitudes = decltype(of_magnitudes)::value;
      launch_streaming(count, 1, 0, target, &sort_keys_kernel<T, kOfMagnitudes>, count, map,
                       plan.layout.segment_length, x, keys);
      const Bits* const sorted =
          sort(plan, count, keys, others, temporary, scratch_bytes - 2 * of_keys, target);
      const std::int64_t num_values =
          plan.num_segments *
          num_ranks(request.order, static_cast<std::size_t>(request.num_percentiles));
      launch_streaming(num_values, 1, 0, target, &sorted_percentiles_kernel<T, kOfMagnitudes>,
                       plan.num_segments, plan.layout, sorted, request, result);
    });
  });
}

}  // namespace cuqat::gpu
