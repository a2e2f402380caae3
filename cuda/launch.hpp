// How every kernel is launched.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "check.hpp"

namespace cuqat::gpu {

/// Threads of a block of the streaming kernels, and blocks that keep a multiprocessor full.
inline constexpr int kBlockThreads = 256;
inline constexpr int kBlocksPerMultiprocessor = 8;

/// Blocks for `num_items` items of which a thread takes `items_per_thread` at a time. Kernels
/// stride over the rest, so a grid is never larger than what runs at once.
inline int grid_size(std::int64_t num_items, int items_per_thread, int num_multiprocessors) {
  const std::int64_t per_block = std::int64_t{kBlockThreads} * items_per_thread;
  const std::int64_t wanted = num_items / per_block + (num_items % per_block != 0 ? 1 : 0);
  const std::int64_t resident = std::int64_t{num_multiprocessors} * kBlocksPerMultiprocessor;
  return static_cast<int>(std::clamp<std::int64_t>(wanted, 1, resident));
}

/// Puts `kernel<<<num_blocks, kBlockThreads, shared_bytes, stream>>>(arguments...)` on the stream.
template <typename... Parameters, typename... Arguments>
void launch(int num_blocks, std::size_t shared_bytes, cudaStream_t stream,
            void (*kernel)(Parameters...), Arguments&&... arguments) {
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(static_cast<unsigned>(num_blocks));
  config.blockDim = dim3(kBlockThreads);
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream;
  check(cudaLaunchKernelEx(&config, kernel, std::forward<Arguments>(arguments)...));
}

}  // namespace cuqat::gpu
