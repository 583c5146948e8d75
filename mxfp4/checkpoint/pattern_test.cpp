#include "mxfp4/checkpoint/pattern.h"

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

bool matches(const char* pattern, const char* name) {
  return Pattern(pattern).matches(name);
}

TEST(Pattern, NamesATensorOrItsModule) {
  EXPECT_TRUE(matches("lm_head.weight", "lm_head.weight"));
  EXPECT_TRUE(matches("lm_head", "lm_head.weight"));
  EXPECT_FALSE(matches("lm_head", "model.lm_head.weight"));
  EXPECT_FALSE(matches("lm_head", "lm_heads.weight"));
}

TEST(Pattern, PrefixesEndAtADot) {
  EXPECT_TRUE(matches("model.layers.1", "model.layers.1.mlp.up_proj.weight"));
  EXPECT_TRUE(matches("model.layers.1.", "model.layers.1.mlp.up_proj.weight"));
  EXPECT_FALSE(matches("model.layers.1", "model.layers.11.mlp.up_proj.weight"));
  EXPECT_FALSE(matches("layers.1", "model.layers.1.mlp.up_proj.weight"));
  EXPECT_TRUE(matches("model", "model.layers.0.self_attn.q_proj.bias"));
}

TEST(Pattern, GlobsMatchTheWholeNameOrModule) {
  EXPECT_TRUE(matches("*.q_proj", "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_TRUE(matches("*.weight", "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_FALSE(matches("*.self_attn", "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_TRUE(matches("model.layers.[02].*", "model.layers.2.x"));
  EXPECT_FALSE(matches("model.layers.?.x", "model.layers.12.x"));
}

TEST(Pattern, ExpressionsMatchTheWholeNameOrModule) {
  EXPECT_TRUE(matches("re:.*q_proj", "model.layers.0.self_attn.q_proj.weight"));
  EXPECT_TRUE(matches("re:.*\\.weight", "a.weight"));
  EXPECT_FALSE(matches("re:q_proj", "model.q_proj.weight"));
  EXPECT_FALSE(matches("re:model", "model.q_proj.weight"));
}

TEST(Pattern, ATextWithGlobCharactersMayBeAName) {
  EXPECT_TRUE(matches("odd[name]*", "odd[name]*.weight"));
}

TEST(Pattern, RefusesWhatIsNoPattern) {
  EXPECT_TRUE(has_all(error_of([] { Pattern(""); }), {"invalid_argument", "empty"}));
  EXPECT_TRUE(has_all(error_of([] { Pattern("re:("); }), {"invalid_argument", "'re:('"}));
  EXPECT_TRUE(has_all(error_of([] { Pattern("re:(?=a)"); }), {"invalid_argument", "'re:(?=a)'"}));
}

TEST(Pattern, CanBeMoved) {
  Pattern a("re:a.*");
  Pattern b(std::move(a));
  EXPECT_TRUE(b.matches("abc"));
  EXPECT_EQ(b.text(), "re:a.*");
  b = Pattern("x");
  EXPECT_FALSE(b.matches("abc"));
}

}  // namespace
}  // namespace mxfp4
