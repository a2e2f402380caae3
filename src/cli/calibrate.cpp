// cuqat calibrate
#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/cuda_collector.hpp"
#include "cli/input.hpp"
#include "cli/results.hpp"
#include "cli/state_file.hpp"
#include "io/error.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

std::vector<std::string> matching(std::vector<std::string> names, const InputSettings& input) {
  if (!input.match) return names;
  const NameFilter filter(*input.match);
  std::erase_if(names, [&](const std::string& name) { return !filter.matches(name); });
  return names;
}

ExitCode calibrate_states(const CalibrateSettings& settings, const Ranks& ranks) {
  const auto start = std::chrono::steady_clock::now();
  const HostOptions host = host_options(settings.host);
  // Nothing is left to count on it, but who asks for it is told where there is none.
  if (settings.host.backend == "cuda") {
    with_cuda_named([] { DeviceContext({.workspace_bytes = 0}); });
  }
  const StateFiles states(settings.states);
  const std::string& first_file = settings.states.front();
  const std::vector<std::string> names = matching(states.names(), settings.input);
  if (names.empty()) {
    throw io::FileError(first_file, settings.input.match ? "no tensor's name matches --match " +
                                                               io::in_quotes(*settings.input.match)
                                                         : "no tensor in it");
  }
  const Granularity granularity =
      settings.granularity ? *settings.granularity : states.load(names.front()).granularity();
  Results results(settings, granularity, names.size(),
                  fmt::format("{}", fmt::join(settings.states, ", ")));
  for (const std::string& name : names) {
    const CalibrationCollector collector = states.load(name);
    if (collector.granularity() != granularity) {
      throw io::FileError(first_file,
                          fmt::format("tensor {} was observed with granularity {}; asked is {}",
                                      io::in_quotes(name), io::to_text(collector.granularity()),
                                      io::to_text(granularity)));
    }
    TensorReport report;
    report.name = name;
    report.dtype = collector.dtype();
    report.statistics = collector.statistics();
    report.histogram = histogram_of(collector, settings);
    report.shape.assign(collector.shape().begin(), collector.shape().end());
    report.results = collector.compute(settings.methods, host);
    results.add(report);
    if (results.wants_state()) results.add_state(name, collector.save());
  }
  return results.finish(last_line(host, ranks, start));
}

}  // namespace

ExitCode calibrate_files(const CalibrateSettings& settings, const Ranks& ranks) {
  if (settings.states.empty()) return calibrate_data(settings, ranks);
  ExitCode code = kExitDone;
  ranks.together([&] {
    if (ranks.is_root()) code = calibrate_states(settings, ranks);
  });
  return ranks.of_root(code);
}

}  // namespace cuqat::cli
