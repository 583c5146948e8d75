#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/glob_internal.h"

namespace mxfp4 {
namespace {

TEST(Glob, MatchesTheWholeText) {
  EXPECT_TRUE(glob_matches("lm_head", "lm_head"));
  EXPECT_FALSE(glob_matches("lm_head", "model.lm_head"));
  EXPECT_FALSE(glob_matches("lm_head", "lm_heads"));
  EXPECT_TRUE(glob_matches("", ""));
  EXPECT_FALSE(glob_matches("", "a"));
}

TEST(Glob, StarCrossesDots) {
  EXPECT_TRUE(glob_matches("model.*.q_proj", "model.layers.0.self_attn.q_proj"));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("*q*", "q"));
  EXPECT_TRUE(glob_matches("a*b*c", "abbcbc"));
  EXPECT_FALSE(glob_matches("a*b*c", "abbcb"));
}

TEST(Glob, QuestionMarkIsOneCharacter) {
  EXPECT_TRUE(glob_matches("layers.?.w", "layers.7.w"));
  EXPECT_FALSE(glob_matches("layers.?.w", "layers.17.w"));
  EXPECT_FALSE(glob_matches("?", ""));
}

TEST(Glob, SetsHoldCharactersAndRanges) {
  EXPECT_TRUE(glob_matches("[abc]", "b"));
  EXPECT_TRUE(glob_matches("[0-2x]", "1"));
  EXPECT_FALSE(glob_matches("[0-2x]", "3"));
  EXPECT_TRUE(glob_matches("[!0-2]", "3"));
  EXPECT_FALSE(glob_matches("[!0-2]", "2"));
  EXPECT_TRUE(glob_matches("[]]", "]"));
  EXPECT_TRUE(glob_matches("[!]]", "a"));
  EXPECT_TRUE(glob_matches("[a-]", "-"));
  EXPECT_TRUE(glob_matches("*[02].w", "x.10.2.w"));
  EXPECT_FALSE(glob_matches("[a]", ""));
}

TEST(Glob, AnUnfinishedSetIsText) {
  EXPECT_TRUE(glob_matches("[ab", "[ab"));
  EXPECT_FALSE(glob_matches("[ab", "a"));
  EXPECT_TRUE(glob_matches("[]", "[]"));
  EXPECT_TRUE(glob_matches("[!]", "[!]"));
}

// The definition, without any thought of speed.
bool matches_by_definition(std::string_view glob, std::string_view text) {
  if (glob.empty()) return text.empty();
  if (glob[0] == '*') {
    return matches_by_definition(glob.substr(1), text) ||
           (!text.empty() && matches_by_definition(glob, text.substr(1)));
  }
  return !text.empty() && (glob[0] == '?' || glob[0] == text[0]) &&
         matches_by_definition(glob.substr(1), text.substr(1));
}

std::vector<std::string> words_up_to(std::size_t length, std::string_view letters) {
  std::vector<std::string> words = {""};
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i].size() == length) break;
    for (const char letter : letters) words.push_back(words[i] + letter);
  }
  return words;
}

TEST(Glob, AgreesWithItsDefinition) {
  for (const std::string& glob : words_up_to(5, "ab*?")) {
    for (const std::string& text : words_up_to(5, "ab")) {
      ASSERT_EQ(glob_matches(glob, text), matches_by_definition(glob, text)) << glob << " " << text;
    }
  }
}

TEST(Glob, HostileGlobsTakePolynomialTime) {
  const std::string text(2000, 'a');
  std::string glob;
  for (int i = 0; i < 500; ++i) glob += "*a";
  EXPECT_FALSE(glob_matches(glob + "b", text));
  EXPECT_TRUE(glob_matches(glob, text));
}

}  // namespace
}  // namespace mxfp4
