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

}  // namespace cuqat
