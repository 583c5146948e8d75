#include <limits>
#include <set>
#include <string_view>

#include <gtest/gtest.h>

#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

TEST(Presets, BeginWithTheDefault) {
  const Recipe recipe = QuantizeOptions{}.recipe;
  EXPECT_EQ(presets().front().recipe.scale, recipe.scale);
  EXPECT_EQ(presets().front().recipe.ties, recipe.ties);
  EXPECT_EQ(presets().front().recipe.nonfinite, recipe.nonfinite);
}

TEST(Presets, AreFoundByTheirNames) {
  std::set<std::string_view> names;
  for (const Preset& preset : presets()) {
    EXPECT_EQ(find_preset(preset.name), &preset);
    EXPECT_TRUE(names.insert(preset.name).second) << preset.name;
    EXPECT_GT(std::string_view(preset.description).size(), 0u) << preset.name;
  }
  for (const char* unknown : {"", "MXFP4", "mxfp4 ", "optimal"})
    EXPECT_EQ(find_preset(unknown), nullptr) << unknown;
}

TEST(Presets, AreAsOriginalOnlyUnderTheirOwnRule) {
  Recipe recipe = find_preset("ggml")->recipe;
  EXPECT_EQ(origin_of(recipe), Origin::ggml);
  recipe.scale = ScaleRule::t725;
  EXPECT_EQ(origin_of(recipe), Origin::none);
}

TEST(Presets, RefuseWhatTheirOriginLeavesOpen) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN(),
                  kInf = std::numeric_limits<float>::infinity();
  EXPECT_FALSE(refuses(find_preset("torchao-rceil")->recipe, kNan));
  EXPECT_FALSE(refuses(find_preset("quark")->recipe, kInf));
  EXPECT_TRUE(refuses(find_preset("quark")->recipe, kNan));
  EXPECT_TRUE(refuses(find_preset("mlx")->recipe, kInf));
  EXPECT_FALSE(refuses(find_preset("mlx")->recipe, 1.0f));
}

TEST(Presets, NamesOfRulesTiesAndPoliciesAreUnderstood) {
  for (const ScaleRuleInfo& rule : kScaleRules)
    EXPECT_EQ(parse_scale_rule(rule.name), rule.rule) << rule.name;
  EXPECT_EQ(parse_ties("even"), Ties::even);
  EXPECT_EQ(parse_ties("zero"), Ties::zero);
  EXPECT_EQ(parse_ties("away"), Ties::away);
  EXPECT_EQ(parse_nonfinite("error"), NonFinite::error);
  EXPECT_EQ(parse_nonfinite("nan_block"), NonFinite::nan_block);
  EXPECT_EQ(parse_nonfinite("saturate"), NonFinite::saturate);
  for (const char* unknown : {"", "Floor", "none"}) {
    EXPECT_FALSE(parse_scale_rule(unknown)) << unknown;
    EXPECT_FALSE(parse_ties(unknown)) << unknown;
    EXPECT_FALSE(parse_nonfinite(unknown)) << unknown;
  }
}

}  // namespace
}  // namespace mxfp4
