// The program cuqat. Every way out is here: one line on standard error, and the exit code.
#include <csignal>
#include <exception>

#include "cli/command_line.hpp"
#include "cli/failure.hpp"
#include "cli/output.hpp"
#include "cli/ranks.hpp"

int main(int argc, char** argv) {
  using namespace cuqat::cli;
  // A closed pipe is an error of write(), which Output knows.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    const Ranks ranks(argc, argv);
    try {
      return parse_command_line(argc, argv)(ranks);
    } catch (...) {
      const Failure failure = failure_of(std::current_exception());
      print_diagnostic("error", failure.message);
      return failure.code;
    }
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    print_diagnostic("error", failure.message);
    return failure.code;
  }
}
