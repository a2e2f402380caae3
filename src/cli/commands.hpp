// The commands. Each returns the exit code, or throws.
#pragma once

#include "cli/error.hpp"
#include "cli/options.hpp"
#include "cli/ranks.hpp"
#include "cuqat/backend.hpp"

namespace cuqat::cli {

/// The ranks share the work; rank 0 writes the answer.
ExitCode calibrate_files(const CalibrateSettings& settings, const Ranks& ranks);
/// The same from files, without saved statistics.
ExitCode calibrate_data(const CalibrateSettings& settings, const Ranks& ranks);
ExitCode merge_states(const MergeSettings& settings);
ExitCode quantize_file(const QuantizeSettings& settings);
ExitCode dequantize_file(const DequantizeSettings& settings);
ExitCode inspect_files(const InspectSettings& settings);
ExitCode print_info();

/// What is computed on the host: with "cuda" all that has no device form.
/// @throws BackendUnavailable.
inline HostOptions host_options(const HostSettings& settings) {
  return {Backend::named(settings.backend == "cuda" ? "auto" : settings.backend),
          settings.num_threads};
}

}  // namespace cuqat::cli
