// cuqat info
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cuqat/device_context.hpp"
#include "cuqat/error.hpp"
#include "cuqat/version.hpp"

namespace cuqat::cli {

namespace {

/// Empty, or why the current device cannot be used.
std::string why_no_cuda() {
  try {
    const DeviceContext probe({.workspace_bytes = 0});
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace

ExitCode print_info() {
  const HostOptions defaults;
  Table table({{"backend"}, {"usable"}, {"", false, 8}});
  for (const BackendInfo& backend : list_backends()) {
    if (backend.name == "cuda") continue;
    table.add_row({backend.name, backend.usable ? "yes" : "no", backend.detail});
  }
  const std::string why_not = why_no_cuda();
  table.add_row({"cuda", why_not.empty() ? "yes" : "no", why_not.empty() ? "calibrate" : why_not});
  print(
      fmt::format("cuqat {}\n\n{}\ndefault backend  {}\ninstruction set  {}\nthreads          {}\n",
                  CUQAT_VERSION_STRING, table.text(output_is_styled()), defaults.backend.name(),
                  defaults.backend.instruction_set(), num_threads(defaults)));
  return kExitDone;
}

}  // namespace cuqat::cli
