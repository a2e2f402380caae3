// The program cuqat. Every way out is here: one line on standard error, and the exit code.
#include <csignal>
#include <exception>
#include <new>

#include "cli/command_line.hpp"
#include "cli/error.hpp"
#include "cli/output.hpp"

namespace {

using namespace cuqat::cli;

int fail(ExitCode code, std::string_view message) noexcept {
  print_diagnostic("error", message);
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  // A closed pipe is an error of write(), which Output knows.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return parse_command_line(argc, argv)();
  } catch (const UsageError& error) {
    return fail(kExitUsage, error.what());
  } catch (const OutputError& error) {
    return fail(kExitInternal, error.what());
  } catch (const cuqat::BackendUnavailable& error) {
    return fail(kExitBackend, error.what());
  } catch (const cuqat::DataError& error) {
    return fail(kExitInput, error.what());
  } catch (const cuqat::InvalidArgument& error) {
    return fail(kExitUsage, error.what());
  } catch (const std::bad_alloc&) {
    return fail(kExitInternal, "out of memory");
  } catch (const std::exception& error) {
    return fail(kExitInternal, error.what());
  } catch (...) {
    return fail(kExitInternal, "unknown failure");
  }
}
