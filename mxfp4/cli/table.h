// Tables that fit the screen.
#pragma once

#include <string>
#include <vector>

#include "mxfp4/cli/console.h"

namespace mxfp4::cli {

enum class Align { left, right };

struct Column {
  std::string title;
  Align align = Align::left;
};

struct Cell {
  std::string text;
  Ink ink = Ink::plain;
};

/// Rows under headings. On a terminal too narrow for it, the first column is shortened in the middle of its
/// cells.
class Table {
 public:
  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell per column; fewer leave the rest empty.
  void row(std::vector<Cell> cells) { rows_.push_back({std::move(cells), false}); }
  /// A line of its own, over the rows that follow.
  void heading(std::string text) { rows_.push_back({{{std::move(text), Ink::strong}}, true}); }

  /// The table as lines that end in a newline, behind `indent` spaces.
  std::string text(const Screen& screen, int indent = 0) const;

 private:
  struct Row {
    std::vector<Cell> cells;
    bool is_heading;
  };
  std::vector<Column> columns_;
  std::vector<Row> rows_;
};

}  // namespace mxfp4::cli
