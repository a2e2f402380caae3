// Counting keys in device memory.
#pragma once

#include <cuda_runtime.h>

namespace cuqat::gpu::detail {

/// A key and how often a thread has met it in a row: adds that to its count in device memory when
/// another one comes, so that data of one value makes no contention.
class RunOfKeys {
 public:
  __device__ void add(unsigned key, unsigned long long* counts) {
    if (key != key_) flush(counts);
    key_ = key;
    ++length_;
  }
  __device__ void flush(unsigned long long* counts) {
    if (length_ != 0) atomicAdd(&counts[key_], static_cast<unsigned long long>(length_));
    length_ = 0;
  }

 private:
  unsigned key_ = 0;
  unsigned length_ = 0;
};

}  // namespace cuqat::gpu::detail
