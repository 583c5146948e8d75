#include "mxfp4/cli/table.h"

#include <algorithm>
#include <numeric>

#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

constexpr int kGap = 2;
constexpr int kNarrowest = 12;

}  // namespace

std::string Table::text(const Screen& screen, int indent) const {
  std::vector<int> widths;
  for (const Column& column : columns_) widths.push_back(cli::columns(column.title));
  for (const Row& row : rows_) {
    for (std::size_t i = 0; i < row.cells.size() && !row.is_heading; ++i) {
      widths[i] = std::max(widths[i], cli::columns(printable(row.cells[i].text)));
    }
  }
  const int gaps = kGap * (static_cast<int>(widths.size()) - 1);
  const int width = std::accumulate(widths.begin(), widths.end(), indent + gaps);
  if (screen.width > 0 && width > screen.width) {
    widths[0] = std::max(widths[0] - (width - screen.width), std::min(widths[0], kNarrowest));
  }

  std::string text;
  const auto add_row = [&](const std::vector<Cell>& cells) {
    std::string line;
    int pending = indent;  // spaces that stand before the next text, so that no line ends in them
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const std::string cell =
          i == 0 ? shorten(printable(cells[i].text), widths[i], screen.utf8) : printable(cells[i].text);
      const int padding = std::max(widths[i] - cli::columns(cell), 0);
      if (columns_[i].align == Align::right) pending += padding;
      if (!cell.empty()) {
        line += std::string(static_cast<std::size_t>(pending), ' ') + screen.paint(cells[i].ink, cell);
        pending = 0;
      }
      if (columns_[i].align == Align::left) pending += padding;
      pending += kGap;
    }
    text += line + "\n";
  };

  std::vector<Cell> titles;
  for (const Column& column : columns_) titles.push_back({column.title, Ink::faint});
  if (std::any_of(titles.begin(), titles.end(), [](const Cell& title) { return !title.text.empty(); }))
    add_row(titles);
  for (const Row& row : rows_) {
    if (!row.is_heading) {
      add_row(row.cells);
      continue;
    }
    const Cell& cell = row.cells[0];
    const std::string words = screen.width > 0
                                  ? shorten(printable(cell.text), screen.width - indent, screen.utf8)
                                  : printable(cell.text);
    text += std::string(static_cast<std::size_t>(indent), ' ') + screen.paint(cell.ink, words) + "\n";
  }
  return text;
}

}  // namespace mxfp4::cli
