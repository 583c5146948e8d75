#include "mxfp4/cli/collapse.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace mxfp4::cli {
namespace {

std::vector<std::string> lines_of(const std::vector<std::string>& names,
                                  Siblings siblings = Siblings::apart) {
  std::vector<Listed> listed;
  for (const std::string& name : names) listed.push_back({name, ""});
  std::vector<std::string> lines;
  for (const Line& line : collapse(listed, siblings)) lines.push_back(line.name);
  return lines;
}

using Names = std::vector<std::string>;

TEST(Collapse, PutsLayersTogether) {
  EXPECT_EQ(lines_of({"model.layers.0.w", "model.layers.1.w", "model.layers.2.w", "lm_head.weight"}),
            Names({"model.layers.{0..2}.w", "lm_head.weight"}));
}

TEST(Collapse, SaysWhereLayersAreMissing) {
  EXPECT_EQ(lines_of({"l.0.w", "l.2.w", "l.3.w", "l.4.w", "l.8.w", "l.9.w"}), Names({"l.{0,2..4,8,9}.w"}));
}

TEST(Collapse, LeavesASingleLayerAsItIs) {
  EXPECT_EQ(lines_of({"l.7.w"}), Names({"l.7.w"}));
}

TEST(Collapse, CountsWhereRangesGrowLong) {
  Names names;
  for (int i = 0; i < 40; i += 2) names.push_back(fmt::format("l.{}.w", i));
  EXPECT_EQ(lines_of(names), Names({"l.{0..38: 20}.w"}));
}

TEST(Collapse, PutsExpertsOfLayersTogether) {
  Names names;
  for (int layer = 0; layer < 3; ++layer) {
    for (int expert = 0; expert < 4; ++expert)
      names.push_back(fmt::format("l.{}.experts.{}.w", layer, expert));
  }
  EXPECT_EQ(lines_of(names), Names({"l.{0..2}.experts.{0..3}.w"}));
}

TEST(Collapse, NeverClaimsANameThatWasNotGiven) {
  EXPECT_EQ(lines_of({"l.0.e.0", "l.0.e.1", "l.1.e.0"}), Names({"l.0.e.{0,1}", "l.1.e.0"}));
}

TEST(Collapse, KeepsKindsApart) {
  const std::vector<Listed> names = {{"l.0.w", "BF16"}, {"l.1.w", "F32"}, {"l.2.w", "BF16"}};
  const std::vector<Line> lines = collapse(names);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0].name, "l.{0,2}.w");
  EXPECT_EQ(lines[0].members, std::vector<std::size_t>({0, 2}));
  EXPECT_EQ(lines[1].name, "l.1.w");
}

TEST(Collapse, TakesOnlyNumbersBetweenDots) {
  EXPECT_EQ(lines_of({"w1.x", "w2.x", "a.01.x", "a.02.x", "a..x", ""}),
            Names({"w1.x", "w2.x", "a.01.x", "a.02.x", "a..x", ""}));
}

TEST(Collapse, PutsSiblingsTogetherIfAsked) {
  const Names names = {"l.0.q.bias",   "l.0.q.weight", "l.0.k.weight",
                       "l.1.q.weight", "l.1.k.weight", "norm.weight"};
  EXPECT_EQ(lines_of(names, Siblings::together),
            Names({"l.0.q.bias", "l.{0,1}.{q,k}.weight", "norm.weight"}));
}

TEST(Collapse, CutsALineBehindItsLastNumber) {
  const std::vector<Listed> names = {
      {"m.l.0.e.1.w.q", ""}, {"m.l.0.e.2.w.q", ""}, {"norm.weight", ""}, {"blocks.3", ""}};
  const std::vector<Line> lines = collapse(names);
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0].head, "m.l.0.e.{1,2}");
  EXPECT_EQ(lines[0].tail, "w.q");
  EXPECT_EQ(lines[1].head, "");
  EXPECT_EQ(lines[1].tail, "norm.weight");
  EXPECT_EQ(lines[2].head, "");
  EXPECT_EQ(lines[2].tail, "blocks.3");
}

TEST(Collapse, KeepsWhatHasOneHeadTogether) {
  const std::vector<Listed> names = {
      {"a", ""},       {"l.0.q.b", ""}, {"l.0.q.w", "kept"}, {"l.0.v.b", ""}, {"l.0.v.w", "kept"},
      {"l.1.q.b", ""}, {"l.1.q.w", ""}, {"l.1.v.b", ""},     {"l.1.v.w", ""}, {"norm", ""}};
  std::vector<std::string> lines;
  for (const Line& line : collapse(names)) lines.push_back(line.name);
  EXPECT_EQ(lines,
            Names({"a", "l.{0,1}.q.b", "l.{0,1}.v.b", "l.0.q.w", "l.0.v.w", "l.1.q.w", "l.1.v.w", "norm"}));
}

}  // namespace
}  // namespace mxfp4::cli
