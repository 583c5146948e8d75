#include "mxfp4/cli/markup.h"

#include <gtest/gtest.h>

namespace mxfp4::cli {
namespace {

TEST(Markup, EscapesWhatWouldBeMarkup) {
  EXPECT_EQ(escape("<script>alert('a' & \"b\")</script>"),
            "&lt;script&gt;alert(&#39;a&#39; &amp; &quot;b&quot;)&lt;/script&gt;");
  EXPECT_EQ(escape("&lt;"), "&amp;lt;");
  EXPECT_EQ(escape(""), "");
}

TEST(Markup, KeepsText) {
  for (const char* text :
       {"model.layers.0", "\u03b1\u00df\u4e2d", "\U0001F600", "\u00a0", "\uFFFD", "\U0010FFFD"})
    EXPECT_EQ(escape(text), text);
}

TEST(Markup, ShowsWhatIsNoCharacter) {
  const std::string shown = "\uFFFD";
  using namespace std::string_literals;
  EXPECT_EQ(escape("a\0b"s), "a" + shown + "b");
  EXPECT_EQ(escape("\x1b[31m\n\t"), shown + "[31m" + shown + shown);
  EXPECT_EQ(escape("\u0085"), shown);                                    // a control
  EXPECT_EQ(escape("\xff<"), shown + "&lt;");                            // no byte of UTF-8
  EXPECT_EQ(escape("\xc3"), shown);                                      // cut short
  EXPECT_EQ(escape("\xe2<b>"), shown + "&lt;b&gt;");                     // what follows is no continuation
  EXPECT_EQ(escape("\xc0\xbc"), shown + shown);                          // '<' in two bytes
  EXPECT_EQ(escape("\xe0\x80\xbc"), shown + shown + shown);              // and in three
  EXPECT_EQ(escape("\xed\xa0\x80"), shown + shown + shown);              // half a character of UTF-16
  EXPECT_EQ(escape("\xf4\x90\x80\x80"), shown + shown + shown + shown);  // beyond Unicode
  EXPECT_EQ(escape("\u202e"), shown);                                    // turns the text around
}

TEST(Markup, LabelsAndTitlesOfChartsAreEscaped) {
  EXPECT_EQ(strip_svg({{0.5, "", "<i>", false}}, "\"><b>"),
            "<svg class=\"strip\" viewBox=\"0 0 10 100\" preserveAspectRatio=\"none\" role=\"img\" "
            "aria-label=\"&quot;&gt;&lt;b&gt;\"><rect x=\"0\" width=\"10\" height=\"100\" class=\"shade\" "
            "fill-opacity=\"0.500\"><title>&lt;i&gt;</title></rect></svg>");
  EXPECT_EQ(axis({{0.25, "<"}}),
            "<div class=\"axis\" aria-hidden=\"true\"><span style=\"left:25.00%\">&lt;</span></div>");
}

TEST(Markup, ABarThatIsNotZeroIsSeen) {
  const std::string chart = columns_svg({{0, "", false}, {1e-9, "", false}, {1, "", true}}, "");
  EXPECT_NE(chart.find("<rect class=\"bar\" x=\"11\" y=\"98.80\" width=\"8\" height=\"1.20\"/>"), chart.npos);
  EXPECT_NE(chart.find("<rect class=\"bad\" x=\"21\" y=\"0.00\" width=\"8\" height=\"100.00\"/>"),
            chart.npos);
  EXPECT_EQ(chart.find("x=\"1\""), chart.npos);
}

}  // namespace
}  // namespace mxfp4::cli
