// cuqat info
#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cuqat/version.hpp"

namespace cuqat::cli {

ExitCode print_info() {
  const HostOptions defaults;
  Table table({{"backend"}, {"usable"}, {"", false, 8}});
  for (const BackendInfo& backend : list_backends()) {
    table.add_row({backend.name, backend.usable ? "yes" : "no", backend.detail});
  }
  print(
      fmt::format("cuqat {}\n\n{}\ndefault backend  {}\ninstruction set  {}\nthreads          {}\n",
                  CUQAT_VERSION_STRING, table.text(output_is_styled()), defaults.backend.name(),
                  defaults.backend.instruction_set(), num_threads(defaults)));
  return kExitDone;
}

}  // namespace cuqat::cli
