#include "cli/table.hpp"

#include <algorithm>
#include <numeric>
#include <string_view>

#include "cli/text.hpp"

namespace cuqat::cli {
namespace {

constexpr int kGap = 2;
constexpr std::string_view kBold = "\033[1m";
constexpr std::string_view kDim = "\033[2m";
constexpr std::string_view kPlain = "\033[0m";

std::string line_of(const std::vector<std::string>& cells,
                    const std::vector<Table::Column>& columns, const std::vector<int>& widths) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string cell = shortened(cells[i], widths[i]);
    const std::string padding(static_cast<std::size_t>(widths[i] - display_width(cell)), ' ');
    if (i > 0) line.append(kGap, ' ');
    line += columns[i].right_aligned ? padding + cell : cell + padding;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line;
}

}  // namespace

void Table::add_row(const std::vector<std::string>& cells, bool emphasized) {
  Row row{{}, emphasized};
  for (const std::string& cell : cells) row.cells.push_back(printable(cell));
  rows_.push_back(std::move(row));
}

std::vector<int> Table::widths() const {
  std::vector<int> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    int width = display_width(columns_[i].heading);
    for (const Row& row : rows_) width = std::max(width, display_width(row.cells[i]));
    widths.push_back(width);
  }
  const int gaps = kGap * (static_cast<int>(columns_.size()) - 1);
  const auto excess = [&] {
    return std::accumulate(widths.begin(), widths.end(), gaps) - kMaxLineWidth;
  };
  // The widest column that may give way does, until everything fits.
  while (excess() > 0) {
    int* widest = nullptr;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const bool can_shrink = columns_[i].min_width > 0 && widths[i] > columns_[i].min_width;
      if (can_shrink && (widest == nullptr || widths[i] > *widest)) widest = &widths[i];
    }
    if (widest == nullptr) break;
    --*widest;
  }
  return widths;
}

std::string Table::text(bool styled) const {
  const std::vector<int> column_widths = widths();
  std::vector<std::string> headings;
  for (const Column& column : columns_) headings.push_back(column.heading);
  const auto style = [&](std::string_view code, const std::string& line) {
    return styled ? std::string(code) + line + std::string(kPlain) : line;
  };
  std::string result = style(kDim, line_of(headings, columns_, column_widths)) + "\n";
  for (const Row& row : rows_) {
    const std::string line = line_of(row.cells, columns_, column_widths);
    result += (row.emphasized ? style(kBold, line) : line) + "\n";
  }
  return result;
}

}  // namespace cuqat::cli
