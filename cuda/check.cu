#include "check.hpp"

#include <string>

#include "cuqat/error.hpp"

namespace cuqat::gpu {
namespace {

/// Those after which, by the runtime's documentation of cudaError_t, the process must end, and
/// errors of the hardware. All come from work on the device, later than the call that put it there.
bool is_sticky(cudaError_t status) {
  switch (status) {
    case cudaErrorECCUncorrectable:
    case cudaErrorNvlinkUncorrectable:
    case cudaErrorContained:
    case cudaErrorIllegalAddress:
    case cudaErrorLaunchTimeout:
    case cudaErrorAssert:
    case cudaErrorHardwareStackError:
    case cudaErrorIllegalInstruction:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorLaunchFailure:
    case cudaErrorTensorMemoryLeak:
    case cudaErrorMpsClientTerminated:
    case cudaErrorExternalDevice:
      return true;
    default:
      return false;
  }
}

/// Of "void cuqat::f(int)" cuqat::f.
std::string name_of(const std::source_location& operation) {
  const std::string declaration(operation.function_name());
  const std::string before_arguments = declaration.substr(0, declaration.find('('));
  return before_arguments.substr(before_arguments.find_last_of(' ') + 1);
}

}  // namespace

void throw_cuda_error(const char* call, const std::string& status, int code, bool sticky,
                      std::source_location operation) {
  const std::string file(operation.file_name());
  throw CudaError(std::string(call) + " in " + name_of(operation) + " (" +
                      file.substr(file.find_last_of('/') + 1) + ":" +
                      std::to_string(operation.line()) + "): " + status +
                      (sticky ? "; earlier work on the device failed" : ""),
                  code, sticky);
}

void check(cudaError_t status, const char* call, std::source_location operation) {
  if (status == cudaSuccess) return;
  static_cast<void>(cudaGetLastError());
  throw_cuda_error(call,
                   std::string(cudaGetErrorName(status)) + " (" +
                       std::to_string(static_cast<int>(status)) +
                       "): " + cudaGetErrorString(status),
                   static_cast<int>(status), is_sticky(status), operation);
}

}  // namespace cuqat::gpu
