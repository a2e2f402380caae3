// Aligned text in columns, of limited width.
#pragma once

#include <string>
#include <vector>

namespace cuqat::cli {

/// The widest line that a command prints.
inline constexpr int kMaxLineWidth = 99;

class Table {
 public:
  struct Column {
    std::string heading;
    bool right_aligned = false;
    int min_width = 0;  ///< 0: never shortened. Else its cells may be, down to this width.
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell for each column. Cells are made printable.
  void add_row(const std::vector<std::string>& cells, bool emphasized = false);

  /// The heading and the rows, each ended by a newline. With `styled`, emphasized rows are bold and
  /// the heading is dim.
  [[nodiscard]] std::string text(bool styled) const;

 private:
  struct Row {
    std::vector<std::string> cells;
    bool emphasized = false;
  };
  [[nodiscard]] std::vector<int> widths() const;

  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace cuqat::cli
