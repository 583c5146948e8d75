#include "mxfp4/cli/table.h"

#include <sstream>

#include <gtest/gtest.h>

#include "mxfp4/cli/chart.h"
#include "mxfp4/cli/progress_bar.h"
#include "mxfp4/cli/text.h"

namespace mxfp4::cli {
namespace {

Table example() {
  Table table({{"tensor"}, {"size", Align::right}, {"dtype"}});
  table.heading("model.layers.{0..23}");
  table.row({{"  mlp.experts.gate_up_proj_blocks"}, {"6.4 GB"}, {"U8"}});
  table.row({{"  norm"}, {""}, {"BF16"}});
  return table;
}

int widest(const std::string& text) {
  int width = 0;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) width = std::max(width, columns(line));
  return width;
}

TEST(Table, AlignsColumnsAndLeavesNoTrailingSpaces) {
  EXPECT_EQ(example().text({}),
            "tensor                               size  dtype\n"
            "model.layers.{0..23}\n"
            "  mlp.experts.gate_up_proj_blocks  6.4 GB  U8\n"
            "  norm                                     BF16\n");
}

TEST(Table, FitsANarrowTerminal) {
  Screen narrow;
  narrow.terminal = true;
  narrow.width = 40;
  const std::string text = example().text(narrow);
  EXPECT_EQ(widest(text), 40) << text;
  EXPECT_NE(text.find("6.4 GB  U8"), std::string::npos) << text;
}

TEST(Table, PaintsOnlyWhereThereAreColours) {
  Screen colours;
  colours.colours = true;
  EXPECT_NE(example().text(colours).find("\x1b[1mmodel.layers"), std::string::npos);
  EXPECT_EQ(example().text({}).find('\x1b'), std::string::npos);
}

TEST(Table, MakesControlCharactersVisible) {
  Table table({{""}});
  table.row({{"evil\x1b[2Jname"}});
  EXPECT_EQ(table.text({}), "evil\\x1b[2Jname\n");
}

TEST(Chart, DrawsSharesOfScaleBytes) {
  std::uint64_t counts[256] = {};
  counts[119] = 1;
  counts[120] = 100;
  counts[121] = 50;
  const std::string text = scale_chart(counts, {}, 2);
  std::istringstream lines(text);
  std::string first, second, third, none;
  std::getline(lines, first);
  std::getline(lines, second);
  std::getline(lines, third);
  EXPECT_FALSE(std::getline(lines, none));
  EXPECT_TRUE(first.starts_with("  2^-8       119         0.66 %")) << text;
  EXPECT_TRUE(second.ends_with(std::string(48, '#'))) << text;
  EXPECT_TRUE(third.ends_with(" " + std::string(24, '#'))) << text;
}

TEST(Chart, TakesNeighboursTogetherWhereThereAreMany) {
  std::uint64_t counts[256];
  std::fill(std::begin(counts), std::end(counts), 3);
  const std::string text = scale_chart(counts, {}, 0);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 16);
  EXPECT_NE(text.find("0..15"), std::string::npos) << text;
  EXPECT_NE(text.find("240..255"), std::string::npos) << text;
}

TEST(Chart, NamesTheScaleThatIsNotANumber) {
  std::uint64_t counts[256] = {};
  counts[255] = 1;
  EXPECT_TRUE(scale_chart(counts, {}, 0).starts_with("NaN        255"));
}

TEST(Chart, IsEmptyWithoutScales) {
  const std::uint64_t counts[256] = {};
  EXPECT_EQ(scale_chart(counts, {}, 2), "");
}

TEST(Progress, FitsEveryTerminal) {
  for (const int width : {40, 60, 80, 160}) {
    for (const bool utf8 : {false, true}) {
      Screen screen;
      screen.terminal = screen.utf8 = utf8;
      screen.width = width;
      const std::string line = progress_line(5'900'000'000, 10'300'000'000, 14.3, screen);
      EXPECT_LT(columns(line), width) << line;
      EXPECT_EQ(line.find(" 57 %"), 0u) << line;
    }
  }
}

TEST(Progress, SaysRateAndTimeLeft) {
  EXPECT_EQ(progress_line(4'000'000'000, 10'000'000'000, 10, {}),
            " 40 %  4.00 GB of 10.0 GB  400 MB/s  0:15 left");
}

TEST(Progress, SaysNoTimeLeftBeforeTheRateMeansMuch) {
  EXPECT_EQ(progress_line(1'000'000, 5'000'000'000, 0.9, {}), "  0 %  1.00 MB of 5.00 GB  1.11 MB/s");
}

TEST(Progress, IsCompleteWhereThereIsNothingToDo) {
  EXPECT_EQ(progress_line(0, 0, 0, {}).find("100 %"), 0u);
}

}  // namespace
}  // namespace mxfp4::cli
