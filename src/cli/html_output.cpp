#include "cli/html_output.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "cli/text.hpp"
#include "cuqat/version.hpp"
#include "io/names.hpp"

namespace cuqat::cli {
namespace {

constexpr std::string_view kHead = R"(<!DOCTYPE html>
<html xmlns="http://www.w3.org/1999/xhtml" lang="en">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<title>Calibration</title>
<style>
:root { --ink: #1c1e21; --soft: #6a6f76; --line: #d9dce0; --paper: #ffffff; --bar: #9fb4cc; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e7e9ec; --soft: #9aa1a9; --line: #3a3f45; --paper: #16181b; --bar: #4d6885; }
}
body { margin: 2rem auto; max-width: 58rem; padding: 0 1rem; background: var(--paper);
       color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 .2rem; }
h2 { font-size: 1.05rem; margin: 2.2rem 0 .1rem; overflow-wrap: anywhere; }
p { margin: .1rem 0 .6rem; color: var(--soft); }
svg { display: block; width: 100%; height: auto; }
svg text { font: 11px system-ui, sans-serif; fill: var(--soft); }
.bar { fill: var(--bar); }
.axis { stroke: var(--line); stroke-width: 1; }
.range { stroke-width: 2; fill: none; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; }
th:first-child, td:first-child { text-align: left; }
td.best { font-weight: 650; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .5em; border-radius: 2px; }
.methods0 { stroke: #c2410c; background: #c2410c; } .methods1 { stroke: #0f766e; background: #0f766e; }
.methods2 { stroke: #7c3aed; background: #7c3aed; } .methods3 { stroke: #0284c7; background: #0284c7; }
.methods4 { stroke: #be185d; background: #be185d; } .methods5 { stroke: #15803d; background: #15803d; }
.methods6 { stroke: #854d0e; background: #854d0e; } .methods7 { stroke: #64748b; background: #64748b; }
</style>
</head>
<body>
)";

constexpr std::size_t kNumColours = 8;

// The chart, in units of its own.
constexpr double kLeft = 44;
constexpr double kRight = 876;
constexpr double kTop = 8;
constexpr double kBottom = 190;
constexpr double kLane = 9;  ///< Between the ranges' lines below the axis.

std::string escaped(std::string_view text) {
  std::string result;
  for (const char c : printable(text)) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

std::string line(std::string_view css_class, double x1, double y1, double x2, double y2) {
  return fmt::format(
      "<line class=\"{}\" x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\"/>\n", css_class,
      x1, y1, x2, y2);
}

std::string label(double x, double y, std::string_view anchor, std::string_view text) {
  return fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\">{}</text>\n", x, y, anchor,
                     escaped(text));
}

/// Heights of counts: 0 at the axis, then by powers of ten.
class LogAxis {
 public:
  explicit LogAxis(std::uint64_t largest)
      : decades_(std::max(1.0, std::ceil(std::log10(static_cast<double>(largest))))) {}

  [[nodiscard]] double y(std::uint64_t count) const {
    if (count == 0) return kBottom;
    // A single element is to be seen.
    const double share = (std::log10(static_cast<double>(count)) + 0.15) / (decades_ + 0.15);
    return kBottom - share * (kBottom - kTop);
  }
  [[nodiscard]] int decades() const { return static_cast<int>(decades_); }

 private:
  double decades_;
};

/// Where a number is between -amax and amax.
double x_of(double value, double amax) {
  return kLeft + (std::clamp(value / amax, -1.0, 1.0) + 1.0) / 2.0 * (kRight - kLeft);
}

}  // namespace

CalibrationHtml::CalibrationHtml(Output& output, const CalibrationOptions& common,
                                 const Granularity& granularity)
    : output_(output) {
  output_.write(kHead);
  output_.write(fmt::format("<h1>Calibration to {}</h1>\n<p>{}, {}, rounding {}; cuqat {}</p>\n",
                            to_string(common.format), common.symmetric ? "symmetric" : "affine",
                            io::to_text(granularity), to_string(common.rounding),
                            CUQAT_VERSION_STRING));
}

void CalibrationHtml::add(const TensorReport& report) {
  const Statistics& all = report.statistics;
  std::string apart;
  if (all.nan > 0) apart += fmt::format(", {} NaN", all.nan);
  if (all.pos_inf + all.neg_inf > 0) {
    apart += fmt::format(", {} infinite", all.pos_inf + all.neg_inf);
  }
  const std::string range = all.finite() == 0 ? "nothing finite"
                                              : fmt::format("{} to {}", short_number(all.min, 4),
                                                            short_number(all.max, 4));
  output_.write(fmt::format("<h2>{}</h2>\n<p>{} {}, {} elements, {} zeros{}; {}</p>\n",
                            escaped(report.name), to_string(report.dtype), shape_text(report.shape),
                            all.count, all.zeros, apart, range));
  if (!report.histogram.empty()) add_chart(report);
  add_table(report);
}

void CalibrationHtml::add_chart(const TensorReport& report) {
  const double amax = report.statistics.amax();
  const std::size_t num_bins = report.histogram.size();
  const double height = kBottom + 22 + kLane * static_cast<double>(report.results.size());
  const LogAxis axis(*std::ranges::max_element(report.histogram));
  std::string svg = fmt::format(
      "<svg viewBox=\"0 0 880 {:.0f}\" role=\"img\" aria-label=\"Histogram of {} with a "
      "logarithmic "
      "axis of counts, and the range of each method below it\">\n",
      height, escaped(report.name));
  for (int decade = 0; decade <= axis.decades(); ++decade) {
    const auto count = static_cast<std::uint64_t>(std::pow(10.0, decade));
    svg += line("axis", kLeft, axis.y(count), kRight, axis.y(count));
    // Not more of them than can be read.
    if (axis.decades() <= 6 || decade % 2 == 0) {
      svg += label(kLeft - 5, axis.y(count) + 4, "end",
                   decade < 4 ? fmt::format("{}", count) : fmt::format("1e{}", decade));
    }
  }
  const double width = (kRight - kLeft) / static_cast<double>(num_bins);
  for (std::size_t i = 0; i < num_bins; ++i) {
    if (report.histogram[i] == 0) continue;
    const double y = axis.y(report.histogram[i]);
    svg += fmt::format(
        "<rect class=\"bar\" x=\"{:.2f}\" y=\"{:.1f}\" width=\"{:.2f}\" "
        "height=\"{:.1f}\"/>\n",
        kLeft + width * static_cast<double>(i), y, std::max(width - 0.6, 0.5), kBottom - y);
  }
  svg += line("axis", kLeft, kBottom, kRight, kBottom);
  for (const double tick : {-1.0, -0.5, 0.0, 0.5, 1.0}) {
    const std::string_view anchor = tick == -1.0 ? "start" : tick == 1.0 ? "end" : "middle";
    svg += label(x_of(tick * amax, amax), kBottom + 14, anchor, short_number(tick * amax, 3));
  }
  for (std::size_t i = 0; i < report.results.size(); ++i) {
    const CalibrationResult& result = report.results[i];
    if (result.low.empty()) continue;
    const double low = x_of(*std::ranges::min_element(result.low), amax);
    const double high = x_of(*std::ranges::max_element(result.high), amax);
    const double y = kBottom + 22 + kLane * static_cast<double>(i);
    const std::string css_class = fmt::format("range methods{}", i % kNumColours);
    svg += line(css_class, low, y, high, y);
    svg += line(css_class, low, kTop, low, y);
    svg += line(css_class, high, kTop, high, y);
  }
  output_.write(svg + "</svg>\n");
}

void CalibrationHtml::add_table(const TensorReport& report) {
  const auto best = std::ranges::max_element(report.results, {}, &CalibrationResult::sqnr_db);
  std::string table =
      "<table>\n<tr><th>method</th><th>scale</th><th>zero point</th><th>range</th>"
      "<th>clipped</th><th>SQNR dB</th></tr>\n";
  for (std::size_t i = 0; i < report.results.size(); ++i) {
    const CalibrationResult& result = report.results[i];
    const bool is_best = report.results.size() > 1 && result.sqnr_db == best->sqnr_db;
    const std::string_view open = is_best ? "<td class=\"best\">" : "<td>";
    const std::vector<std::string> cells = result_cells(result);
    table += fmt::format("<tr>{}<span class=\"key methods{}\"></span>{}</td>", open,
                         i % kNumColours, escaped(cells.front()));
    for (std::size_t cell = 1; cell < cells.size(); ++cell) {
      table += fmt::format("{}{}</td>", open, escaped(cells[cell]));
    }
    table += "</tr>\n";
  }
  output_.write(table + "</table>\n");
}

void CalibrationHtml::finish() { output_.write("</body>\n</html>\n"); }

}  // namespace cuqat::cli
