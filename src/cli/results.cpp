#include "cli/results.hpp"

#include <utility>

#include <fmt/format.h>

#include "cli/text.hpp"
#include "io/error.hpp"

namespace cuqat::cli {

Results::Results(const CalibrateSettings& settings, const Granularity& granularity,
                 std::size_t num_tensors, std::string input_names)
    : settings_(settings), table_(calibration_table()), input_names_(std::move(input_names)) {
  if (settings.json_path) {
    json_file_.emplace(*settings.json_path);
    json_.emplace(*json_file_, settings.methods.front(), granularity);
  }
  if (settings.state_path) {
    state_file_.emplace(*settings.state_path);
    state_.emplace(*state_file_, num_tensors);
  }
  if (settings.html_path) {
    html_file_.emplace(*settings.html_path);
    html_.emplace(*html_file_, settings.methods.front(), granularity);
  }
}

bool Results::shows_table() const noexcept {
  return !settings_.quiet && settings_.json_path != kStandardOutput &&
         settings_.state_path != kStandardOutput && settings_.html_path != kStandardOutput;
}

void Results::add(const TensorReport& report) {
  if (json_) json_->add(report);
  if (html_) html_->add(report);
  if (shows_table()) add_rows(report, table_);
  for (const CalibrationResult& result : report.results) check_sqnr(report.name, result);
}
void Results::add_state(const std::string& name, std::span<const std::byte> state) {
  state_->add(name, state);
}

ExitCode Results::finish(std::string_view last_line) {
  if (json_) json_->finish();
  if (state_) state_->finish();
  if (html_) html_->finish();
  if (json_file_) json_file_->commit();
  if (state_file_) state_file_->commit();
  if (html_file_) html_file_->commit();
  if (shows_table()) print(fmt::format("{}{}\n", table_.text(output_is_styled()), last_line));
  if (num_below_ == 0) return kExitDone;
  print_diagnostic(
      "error",
      fmt::format("{}: {}{}; --min-sqnr asks for {}", input_names_, worst_,
                  num_below_ == 1 ? "" : fmt::format(", the least of {} results below", num_below_),
                  *settings_.min_sqnr_db));
  return kExitBelowMinSqnr;
}

void Results::check_sqnr(const std::string& name, const CalibrationResult& result) {
  if (!settings_.min_sqnr_db || result.sqnr_db >= *settings_.min_sqnr_db) return;
  if (num_below_++ > 0 && result.sqnr_db >= least_sqnr_db_) return;
  least_sqnr_db_ = result.sqnr_db;
  worst_ = fmt::format("tensor {}: {} gives {:.2f} dB", io::in_quotes(name),
                       result_label(result.options), result.sqnr_db);
}

std::vector<std::uint64_t> histogram_of(const CalibrationCollector& collector,
                                        const CalibrateSettings& settings) {
  if (!settings.html_path || collector.statistics().amax() == 0.0) return {};
  return collector.linear_histogram(BinRange::kSigned, kHistogramBins);
}

std::string last_line(const HostOptions& host, const Ranks& ranks,
                      std::chrono::steady_clock::time_point start) {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const int threads = num_threads(host);
  const std::string processes =
      ranks.size() == 1 ? "" : fmt::format("{} processes of ", ranks.size());
  return fmt::format("{} ({}), {}{} thread{}, {:.2f} s", host.backend.name(),
                     host.backend.instruction_set(), processes, threads, threads == 1 ? "" : "s",
                     elapsed.count());
}

}  // namespace cuqat::cli
