// cuqat calibrate
#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/input.hpp"
#include "cli/json_output.hpp"
#include "cli/names.hpp"
#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "cli/report.hpp"
#include "cli/state_file.hpp"
#include "cli/text.hpp"
#include "io/error.hpp"

namespace cuqat::cli {
namespace {

/// Takes the reports as they come, and closes all outputs at the end.
class Results {
 public:
  Results(const CalibrateSettings& settings, const Granularity& granularity,
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
  }

  [[nodiscard]] bool wants_state() const noexcept { return state_.has_value(); }
  [[nodiscard]] bool shows_table() const noexcept {
    return !settings_.quiet && settings_.json_path != kStandardOutput &&
           settings_.state_path != kStandardOutput;
  }

  void add(const TensorReport& report) {
    if (json_) json_->add(report);
    if (shows_table()) add_rows(report, table_);
    for (const CalibrationResult& result : report.results) check_sqnr(report.name, result);
  }
  void add_state(const std::string& name, const CalibrationCollector& collector) {
    state_->add(name, collector);
  }

  ExitCode finish(std::string_view last_line) {
    if (json_) json_->finish();
    if (state_) state_->finish();
    if (json_file_) json_file_->commit();
    if (state_file_) state_file_->commit();
    if (shows_table()) print(fmt::format("{}{}\n", table_.text(output_is_styled()), last_line));
    if (num_below_ == 0) return kExitDone;
    print_diagnostic(
        "error",
        fmt::format(
            "{}: {}{}; --min-sqnr asks for {}", input_names_, worst_,
            num_below_ == 1 ? "" : fmt::format(", the least of {} results below", num_below_),
            *settings_.min_sqnr_db));
    return kExitBelowMinSqnr;
  }

 private:
  void check_sqnr(const std::string& name, const CalibrationResult& result) {
    if (!settings_.min_sqnr_db || result.sqnr_db >= *settings_.min_sqnr_db) return;
    if (num_below_++ > 0 && result.sqnr_db >= least_sqnr_db_) return;
    least_sqnr_db_ = result.sqnr_db;
    worst_ = fmt::format("tensor {}: {} gives {:.2f} dB", io::in_quotes(name),
                         result_label(result.options), result.sqnr_db);
  }

  const CalibrateSettings& settings_;
  std::optional<Output> json_file_;
  std::optional<CalibrationJson> json_;
  std::optional<Output> state_file_;
  std::optional<StateWriter> state_;
  Table table_;
  std::string input_names_;
  std::size_t num_below_ = 0;  ///< Results below --min-sqnr.
  double least_sqnr_db_ = 0.0;
  std::string worst_;  ///< The result of that.
};

void check_one_piece(const InputFiles& files, const InputTensor& tensor,
                     const Granularity& granularity) {
  if (tensor.batches.size() < 2) return;
  const InputTensor::Batch& second = tensor.batches[1];
  if (!needs_one_piece(granularity, second.shape.size())) return;
  throw io::FileError(
      files.file_name(second),
      fmt::format("tensor {} is also in {}; {} counts along the first axis, so it needs the tensor "
                  "in one file",
                  io::in_quotes(tensor.name), files.file_name(tensor.batches.front()),
                  to_text(granularity)));
}

TensorReport calibrate_tensor(const InputTensor& tensor, const CalibrateSettings& settings,
                              const Granularity& granularity, const HostOptions& host,
                              Results& results) {
  const std::vector<ConstTensorView> batches = tensor.views();
  TensorReport report{tensor.name, batches.front().dtype(), tensor.shape(), {}, {}};
  report.results = calibrate(batches, granularity, settings.methods, host);
  for (const ConstTensorView& batch : batches) report.statistics.merge(statistics(batch, host));
  if (results.wants_state()) {
    CalibrationCollector collector(report.dtype, granularity);
    for (const ConstTensorView& batch : batches) collector.observe(batch, host);
    results.add_state(tensor.name, collector);
  }
  return report;
}

std::string last_line(const HostOptions& host, std::chrono::steady_clock::time_point start) {
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const int threads = num_threads(host);
  return fmt::format("{} ({}), {} thread{}, {:.2f} s", host.backend.name(),
                     host.backend.instruction_set(), threads, threads == 1 ? "" : "s",
                     elapsed.count());
}

ExitCode calibrate_data(const CalibrateSettings& settings) {
  const auto start = std::chrono::steady_clock::now();
  const HostOptions host = host_options(settings.host);
  const Granularity granularity = settings.granularity.value_or(Granularity::tensor());
  InputFiles files(settings.input);
  for (const InputTensor& tensor : files.remove_unsupported()) {
    print_diagnostic("warning", fmt::format("{}: tensor {} has dtype {}; skipped",
                                            files.file_name(tensor.batches.front()),
                                            io::in_quotes(tensor.name), tensor.dtype));
  }
  std::int64_t total_bytes = 0;
  for (const InputTensor& tensor : files.tensors()) {
    check_one_piece(files, tensor, granularity);
    total_bytes += tensor.bytes();
  }
  Results results(settings, granularity, files.tensors().size(), files.file_names());
  {
    Progress progress(total_bytes, !settings.quiet);
    for (const InputTensor& tensor : files.tensors()) {
      progress.advance(0, tensor.name);
      try {
        results.add(calibrate_tensor(tensor, settings, granularity, host, results));
      } catch (const InvalidArgument& error) {
        throw io::FileError(files.file_name(tensor.batches.front()),
                            fmt::format("tensor {}: {}", io::in_quotes(tensor.name), error.what()));
      }
      files.release(tensor);
      progress.advance(tensor.bytes(), tensor.name);
    }
  }
  return results.finish(last_line(host, start));
}

std::vector<std::string> matching(std::vector<std::string> names, const InputSettings& input) {
  if (!input.match) return names;
  const NameFilter filter(*input.match);
  std::erase_if(names, [&](const std::string& name) { return !filter.matches(name); });
  return names;
}

ExitCode calibrate_states(const CalibrateSettings& settings) {
  const auto start = std::chrono::steady_clock::now();
  const HostOptions host = host_options(settings.host);
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
      throw io::FileError(
          first_file,
          fmt::format("tensor {} was observed with granularity {}; asked is {}",
                      io::in_quotes(name), to_text(collector.granularity()), to_text(granularity)));
    }
    TensorReport report{name, collector.dtype(), {}, collector.statistics(), {}};
    report.shape.assign(collector.shape().begin(), collector.shape().end());
    report.results = collector.compute(settings.methods, host);
    results.add(report);
    if (results.wants_state()) results.add_state(name, collector);
  }
  return results.finish(last_line(host, start));
}

}  // namespace

ExitCode calibrate_files(const CalibrateSettings& settings) {
  return settings.states.empty() ? calibrate_data(settings) : calibrate_states(settings);
}

}  // namespace cuqat::cli
