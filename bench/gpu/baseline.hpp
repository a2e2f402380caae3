// What memory can do: a copy and a read that do nothing else, as kernels stream.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace cuqat::bench {

/// Addresses and bytes are multiples of 16; `sink` is one unsigned, written for no data that
/// occurs.
void launch_copy(void* to, const void* from, std::int64_t bytes, cudaStream_t stream);
void launch_read(const void* from, std::int64_t bytes, unsigned* sink, cudaStream_t stream);

}  // namespace cuqat::bench
