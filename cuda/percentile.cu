#include "percentile.cuh"

#include <cstddef>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"
#include "sorted_percentile.cuh"

namespace cuqat::gpu {
namespace {

constexpr BlockShape kSelecting{kSelectionThreads, sizeof(SelectionStorage)};

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

}  // namespace

std::size_t percentile_scratch_bytes(DType dtype, OrderBy order, std::size_t num_percentiles) {
  const std::size_t of_keys = SelectionScratch::kKeyBytes + aligned(sizeof(KeySelection));
  if (dtype != DType::kF32) return of_keys;
  return of_keys +
         static_cast<std::size_t>(num_ranks(order, num_percentiles)) * SelectionScratch::kLowBytes;
}

void launch_low_counts(OrderBy order, std::int64_t count, const void* x, const SelectedKeys* keys,
                       std::uint64_t* counts, const LaunchTarget& target) {
  const PackLayout layout = packs_aligned_to<float>(x, count);
  with_order(order, [&](auto of_magnitudes) {
    launch_streaming(layout.num_packs, kPacksInFlight<float>, sizeof(LowCountStorage), target,
                     &low_counts_kernel<decltype(of_magnitudes)::value>, layout, x, keys,
                     reinterpret_cast<unsigned long long*>(counts));
  });
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
    launch_low_counts(request.order, count, x, &memory.selection->keys,
                      reinterpret_cast<std::uint64_t*>(memory.low_counts), target);
    launch(ranks, kSelecting, target, &select_low_kernel<kOfMagnitudes>, memory.selection,
           memory.low_counts, request, result);
  });
}

void launch_sorted_percentiles(const DeviceScaledTensor& tensor, const void* x,
                               const PercentileRequest& request, Range* result, void* scratch,
                               std::size_t scratch_bytes, const LaunchTarget& target) {
  if (tensor.shape.count() == 0) {
    clear(result,
          static_cast<std::size_t>(tensor.num_scales * request.num_percentiles) * sizeof(Range),
          target);
    return;
  }
  const void* const sorted =
      launch_sort_scales(tensor, x, request.order, scratch, scratch_bytes, target);
  const std::int64_t num_values =
      tensor.num_scales *
      num_ranks(request.order, static_cast<std::size_t>(request.num_percentiles));
  with_type(tensor.dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    with_order(request.order, [&](auto of_magnitudes) {
      launch_streaming(num_values, 1, 0, target,
                       &sorted_percentiles_kernel<T, decltype(of_magnitudes)::value>,
                       tensor.num_scales, scale_segments(tensor),
                       static_cast<const BitsOf<T>*>(sorted), request, result);
    });
  });
}

}  // namespace cuqat::gpu
