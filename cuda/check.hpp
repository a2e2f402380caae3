// Errors of the CUDA runtime as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <source_location>

namespace cuqat::gpu {

/// Throws CudaError where the status is one. The runtime's own record of the last error is cleared,
/// so that the next call does not report this one again.
void check(cudaError_t status, std::source_location where = std::source_location::current());

}  // namespace cuqat::gpu
