// The outputs of a calibration: the table, the JSON, the page, the saved statistics.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/error.hpp"
#include "cli/html_output.hpp"
#include "cli/json_output.hpp"
#include "cli/options.hpp"
#include "cli/output.hpp"
#include "cli/ranks.hpp"
#include "cli/report.hpp"
#include "cli/state_file.hpp"
#include "cli/table.hpp"

namespace cuqat::cli {

/// Takes the reports as they come, and closes all outputs at the end.
class Results {
 public:
  /// Opens the outputs. `settings` must outlive it; `input_names` are for messages.
  /// @throws UsageError for a path that cannot be written.
  Results(const CalibrateSettings& settings, const Granularity& granularity,
          std::size_t num_tensors, std::string input_names);

  [[nodiscard]] bool wants_state() const noexcept { return state_.has_value(); }

  /// Reports come in ascending order of the names.
  void add(const TensorReport& report);
  void add_state(const std::string& name, std::span<const std::byte> state);

  ExitCode finish(std::string_view last_line);

 private:
  [[nodiscard]] bool shows_table() const noexcept;
  void check_sqnr(const std::string& name, const CalibrationResult& result);

  const CalibrateSettings& settings_;
  std::optional<Output> json_file_;
  std::optional<CalibrationJson> json_;
  std::optional<Output> state_file_;
  std::optional<StateWriter> state_;
  std::optional<Output> html_file_;
  std::optional<CalibrationHtml> html_;
  Table table_;
  std::string input_names_;
  std::size_t num_below_ = 0;  ///< Results below --min-sqnr.
  double least_sqnr_db_ = 0.0;
  std::string worst_;  ///< The result of that.
};

/// The collector's histogram, where a page is wanted.
std::vector<std::uint64_t> histogram_of(const CalibrationCollector& collector,
                                        const CalibrateSettings& settings);

/// What computed the answers, and how long it took.
std::string last_line(const HostOptions& host, const Ranks& ranks,
                      std::chrono::steady_clock::time_point start);

}  // namespace cuqat::cli
