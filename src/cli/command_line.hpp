// From the words of the command line to settings.
#pragma once

#include <functional>

#include "cli/error.hpp"
#include "cli/ranks.hpp"

namespace cuqat::cli {

using Command = std::function<ExitCode(const Ranks&)>;

/// The command that the words ask for, checked and ready to run. --help and --version are commands
/// too.
/// @throws UsageError.
Command parse_command_line(int argc, const char* const* argv);

}  // namespace cuqat::cli
