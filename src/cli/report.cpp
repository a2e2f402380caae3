#include "cli/report.hpp"

#include <algorithm>
#include <cmath>

#include <fmt/format.h>

#include "cli/text.hpp"

namespace cuqat::cli {
namespace {

constexpr int kDigits = 4;        // Of one number.
constexpr int kDigitsOfPair = 3;  // Of the least and the largest of many.

// "0.0496", or the least and the largest of many: "0.0012..0.0496".
std::string spread_text(const std::vector<double>& values) {
  if (values.empty()) return "-";
  const auto [least, largest] = std::ranges::minmax(values);
  if (least == largest) return short_number(least, kDigits);
  return fmt::format("{}..{}", short_number(least, kDigitsOfPair),
                     short_number(largest, kDigitsOfPair));
}

std::string zero_point_text(const std::vector<std::int32_t>& values) {
  if (values.empty()) return "0";
  const auto [least, largest] = std::ranges::minmax(values);
  return least == largest ? std::to_string(least) : fmt::format("{}..{}", least, largest);
}

std::string range_text(const CalibrationResult& result) {
  if (result.low.empty()) return "-";
  const double low = std::ranges::min(result.low);
  const double high = std::ranges::max(result.high);
  if (low == -high) return "±" + short_number(high, kDigits);
  return fmt::format("{}..{}", short_number(low, kDigitsOfPair), short_number(high, kDigitsOfPair));
}

std::string share_text(double share) {
  if (share == 0.0) return "0%";
  return share < 1e-6 ? "<0.0001%" : fmt::format("{:.{}f}%", share * 100.0, share < 0.01 ? 4 : 2);
}

std::string decibel_text(double decibels) {
  return std::isfinite(decibels) ? fmt::format("{:.2f}", decibels) : "exact";
}

}  // namespace

std::string result_label(const CalibrationOptions& options) {
  std::string label(to_string(options.method));
  if (options.method == CalibMethod::kPercentile) {
    label += fmt::format(":{}", options.percentile);
  }
  return label;
}

std::vector<std::string> result_cells(const CalibrationResult& result) {
  return {result_label(result.options),
          spread_text(result.params.scale),
          zero_point_text(result.params.zero_point),
          range_text(result),
          share_text(result.clipped),
          decibel_text(result.sqnr_db)};
}

Table calibration_table() {
  return Table({{"tensor", false, 12},
                {"method", false, 8},
                {"scale", true},
                {"zero", true},
                {"range", true},
                {"clipped", true},
                {"SQNR dB", true}});
}

void add_rows(const TensorReport& report, Table& table) {
  const auto best = std::ranges::max_element(report.results, {}, &CalibrationResult::sqnr_db);
  for (const CalibrationResult& result : report.results) {
    const bool is_best = report.results.size() > 1 && result.sqnr_db == best->sqnr_db;
    std::vector<std::string> cells = result_cells(result);
    cells.insert(cells.begin(), report.name);
    table.add_row(std::move(cells), is_best);
  }
}

}  // namespace cuqat::cli
