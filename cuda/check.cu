#include "check.hpp"

#include <string>

#include "cuqat/error.hpp"

namespace cuqat::gpu {

void check(cudaError_t status, std::source_location where) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  std::string message(where.file_name());
  message = message.substr(message.find_last_of('/') + 1);
  const std::string function(where.function_name());
  message += ":" + std::to_string(where.line()) + " in " + function.substr(0, function.find('(')) +
             ": " + cudaGetErrorName(status) + " (" + std::to_string(static_cast<int>(status)) +
             "): " + cudaGetErrorString(status);
  throw CudaError(message, static_cast<int>(status));
}

}  // namespace cuqat::gpu
