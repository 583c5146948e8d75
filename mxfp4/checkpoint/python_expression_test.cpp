#include <gtest/gtest.h>

#include "mxfp4/checkpoint/python_expression_internal.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

PythonExpression compile(const std::string& text) {
  return PythonExpression(text, text);
}

std::string refusal(const std::string& text) {
  return error_of([&] { compile(text); });
}

TEST(PythonExpression, MatchesFromTheStart) {
  EXPECT_TRUE(compile("lm_head").matches_start("lm_heads"));
  EXPECT_FALSE(compile("lm_head").matches_start("model.lm_head"));
  EXPECT_TRUE(compile("").matches_start(""));
  EXPECT_TRUE(compile("a|b").matches_start("bc"));
  EXPECT_TRUE(compile("(?i)LM").matches_start("lm_head"));
}

TEST(PythonExpression, ReachesABoundary) {
  EXPECT_TRUE(compile("layers.1").matches_to_boundary("layers.1.mlp"));   // before a dot
  EXPECT_TRUE(compile("layers.1.").matches_to_boundary("layers.1.mlp"));  // after a dot
  EXPECT_TRUE(compile("layers.1").matches_to_boundary("layers.1"));       // at the end
  EXPECT_FALSE(compile("layers.1").matches_to_boundary("layers.11.mlp"));
  EXPECT_FALSE(compile("").matches_to_boundary("layers"));
  EXPECT_TRUE(compile("").matches_to_boundary(".layers"));
  EXPECT_TRUE(compile("layers.*?").matches_to_boundary("layers.1.mlp"));
  EXPECT_FALSE(compile("layers\\.$").matches_to_boundary("layers.1"));  // $ is the end of the name
}

TEST(PythonExpression, PythonsMistakesAreInvalid) {
  for (const char* const text : {"*a", "(", "a)", "[", "a**", "a{2}{3}", "\\", "\\q", "(?z)a", "\\pL",
                                 "\\Qa\\E", "\\C", "\\z", "(?U)a", "[b-a]", "x(?i)y", "\xFF"}) {
    EXPECT_TRUE(has_all(refusal(text), {"invalid_argument", std::string("'") + text + "'"})) << text;
  }
}

TEST(PythonExpression, WhatRe2LacksIsUnsupported) {
  for (const char* const text :
       {"(?=a)",  "(?!a)",          "(?<=a)b",     "(?<!a)b",     "(?>a)",
        "(a)\\1", "(?P<n>a)(?P=n)", "(a)?(?(1)b)", "(?#c)a",      "(?x)a",
        "(?a)a",  "(?u)a",          "a\\Z",        "\\u0061",     "a*+",
        "a++",    "a{1001}",        "a{,3}",       "[[:alpha:]]", "((a{100}){100}){100}"}) {
    EXPECT_TRUE(has_all(refusal(text), {"unsupported", std::string("'") + text + "'"})) << text;
  }
}

TEST(PythonExpression, DialectsPartOnlyWhereTheyDo) {
  for (const char* const text : {"[](?U){,]", "\\[[:]", "\\(?U", "[^]{,]", "(?i)a", "(?i:a)b", "(?P<n>a)",
                                 "a{2,}", "\\\\z", "[\\]{,]"}) {
    EXPECT_EQ(refusal(text), "") << text;
  }
}

TEST(PythonExpression, HostileExpressionsStayCheap) {
  const std::string name(5000, 'a');
  EXPECT_FALSE(compile("(a*)*b").matches_to_boundary(name));
  EXPECT_FALSE(compile("(a|aa)+$b").matches_start(name));
}

}  // namespace
}  // namespace mxfp4
