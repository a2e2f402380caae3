// From the words of the command line to settings.
#pragma once

#include <functional>

#include "cli/error.hpp"

namespace cuqat::cli {

/// The command that the words ask for, checked and ready to run. --help and --version are commands
/// too.
/// @throws UsageError.
std::function<ExitCode()> parse_command_line(int argc, const char* const* argv);

}  // namespace cuqat::cli
