// Errors of the CUDA runtime as exceptions.
#pragma once

#include <cuda_runtime.h>

#include <source_location>
#include <string>

namespace cuqat::gpu {

/// Throws CudaError where the status of a runtime call is one. The runtime's own record of the last
/// error is cleared, so that the next call does not report this one again.
/// @param call  the runtime's function, "cudaMalloc" say.
/// @param operation  the function of cuqat that asked for it.
void check(cudaError_t status, const char* call,
           std::source_location operation = std::source_location::current());

/// Throws CudaError.
/// @param status  the error as a text.
/// @param code  the cudaError_t.
[[noreturn]] void throw_cuda_error(const char* call, const std::string& status, int code,
                                   bool is_sticky, std::source_location operation);

}  // namespace cuqat::gpu
