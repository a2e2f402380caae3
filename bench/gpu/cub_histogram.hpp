// The histogram that a user would take from CUB: of 16-bit samples as unsigned numbers, as those of
// bf16 and f16 with so many bins are miscounted (github.com/NVIDIA/cccl/issues/10976).
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <cstdint>

namespace cuqat::bench {

/// Bytes of temporary memory for so many samples, at most 2^31 - 1.
std::size_t cub_histogram_bytes(std::int64_t count);
/// Counts all 65 536 patterns.
void launch_cub_histogram(const std::uint16_t* samples, std::int64_t count, std::uint32_t* counts,
                          void* temporary, std::size_t temporary_bytes, cudaStream_t stream);

}  // namespace cuqat::bench
