// cuqat calibrate
#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/html_output.hpp"
#include "cli/input.hpp"
#include "cli/json_output.hpp"
#include "cli/names.hpp"
#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "cli/report.hpp"
#include "cli/report_bytes.hpp"
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
    if (settings.html_path) {
      html_file_.emplace(*settings.html_path);
      html_.emplace(*html_file_, settings.methods.front(), granularity);
    }
  }

  [[nodiscard]] bool wants_state() const noexcept { return state_.has_value(); }
  [[nodiscard]] bool shows_table() const noexcept {
    return !settings_.quiet && settings_.json_path != kStandardOutput &&
           settings_.state_path != kStandardOutput && settings_.html_path != kStandardOutput;
  }

  void add(const TensorReport& report) {
    if (json_) json_->add(report);
    if (html_) html_->add(report);
    if (shows_table()) add_rows(report, table_);
    for (const CalibrationResult& result : report.results) check_sqnr(report.name, result);
  }
  void add_state(const std::string& name, std::span<const std::byte> state) {
    state_->add(name, state);
  }

  ExitCode finish(std::string_view last_line) {
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
  std::optional<Output> html_file_;
  std::optional<CalibrationHtml> html_;
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

/// Where a page is wanted.
std::vector<std::uint64_t> histogram_of(const CalibrationCollector& collector,
                                        const CalibrateSettings& settings) {
  if (!settings.html_path || collector.statistics().amax() == 0.0) return {};
  return collector.linear_histogram(BinRange::kSigned, kHistogramBins);
}

/// Ranks share the cores of their machine, unless told otherwise.
HostOptions host_options_of_rank(const HostSettings& settings, const Ranks& ranks) {
  HostOptions host = host_options(settings);
  if (settings.num_threads == 0 && ranks.local_size() > 1) {
    host.num_threads = std::max(1, num_threads(host) / ranks.local_size());
  }
  return host;
}

/// Who reads what of each tensor, the same on every rank. A tensor of several files is shared file
/// by file where its distribution is exact in any pieces: bf16 and f16, a scale for the tensor or
/// for each channel. All others have one rank.
class Plan {
 public:
  Plan(const std::vector<InputTensor>& tensors, const Granularity& granularity, int num_ranks)
      : bytes_of_rank_(static_cast<std::size_t>(num_ranks)) {
    for (const InputTensor& tensor : tensors) {
      const DType dtype = tensor.batches.front().view->dtype();
      const bool is_shared = num_ranks > 1 && tensor.batches.size() > 1 &&
                             (dtype == DType::kBF16 || dtype == DType::kF16) &&
                             granularity.kind != Granularity::Kind::kGroup;
      is_shared_.push_back(is_shared);
      std::vector<int>& ranks = rank_of_batch_.emplace_back();
      if (!is_shared) ranks.push_back(take(tensor.bytes()));
      for (std::size_t i = 0; is_shared && i < tensor.batches.size(); ++i) {
        ranks.push_back(take(static_cast<std::int64_t>(tensor.batches[i].view->size_bytes())));
      }
    }
  }

  [[nodiscard]] bool is_shared(std::size_t tensor) const { return is_shared_[tensor]; }
  /// Of a tensor that is not shared.
  [[nodiscard]] int rank_of(std::size_t tensor) const { return rank_of_batch_[tensor].front(); }
  /// Of a tensor that is.
  [[nodiscard]] int rank_of(std::size_t tensor, std::size_t batch) const {
    return rank_of_batch_[tensor][batch];
  }
  [[nodiscard]] std::int64_t bytes_of(int rank) const {
    return bytes_of_rank_[static_cast<std::size_t>(rank)];
  }

 private:
  /// Gives bytes to the rank that has the least.
  int take(std::int64_t bytes) {
    const auto least = std::ranges::min_element(bytes_of_rank_);
    *least += bytes;
    return static_cast<int>(least - bytes_of_rank_.begin());
  }

  std::vector<std::int64_t> bytes_of_rank_;
  std::vector<bool> is_shared_;
  std::vector<std::vector<int>> rank_of_batch_;
};

/// One rank's part of a calibration from files.
class DataCalibration {
 public:
  DataCalibration(const CalibrateSettings& settings, const Ranks& ranks)
      : settings_(settings),
        ranks_(ranks),
        host_(host_options_of_rank(settings.host, ranks)),
        granularity_(settings.granularity.value_or(Granularity::tensor())),
        files_(settings.input) {
    for (const InputTensor& tensor : files_.remove_unsupported()) {
      if (!ranks.is_root()) continue;
      print_diagnostic("warning", fmt::format("{}: tensor {} has dtype {}; skipped",
                                              files_.file_name(tensor.batches.front()),
                                              io::in_quotes(tensor.name), tensor.dtype));
    }
    for (const InputTensor& tensor : tensors()) check_one_piece(files_, tensor, granularity_);
    plan_.emplace(tensors(), granularity_, ranks.size());
    if (ranks.is_root()) {
      results_.emplace(settings, granularity_, tensors().size(), files_.file_names());
    }
    progress_.emplace(plan_->bytes_of(ranks.rank()), !settings.quiet && ranks.is_root());
  }

  /// Name, dtype and shape of every tensor: what the plan depends on.
  [[nodiscard]] std::string listing() const {
    std::string text;
    for (const InputTensor& tensor : tensors()) {
      text += fmt::format("{}\n{}\n", tensor.name, tensor.dtype);
      for (const InputTensor::Batch& batch : tensor.batches) {
        text += fmt::format("{}\n", fmt::join(batch.shape, ","));
      }
    }
    return text;
  }

  /// The tensors that this rank has alone.
  void calibrate_own() {
    for (std::size_t i = 0; i < tensors().size(); ++i) {
      if (plan_->is_shared(i) || plan_->rank_of(i) != ranks_.rank()) continue;
      const InputTensor& tensor = tensors()[i];
      progress_->advance(0, tensor.name);
      naming(tensor, [&] { add(i, calibrate_alone(tensor)); });
      files_.release(tensor);
      progress_->advance(tensor.bytes(), tensor.name);
    }
  }

  /// The tensors that the ranks share, one after the other. Collective.
  void calibrate_shared() {
    for (std::size_t i = 0; i < tensors().size(); ++i) {
      if (!plan_->is_shared(i)) continue;
      const InputTensor& tensor = tensors()[i];
      CalibrationCollector collector(tensor.batches.front().view->dtype(), granularity_);
      ranks_.together([&] { naming(tensor, [&] { observe_own(i, collector); }); });
      ranks_.all_reduce(collector);
      ranks_.together([&] {
        if (ranks_.is_root()) naming(tensor, [&] { add(i, answer(tensor, collector)); });
      });
    }
  }

  /// Collective.
  ExitCode finish(std::chrono::steady_clock::time_point start) {
    const std::vector<std::vector<std::byte>> all = ranks_.gather(reports_);
    ExitCode code = kExitDone;
    ranks_.together([&] {
      progress_.reset();
      if (!ranks_.is_root()) return;
      write_all(all);
      code = results_->finish(last_line(host_, ranks_, start));
    });
    return ranks_.of_root(code);
  }

 private:
  [[nodiscard]] const std::vector<InputTensor>& tensors() const { return files_.tensors(); }

  /// Runs what reads a tensor, with the tensor's name and file in its errors.
  template <typename Action>
  void naming(const InputTensor& tensor, const Action& action) {
    try {
      action();
    } catch (const InvalidArgument& error) {
      throw io::FileError(files_.file_name(tensor.batches.front()),
                          fmt::format("tensor {}: {}", io::in_quotes(tensor.name), error.what()));
    }
  }

  RankReport calibrate_alone(const InputTensor& tensor) const {
    const std::vector<ConstTensorView> batches = tensor.views();
    RankReport result;
    TensorReport& report = result.report;
    report.dtype = batches.front().dtype();
    report.shape = tensor.shape();
    report.results = calibrate(batches, granularity_, settings_.methods, host_);
    for (const ConstTensorView& batch : batches) report.statistics.merge(statistics(batch, host_));
    if (settings_.html_path) report.histogram = histogram_of(batches, report.statistics.amax());
    if (settings_.state_path) {
      CalibrationCollector collector(report.dtype, granularity_);
      for (const ConstTensorView& batch : batches) collector.observe(batch, host_);
      result.state = collector.save();
    }
    return result;
  }

  [[nodiscard]] std::vector<std::uint64_t> histogram_of(std::span<const ConstTensorView> batches,
                                                        double amax) const {
    if (amax == 0.0) return {};
    std::vector<std::uint64_t> bins(kHistogramBins);
    for (const ConstTensorView& batch : batches) {
      accumulate_linear_histogram(batch, amax, BinRange::kSigned, bins, host_);
    }
    return bins;
  }

  void observe_own(std::size_t index, CalibrationCollector& collector) {
    const InputTensor& tensor = tensors()[index];
    for (std::size_t i = 0; i < tensor.batches.size(); ++i) {
      if (plan_->rank_of(index, i) != ranks_.rank()) continue;
      const ConstTensorView& batch = *tensor.batches[i].view;
      collector.observe(batch, host_);
      progress_->advance(static_cast<std::int64_t>(batch.size_bytes()), tensor.name);
    }
    files_.release(tensor);
  }

  RankReport answer(const InputTensor& tensor, const CalibrationCollector& collector) const {
    RankReport result;
    result.report.dtype = collector.dtype();
    result.report.shape = tensor.shape();
    result.report.statistics = collector.statistics();
    result.report.histogram = cli::histogram_of(collector, settings_);
    result.report.results = collector.compute(settings_.methods, host_);
    if (settings_.state_path) result.state = collector.save();
    return result;
  }

  /// The next of this rank's answers, in the order of the names but for those of shared tensors.
  void add(std::size_t tensor, RankReport report) {
    report.tensor = tensor;
    if (ranks_.size() == 1) {
      write(std::move(report));  // at once: nothing of it stays in memory
    } else {
      append(report, reports_);
    }
  }

  void write(RankReport report) {
    report.report.name = tensors()[report.tensor].name;
    results_->add(report.report);
    if (results_->wants_state()) results_->add_state(report.report.name, report.state);
  }

  void write_all(const std::vector<std::vector<std::byte>>& of_ranks) {
    std::vector<RankReport> reports;
    for (const std::vector<std::byte>& bytes : of_ranks) {
      std::ranges::move(reports_of(bytes, settings_.methods), std::back_inserter(reports));
    }
    std::ranges::sort(reports, {}, &RankReport::tensor);
    for (RankReport& report : reports) write(std::move(report));
  }

  const CalibrateSettings& settings_;
  const Ranks& ranks_;
  HostOptions host_;
  Granularity granularity_;
  InputFiles files_;
  std::optional<Plan> plan_;
  std::optional<Results> results_;  ///< At the root.
  std::optional<Progress> progress_;
  std::vector<std::byte> reports_;
};

ExitCode calibrate_data(const CalibrateSettings& settings, const Ranks& ranks) {
  const auto start = std::chrono::steady_clock::now();
  std::optional<DataCalibration> calibration;
  ranks.together([&] { calibration.emplace(settings, ranks); });
  ranks.check_same(calibration->listing(), "set of tensors in its files");
  ranks.together([&] { calibration->calibrate_own(); });
  calibration->calibrate_shared();
  return calibration->finish(start);
}

std::vector<std::string> matching(std::vector<std::string> names, const InputSettings& input) {
  if (!input.match) return names;
  const NameFilter filter(*input.match);
  std::erase_if(names, [&](const std::string& name) { return !filter.matches(name); });
  return names;
}

ExitCode calibrate_states(const CalibrateSettings& settings, const Ranks& ranks) {
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
