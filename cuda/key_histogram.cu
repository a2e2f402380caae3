#include "key_histogram.cuh"

#include <algorithm>
#include <type_traits>

#include "add_counts.cuh"
#include "dispatch.hpp"
#include "launch.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {
namespace {

template <typename T, bool kWithStatistics>
void launch_as(std::int64_t count, const void* x, std::uint64_t* counts, Statistics* statistics,
               const LaunchTarget& target) {
  const PackLayout layout = packs_aligned_to<T>(x, count);
  const WindowShape window = window_shape(dtype_of<T>, target.max_shared_bytes);
  const BlockShape block{kHistogramThreads, std::max(window.bytes(), sizeof(StatisticsStorage))};
  launch_alone(layout.num_packs, kHistogramPacksInFlight, block, target,
               &key_histogram_kernel<T, kWithStatistics>, layout, x, window,
               reinterpret_cast<unsigned long long*>(counts), reduction_scratch(target.workspace),
               statistics);
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
