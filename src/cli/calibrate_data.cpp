// cuqat calibrate FILE...
#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/cuda_collector.hpp"
#include "cli/input.hpp"
#include "cli/output.hpp"
#include "cli/progress.hpp"
#include "cli/rank_plan.hpp"
#include "cli/report_bytes.hpp"
#include "cli/results.hpp"
#include "cli/state_file.hpp"
#include "io/error.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

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
                  io::to_text(granularity)));
}

/// Ranks share the cores of their machine, unless told otherwise.
HostOptions host_options_of_rank(const HostSettings& settings, const Ranks& ranks) {
  HostOptions host = host_options(settings);
  if (settings.num_threads == 0 && ranks.local_size() > 1) {
    host.num_threads = std::max(1, num_threads(host) / ranks.local_size());
  }
  return host;
}

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
    if (settings.host.backend == "cuda") with_cuda_named([&] { cuda_.emplace(host_); });
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
      std::optional<CalibrationCollector> collector;
      ranks_.together([&] {
        collector.emplace(tensor.batches.front().view->dtype(), granularity_);
        naming(tensor, [&] { observe_own(i, *collector); });
      });
      ranks_.all_reduce(*collector);
      ranks_.together([&] {
        if (ranks_.is_root()) naming(tensor, [&] { add(i, answer(tensor, *collector)); });
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

  /// One read of 16-bit elements answers everything: they are counted. Others are read again for
  /// each answer, and channels take the memory of what they have in them.
  [[nodiscard]] bool is_counted(const InputTensor& tensor) const {
    const DType dtype = tensor.batches.front().view->dtype();
    return (dtype == DType::kBF16 || dtype == DType::kF16) &&
           granularity_.kind == Granularity::Kind::kTensor;
  }

  void observe(const InputTensor& tensor, const ConstTensorView& batch,
               CalibrationCollector& collector) {
    if (cuda_ && is_counted(tensor)) {
      collector.merge(cuda_->collect(batch));
    } else {
      collector.observe(batch, host_);
    }
  }

  RankReport calibrate_alone(const InputTensor& tensor) {
    const std::vector<ConstTensorView> batches = tensor.views();
    if (is_counted(tensor)) {
      CalibrationCollector collector(batches.front().dtype(), granularity_);
      for (const ConstTensorView& batch : batches) observe(tensor, batch, collector);
      return answer(tensor, collector);
    }
    RankReport result;
    TensorReport& report = result.report;
    report.dtype = batches.front().dtype();
    report.shape = tensor.shape();
    report.results = calibrate(batches, granularity_, settings_.methods, host_);
    for (const ConstTensorView& batch : batches) report.statistics.merge(statistics(batch, host_));
    if (settings_.html_path) {
      report.histogram = signed_histogram(batches, report.statistics.amax(), kHistogramBins, host_);
    }
    if (settings_.state_path) {
      CalibrationCollector collector(report.dtype, granularity_);
      for (const ConstTensorView& batch : batches) collector.observe(batch, host_);
      result.state = collector.save();
    }
    return result;
  }

  void observe_own(std::size_t index, CalibrationCollector& collector) {
    const InputTensor& tensor = tensors()[index];
    for (std::size_t i = 0; i < tensor.batches.size(); ++i) {
      if (plan_->rank_of(index, i) != ranks_.rank()) continue;
      const ConstTensorView& batch = *tensor.batches[i].view;
      observe(tensor, batch, collector);
      progress_->advance(static_cast<std::int64_t>(batch.size_bytes()), tensor.name);
    }
    files_.release(tensor);
  }

  RankReport answer(const InputTensor& tensor, const CalibrationCollector& collector) const {
    RankReport result;
    result.report.dtype = collector.dtype();
    result.report.shape = tensor.shape();
    result.report.statistics = collector.statistics();
    result.report.histogram = histogram_of(collector, settings_);
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
  std::optional<CudaCollector> cuda_;
  std::optional<RankPlan> plan_;
  std::optional<Results> results_;  ///< At the root.
  std::optional<Progress> progress_;
  std::vector<std::byte> reports_;
};

}  // namespace

ExitCode calibrate_data(const CalibrateSettings& settings, const Ranks& ranks) {
  const auto start = std::chrono::steady_clock::now();
  std::optional<DataCalibration> calibration;
  std::string listing;
  ranks.together([&] { listing = calibration.emplace(settings, ranks).listing(); });
  ranks.check_same(listing, "set of tensors in its files");
  ranks.together([&] { calibration->calibrate_own(); });
  calibration->calibrate_shared();
  return calibration->finish(start);
}

}  // namespace cuqat::cli
