// The program cuqat. Every way out is here: one line on standard error, and the exit code.
#include <csignal>
#include <exception>
#include <string>

#include "cli/command_line.hpp"
#include "cli/failure.hpp"
#include "cli/output.hpp"
#include "cli/ranks.hpp"

namespace {

using namespace cuqat::cli;

std::string all_words(int argc, const char* const* argv) {
  std::string words;
  for (int i = 1; i < argc; ++i) words.append(argv[i]) += '\n';
  return words;
}

/// Runs what throws, and makes an exit code of it.
template <typename Run>
int reporting(const Run& run) {
  try {
    return run();
  } catch (...) {
    const Failure failure = failure_of(std::current_exception());
    print_diagnostic("error", failure.message);
    return failure.code;
  }
}

}  // namespace

int main(int argc, char** argv) {
  // A closed pipe is an error of write(), which Output knows.
  std::signal(SIGPIPE, SIG_IGN);
  return reporting([&] {
    const Ranks ranks;
    // What went wrong is said before MPI ends.
    return reporting([&] {
      ranks.check_same(all_words(argc, argv), "command line");
      return parse_command_line(argc, argv)(ranks);
    });
  });
}
