// The exceptions of the library. Nothing in cuqat calls exit or abort, and nothing prints.
#pragma once

#include <stdexcept>
#include <string>

namespace cuqat {

/// Base of every exception that cuqat throws on purpose.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The caller's mistake. The message names the argument, its value and the limit. Outputs are
/// untouched: arguments are checked before any work begins.
class InvalidArgument : public Error {
 public:
  using Error::Error;
};

/// The backend asked for does not exist or cannot run on this machine; the message says why.
class BackendUnavailable : public Error {
 public:
  using Error::Error;
};

/// Bytes from outside (a saved collector, a file) that are damaged or of another version.
class DataError : public Error {
 public:
  using Error::Error;
};

/// A call of the CUDA runtime failed; the message names the call's place, the error and its code.
/// Errors that the runtime can recover from are cleared; after others (an illegal access, say) the
/// process's CUDA state is lost, and every later call throws this again.
class CudaError : public Error {
 public:
  CudaError(const std::string& message, int code) : Error(message), code_(code) {}
  /// The cudaError_t.
  [[nodiscard]] int code() const noexcept { return code_; }

 private:
  int code_;
};

}  // namespace cuqat
