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

/// A call of the CUDA runtime failed. The message names the call, the function of cuqat that made
/// it, the error and its code. The runtime's record of the error is cleared, and contexts still
/// work unless it is_sticky(). What the call writes is then undefined: some of its kernels may run.
class CudaError : public Error {
 public:
  CudaError(const std::string& message, int code, bool is_sticky)
      : Error(message), code_(code), is_sticky_(is_sticky) {}
  /// The cudaError_t.
  [[nodiscard]] int code() const noexcept { return code_; }
  /// True where work that was on the device before the call failed, whoever put it there (an
  /// illegal access, say). CUDA gives this error to every later call of the process, which must be
  /// started anew.
  [[nodiscard]] bool is_sticky() const noexcept { return is_sticky_; }

 private:
  int code_;
  bool is_sticky_;
};

}  // namespace cuqat
