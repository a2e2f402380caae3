// cuqat inspect
#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "cli/commands.hpp"
#include "cli/input.hpp"
#include "cli/output.hpp"
#include "cli/table.hpp"
#include "cli/text.hpp"
#include "cuqat/statistics.hpp"

namespace cuqat::cli {
namespace {

constexpr std::size_t kNumBins = 4096;  // Of the histogram over +-amax.
constexpr std::size_t kNumBars = 12;
constexpr int kDigits = 3;

/// Bars between the least and the largest value, their heights logarithmic so that tails show.
std::string sparkline(const std::vector<std::uint64_t>& bins, const Statistics& statistics) {
  constexpr std::array<std::string_view, 9> kBlocks = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  const auto bin_of = [&](double value) {
    const double position = (value / statistics.amax() + 1.0) * 0.5 * static_cast<double>(kNumBins);
    return std::min(static_cast<std::size_t>(std::max(position, 0.0)), kNumBins - 1);
  };
  const std::size_t first = bin_of(statistics.min);
  const std::size_t num_shown = bin_of(statistics.max) - first + 1;
  std::array<std::uint64_t, kNumBars> bars{};
  for (std::size_t i = 0; i < num_shown; ++i) {
    bars[i * kNumBars / num_shown] += bins[first + i];
  }
  const double highest = std::log1p(static_cast<double>(std::ranges::max(bars)));
  std::string line;
  for (const std::uint64_t bar : bars) {
    const double height = std::log1p(static_cast<double>(bar)) / highest;
    line += kBlocks[static_cast<std::size_t>(std::ceil(height * 8.0))];
  }
  return line;
}

std::string distribution_text(const InputTensor& tensor, const Statistics& statistics,
                              const HostOptions& host) {
  const std::vector<std::uint64_t> bins =
      signed_histogram(tensor.views(), statistics.amax(), kNumBins, host);
  return bins.empty() ? "-" : sparkline(bins, statistics);
}

std::vector<std::string> row(const InputTensor& tensor, const HostOptions& host) {
  std::vector<std::string> cells = {tensor.name, tensor.dtype, shape_text(tensor.shape())};
  if (!tensor.is_real()) {
    cells.insert(cells.end(), 7, "-");
    return cells;
  }
  Statistics all;
  for (const ConstTensorView& batch : tensor.views()) all.merge(statistics(batch, host));
  for (const double value : {all.min, all.max, all.amax()}) {
    cells.push_back(all.finite() > 0 ? short_number(value, kDigits) : "-");
  }
  for (const std::int64_t count : {all.nan, all.pos_inf + all.neg_inf, all.zeros}) {
    cells.push_back(short_count(count));
  }
  cells.push_back(distribution_text(tensor, all, host));
  return cells;
}

}  // namespace

ExitCode inspect_files(const InspectSettings& settings) {
  const HostOptions host = host_options(settings.host);
  const InputFiles files(settings.input);
  Table table({{"tensor", false, 12},
               {"dtype", false, 4},
               {"shape", false, 8},
               {"min", true},
               {"max", true},
               {"amax", true},
               {"NaN", true},
               {"inf", true},
               {"zeros", true},
               {"distribution"}});
  for (const InputTensor& tensor : files.tensors()) {
    table.add_row(row(tensor, host));
    files.release(tensor);
  }
  print(table.text(output_is_styled()));
  return kExitDone;
}

}  // namespace cuqat::cli
