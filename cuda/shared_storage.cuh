// Shared memory of a block as one object. Kernels declare no other: its size is an argument of the
// launch, so a tool that runs kernels elsewhere knows its bounds.
#pragma once

#include <cuda_runtime.h>

namespace cuqat::gpu {

template <typename Storage>
__device__ inline Storage& shared_storage() {
  extern __shared__ __align__(16) unsigned char cuqat_shared_memory[];
  return *reinterpret_cast<Storage*>(cuqat_shared_memory);
}

}  // namespace cuqat::gpu
