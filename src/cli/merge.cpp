// cuqat merge
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/output.hpp"
#include "cli/state_file.hpp"
#include "io/error.hpp"
#include "io/names.hpp"

namespace cuqat::cli {

ExitCode merge_states(const MergeSettings& settings) {
  const StateFiles states(settings.states);
  const std::vector<std::string> names = states.names();
  Output file(settings.output_path);
  StateWriter writer(file, names.size());
  std::optional<Granularity> granularity;
  for (const std::string& name : names) {
    const CalibrationCollector sum = states.load(name);
    // One calibration has one granularity: such a file could not be answered from.
    if (granularity && *granularity != sum.granularity()) {
      throw io::FileError(settings.states.front(),
                          fmt::format("tensor {} was observed with granularity {}; others with {}",
                                      io::in_quotes(name), io::to_text(sum.granularity()),
                                      io::to_text(*granularity)));
    }
    granularity = sum.granularity();
    writer.add(name, sum.save());
  }
  writer.finish();
  file.commit();
  return kExitDone;
}

}  // namespace cuqat::cli
