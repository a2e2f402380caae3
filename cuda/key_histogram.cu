#include "key_histogram.cuh"

#include <algorithm>
#include <type_traits>

#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

/// As many copies of a window of ten binades as there is room for, and the window as wide as they
/// leave it.
WindowShape window_shape(DType dtype, std::size_t max_shared_bytes) {
  constexpr int kBinades = 10;
  constexpr int kMaxLog2Copies = 5;  // a copy for each bank
  const int least = kBinades << (dtype == DType::kF16 ? 10 : 7);
  WindowShape shape{};
  for (shape.log2_copies = kMaxLog2Copies;; --shape.log2_copies) {
    const std::size_t words =
        max_shared_bytes / sizeof(std::uint32_t) >> static_cast<unsigned>(shape.log2_copies);
    const std::size_t units = std::min<std::size_t>(words / kWindowUnit, kWindowUnits);
    shape.size = static_cast<int>(units) * kWindowUnit;
    if (shape.size >= least || shape.log2_copies == 0) return shape;
  }
}

template <typename T, bool kWithStatistics>
void launch_as(std::int64_t count, const void* x, std::uint64_t* counts, Statistics* statistics,
               const LaunchTarget& target) {
  const PackLayout layout = packs_aligned_to<T>(x, count);
  const WindowShape window = window_shape(dtype_of<T>, target.max_shared_bytes);
  const BlockShape block{kHistogramThreads, std::max(window.bytes(), sizeof(StatisticsStorage))};
  const auto kernel = &key_histogram_kernel<T, kWithStatistics>;
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(block.shared_bytes)),
        "cudaFuncSetAttribute", target.operation);
  constexpr std::int64_t kPacksOfBlock = std::int64_t{kHistogramThreads} * kHistogramPacksInFlight;
  const std::int64_t wanted = layout.num_packs / kPacksOfBlock + 1;
  launch(static_cast<int>(std::min<std::int64_t>(wanted, target.num_multiprocessors)), block,
         target, kernel, layout, x, window, reinterpret_cast<unsigned long long*>(counts),
         reduction_scratch(target.workspace), statistics);
}

}  // namespace

void launch_key_histogram(DType dtype, std::int64_t count, const void* x, std::uint64_t* counts,
                          Statistics* statistics, const LaunchTarget& target) {
  with_type(dtype, [&](auto type) {
    using T = typename decltype(type)::Type;
    if constexpr (!std::is_same_v<T, double>) {
      if (statistics != nullptr) {
        launch_as<T, true>(count, x, counts, statistics, target);
      } else {
        launch_as<T, false>(count, x, counts, nullptr, target);
      }
    }
  });
}

void launch_add_counts(std::int64_t n, const std::uint64_t* from, std::uint64_t* to,
                       const LaunchTarget& target) {
  launch_streaming(n, 1, 0, target, &add_counts_kernel, n, from, to);
}

}  // namespace cuqat::gpu
