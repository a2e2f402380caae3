// Fake quantize of many tensors in one launch.
//
// The tensors are cut into tiles, each the packs that a block's threads have in flight at once; a
// block owns a tile at a time, and a table says whose it is.
//
// Bytes moved an element: 2 sizeof(T), and 1/8 for a mask; about 200 a tile for what is known of
// its tensor. Bound by memory once there are tiles for all multiprocessors.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "fake_quantize.cuh"
#include "launch.hpp"

namespace cuqat::gpu {

struct BatchTensor {
  PackLayout layout;
  ScaleMap map;
  const void* x;
  void* y;
  std::uint8_t* clip_mask;  ///< Or null.
  std::int64_t first_tile;
};

struct BatchTable {
  const BatchTensor* tensors;
  const std::int32_t* tensor_of_tile;
  std::int64_t num_tiles;
};

template <typename T>
inline constexpr std::int64_t kTilePacks = std::int64_t{kBlockThreads} * kPacksInFlight<T>;

/// Half as many as elsewhere: what is known of the tensor takes registers too.
template <typename T>
inline constexpr int kTileInFlight = sizeof(T) == 2 ? 2 : 1;

template <typename T, typename Q>
__global__ void __launch_bounds__(kBlockThreads, 2)
    fake_quantize_batch_kernel(BatchTable table, Q quantizer) {
  for (std::int64_t tile = blockIdx.x; tile < table.num_tiles; tile += gridDim.x) {
    const BatchTensor& tensor = table.tensors[table.tensor_of_tile[tile]];
    const std::int64_t first = (tile - tensor.first_tile) * kTilePacks<T>;
    const std::int64_t left = tensor.layout.num_packs - first;
    const int num_packs = static_cast<int>(left < kTilePacks<T> ? left : kTilePacks<T>);
    const int thread = static_cast<int>(threadIdx.x);
    const int packs_of_thread = (num_packs - thread + kBlockThreads - 1) / kBlockThreads;
    const PackSequence packs{first + thread, kBlockThreads, packs_of_thread};
    const auto run = [&](const auto& scales) {
      int nothing_seen = 0;
      fake_quantize_packs<false, kTileInFlight<T>>(tensor.layout, packs, scales, tensor.x, tensor.y,
                                                   tensor.clip_mask, nothing_seen);
    };
    if (kCanPrepare<T, Q> && tensor.map.is_single) {
      run(SingleScale<T, Q>(quantizer, tensor.map));
    } else {
      run(PackScales<T, Q>(quantizer, tensor.map));
    }
  }
}

}  // namespace cuqat::gpu
