// What ends the program, beside the library's exceptions and io::FileError.
#pragma once

#include "cuqat/error.hpp"

namespace cuqat::cli {

/// How the program was called is wrong.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// Something cannot be written.
class OutputError : public Error {
 public:
  using Error::Error;
};

enum ExitCode : int {
  kExitDone = 0,
  kExitInternal = 1,
  kExitUsage = 2,
  kExitInput = 3,
  kExitBackend = 4,
  kExitBelowMinSqnr = 5
};

}  // namespace cuqat::cli
