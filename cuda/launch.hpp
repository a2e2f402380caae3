// How every kernel is launched.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "check.hpp"
#include "launchers.hpp"

namespace cuqat::gpu {

/// Threads of a block of every kernel that does not say otherwise.
inline constexpr int kBlockThreads = 256;

/// Most blocks that a multiprocessor of any architecture holds at once: 2048 threads. A reduction
/// has scratch memory for as many.
inline constexpr int kMaxBlocksPerMultiprocessor = 8;

/// Blocks of a launch that are not the usual ones.
struct BlockShape {
  int num_threads;
  std::size_t shared_bytes;
};

/// Puts `kernel<<<grid, num_threads, shared_bytes, stream>>>(arguments...)` on the stream.
template <typename... Parameters, typename... Arguments>
void launch(dim3 grid, const BlockShape& block, const LaunchTarget& target,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = dim3(static_cast<unsigned>(block.num_threads));
  config.dynamicSmemBytes = block.shared_bytes;
  config.stream = target.stream;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...),
        "cudaLaunchKernelEx", target.operation);
}

/// The same of so many blocks in a row.
template <typename... Parameters, typename... Arguments>
void launch(int num_blocks, const BlockShape& block, const LaunchTarget& target,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  launch(dim3(static_cast<unsigned>(num_blocks)), block, target, kernel,
         std::forward<Arguments>(arguments)...);
}

/// The same with kBlockThreads.
template <typename... Parameters, typename... Arguments>
void launch(int num_blocks, std::size_t shared_bytes, const LaunchTarget& target,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  launch(num_blocks, BlockShape{kBlockThreads, shared_bytes}, target, kernel,
         std::forward<Arguments>(arguments)...);
}

/// Blocks for `num_items` items of which a thread takes `items_per_thread` at a time. Kernels
/// stride over the rest, so a grid is never larger than what runs at once.
///
/// How many blocks that is depends on the kernel's registers: on sm_90 from 2 to all 8 of those
/// that the threads alone would allow. A grid of 8 for all of them would end in a wave that fills a
/// part of the device (3 fit, 2 are left), and __launch_bounds__ for as few as 3 makes ptxas spill.
/// So the runtime is asked at each launch, as CUB does: the answer is computed on the host from
/// what is loaded, nothing is waited for, and it may be asked while a stream is captured.
template <typename... Parameters>
int streaming_grid(std::int64_t num_items, int items_per_thread, std::size_t shared_bytes,
                   const LaunchTarget& target, void (*kernel)(Parameters...)) {
  int resident = 0;
  check(
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&resident, kernel, kBlockThreads, shared_bytes),
      "cudaOccupancyMaxActiveBlocksPerMultiprocessor", target.operation);
  const std::int64_t most =
      std::int64_t{target.num_multiprocessors} * std::min(resident, kMaxBlocksPerMultiprocessor);
  const std::int64_t per_block = std::int64_t{kBlockThreads} * items_per_thread;
  const std::int64_t wanted = num_items / per_block + (num_items % per_block != 0 ? 1 : 0);
  return static_cast<int>(std::max<std::int64_t>(std::min(wanted, most), 1));
}

/// launch() of a kernel that strides over items, on a streaming_grid().
template <typename... Parameters, typename... Arguments>
void launch_streaming(std::int64_t num_items, int items_per_thread, std::size_t shared_bytes,
                      const LaunchTarget& target, void (*kernel)(Parameters...),
                      Arguments&&... arguments) {
  launch(streaming_grid(num_items, items_per_thread, shared_bytes, target, kernel), shared_bytes,
         target, kernel, std::forward<Arguments>(arguments)...);
}

/// launch() of a kernel that strides over items, of blocks with so much shared memory that each has
/// a multiprocessor for itself.
template <typename... Parameters, typename... Arguments>
void launch_alone(std::int64_t num_items, int items_per_thread, const BlockShape& block,
                  const LaunchTarget& target, void (*kernel)(Parameters...),
                  Arguments&&... arguments) {
  check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                             static_cast<int>(block.shared_bytes)),
        "cudaFuncSetAttribute", target.operation);
  const std::int64_t per_block = std::int64_t{block.num_threads} * items_per_thread;
  const std::int64_t wanted = num_items / per_block + 1;
  launch(static_cast<int>(std::min<std::int64_t>(wanted, target.num_multiprocessors)), block,
         target, kernel, std::forward<Arguments>(arguments)...);
}

}  // namespace cuqat::gpu
