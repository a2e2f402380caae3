// Stands in front of CUB's header, as device_radix_sort.cuh does.
#pragma once

#include <cub/device/device_radix_sort.cuh>

namespace cub {

struct DeviceSegmentedRadixSort {
  template <typename KeyT, typename BeginsT, typename EndsT>
  static cudaError_t SortKeys(void* temporary, std::size_t& temporary_bytes,
                              DoubleBuffer<KeyT>& keys, int num_items, int num_segments,
                              BeginsT begins, EndsT ends, int begin_bit = 0,
                              int end_bit = sizeof(KeyT) * 8, cudaStream_t stream = nullptr) {
    return simt::sort_segments(temporary, temporary_bytes, keys, num_items, num_segments, begins,
                               ends, begin_bit, end_bit, stream);
  }
};

}  // namespace cub
