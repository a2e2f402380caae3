// What becomes of an exception: an exit code and one line.
#pragma once

#include <exception>
#include <string>

#include "cli/error.hpp"

namespace cuqat::cli {

struct Failure {
  ExitCode code = kExitDone;
  std::string message;
};

/// What ended another rank, or this one together with it.
class RankError : public Error {
 public:
  RankError(ExitCode code, const std::string& message) : Error(message), code_(code) {}
  [[nodiscard]] ExitCode code() const noexcept { return code_; }

 private:
  ExitCode code_;
};

Failure failure_of(const std::exception_ptr& exception);

}  // namespace cuqat::cli
