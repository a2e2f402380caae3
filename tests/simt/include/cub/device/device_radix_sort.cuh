// Stands in front of CUB's header: as much of it as cuqat uses. One thread sorts all segments, so
// that what CUB promises is there to be relied on, and what it does not promise is not:
// - without memory it only says how much it takes, and less than that is an error;
// - an error that earlier work has left is taken for its own;
// - the temporary memory and the buffer that does not hold the result are overwritten;
// - which of the two buffers holds it depends on the number of items.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace cub {

template <typename T>
struct DoubleBuffer {
  T* d_buffers[2] = {nullptr, nullptr};
  int selector = 0;

  DoubleBuffer() = default;
  DoubleBuffer(T* current, T* alternate) : d_buffers{current, alternate} {}

  T* Current() { return d_buffers[selector]; }
  T* Alternate() { return d_buffers[selector ^ 1]; }
};

}  // namespace cub

namespace simt {

/// The sorted keys are left in `from` where the result is there, else in `to`.
template <typename KeyT, typename BeginsT, typename EndsT>
void sort_segments_kernel(KeyT* from, KeyT* to, bool result_is_there, std::int64_t num_items,
                          std::int64_t num_segments, BeginsT begins, EndsT ends, KeyT mask,
                          unsigned char* temporary, std::size_t temporary_bytes) {
  KeyT* const result = result_is_there ? from : to;
  KeyT* const other = result_is_there ? to : from;
  for (std::int64_t i = 0; i < num_items; ++i) result[i] = from[i];
  for (std::int64_t segment = 0; segment < num_segments; ++segment) {
    std::sort(result + begins[segment], result + ends[segment],
              [mask](KeyT a, KeyT b) { return (a & mask) < (b & mask); });
  }
  for (std::int64_t i = 0; i < num_items; ++i) other[i] = static_cast<KeyT>(0x5a5a5a5a);
  for (std::size_t i = 0; i < temporary_bytes; ++i) temporary[i] = 0xa5;
}

/// Bits [0, end_bit).
template <typename KeyT, typename BeginsT, typename EndsT>
cudaError_t sort_segments(void* temporary, std::size_t& temporary_bytes,
                          cub::DoubleBuffer<KeyT>& keys, std::int64_t num_items,
                          std::int64_t num_segments, BeginsT begins, EndsT ends, int begin_bit,
                          int end_bit, cudaStream_t stream) {
  const std::size_t needed = 257 + static_cast<std::size_t>(num_items);
  if (cudaPeekAtLastError() != cudaSuccess) return cudaGetLastError();
  if (temporary == nullptr) {
    temporary_bytes = needed;
    return cudaSuccess;
  }
  if (temporary_bytes < needed || num_items < 0 || begin_bit != 0) return cudaErrorInvalidValue;
  if (num_items == 0) return cudaSuccess;
  constexpr int kAllBits = static_cast<int>(sizeof(KeyT)) * 8;
  const auto mask =
      static_cast<KeyT>(end_bit >= kAllBits ? ~KeyT{0} : (KeyT{1} << end_bit) - KeyT{1});
  KeyT* const from = keys.Current();
  KeyT* const to = keys.Alternate();
  const bool result_is_there = num_items % 2 != 0;
  if (!result_is_there) keys.selector ^= 1;
  cudaLaunchConfig_t config{};
  config.gridDim = dim3(1);
  config.blockDim = dim3(1);
  config.stream = stream;
  return cudaLaunchKernelEx(&config, &sort_segments_kernel<KeyT, BeginsT, EndsT>, from, to,
                            result_is_there, num_items, num_segments, begins, ends, mask,
                            static_cast<unsigned char*>(temporary), temporary_bytes);
}

}  // namespace simt

namespace cub {

struct DeviceRadixSort {
  template <typename KeyT, typename NumItemsT>
  static cudaError_t SortKeys(void* temporary, std::size_t& temporary_bytes,
                              DoubleBuffer<KeyT>& keys, NumItemsT num_items, int begin_bit = 0,
                              int end_bit = sizeof(KeyT) * 8, cudaStream_t stream = nullptr) {
    struct Bound {
      std::int64_t value;
      std::int64_t operator[](std::int64_t) const { return value; }
    };
    return simt::sort_segments(temporary, temporary_bytes, keys, num_items, 1, Bound{0},
                               Bound{static_cast<std::int64_t>(num_items)}, begin_bit, end_bit,
                               stream);
  }
};

}  // namespace cub
