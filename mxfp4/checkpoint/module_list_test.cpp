#include "mxfp4/checkpoint/module_list.h"

#include <algorithm>
#include <fstream>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mxfp4/checkpoint/config.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

// The verdict about a module that only a reader joins from parts is that of its parts.
bool skips(const ModuleList& list, const std::string& module, const std::string& module_class,
           bool joined_by_reader) {
  if (!joined_by_reader) return list.contains(module, module_class);
  std::vector<std::string> parts = fused_parts(module);
  if (parts.empty()) parts = {module};
  return std::any_of(parts.begin(), parts.end(),
                     [&](const std::string& part) { return list.contains(part, module_class); });
}

TEST(ModuleList, DecidesAsEachProjectDoes) {
  const nlohmann::json cases = nlohmann::json::parse(std::ifstream(test_model("config-cases.json")));
  ASSERT_EQ(cases.size(), 218u);
  for (const nlohmann::json& row : cases) {
    const std::string module = row["module"], module_class = row.value("class", "Linear");
    const nlohmann::json config_json = {{"quantization_config", row["quantization_config"]}};
    const ModelConfig config = parse_config(config_json.dump(), "case");
    if (row.contains("error")) {
      EXPECT_TRUE(has_all(error_of([&] { ModuleList(config.quant_method, *config.left_alone); }),
                          {"invalid_argument"}))
          << row;
    } else if (!config.left_alone) {
      EXPECT_FALSE(row["skipped"]) << row;  // no list: nothing to ask
    } else {
      const ModuleList list(config.quant_method, *config.left_alone);
      EXPECT_EQ(skips(list, module, module_class, row.contains("fused")), row["skipped"].get<bool>()) << row;
    }
  }
}

TEST(ModuleList, TransformersAsksAboutTheModuleThatHoldsExperts) {
  const ModuleList list("mxfp4", {"model.layers.1.mlp.experts", "x.experts"});
  EXPECT_TRUE(list.contains("model.layers.1.mlp.experts.gate_up_proj"));
  EXPECT_TRUE(list.contains("model.x.experts.down_proj"));
  EXPECT_FALSE(list.contains("model.layers.2.mlp.experts.down_proj"));
  EXPECT_FALSE(list.contains("model.x.experts.down_proj_bias"));
}

TEST(ModuleList, CompressedTensorsLeavesAFusedModuleAloneIfItOrAnyPartIsNamed) {
  const std::string qkv = "model.layers.0.self_attn.qkv_proj";
  EXPECT_TRUE(ModuleList("compressed-tensors", {"model.layers.0.self_attn.k_proj"}).contains(qkv));
  EXPECT_TRUE(ModuleList("compressed-tensors", {qkv}).contains(qkv));
  EXPECT_TRUE(ModuleList("compressed-tensors", {"re:.*up_proj$"}).contains("mlp.gate_up_proj"));
  EXPECT_FALSE(ModuleList("compressed-tensors", {"model.layers.0.self_attn.o_proj"}).contains(qkv));
}

TEST(ModuleList, VllmLeavesAFusedModuleAloneOnlyIfAllPartsAreNamed) {
  const std::string qkv = "layers.0.qkv_proj";
  EXPECT_TRUE(ModuleList("", {"layers.0.q_proj", "layers.0.k_proj", "layers.0.v_proj"}).contains(qkv));
  EXPECT_TRUE(ModuleList("", {qkv}).contains(qkv));
  EXPECT_TRUE(ModuleList("", {"layers.0"}).contains(qkv));
  EXPECT_FALSE(ModuleList("", {"layers.1"}).contains(qkv));
  const ModuleList mixed("", {"layers.0.q_proj", "layers.0.v_proj"});
  EXPECT_TRUE(has_all(error_of([&] { mixed.contains(qkv); }),
                      {"invalid_argument", qkv, "layers.0.k_proj", "only 2"}));
}

TEST(ModuleList, OthersUseOurPatterns) {
  const ModuleList list("fp8", {"lm_head", "*.gate", "re:.*q_proj"});
  EXPECT_TRUE(list.contains("lm_head"));
  EXPECT_TRUE(list.contains("model.layers.0.mlp.gate"));
  EXPECT_TRUE(list.contains("a.q_proj"));
  EXPECT_FALSE(list.contains("a.k_proj"));
}

TEST(ModuleList, NamesTheEntryThatRe2CannotHold) {
  for (const char* const method : {"mxfp4", "compressed-tensors", ""}) {
    const std::string entry = std::string(*method == 'm' ? "" : "re:") + "(?!model).*";
    EXPECT_TRUE(has_all(error_of([&] {
                          ModuleList(method, {"lm_head", entry});
                        }),
                        {"unsupported", entry}))
        << method;
  }
}

TEST(ModuleList, ModelOptWritesGlobs) {
  const ModuleList list("modelopt", {"lm_head", "model.layers.0.self_attn*"});
  EXPECT_TRUE(list.contains("model.layers.0.self_attn.q_proj"));
  EXPECT_FALSE(list.contains("model.layers.1.self_attn.q_proj"));
  EXPECT_TRUE(list.contains("lm_head"));
}

TEST(ModuleList, KnowsThePartsOfFusedModules) {
  EXPECT_EQ(fused_parts("a.qkv_proj"), (std::vector<std::string>{"a.q_proj", "a.k_proj", "a.v_proj"}));
  EXPECT_EQ(fused_parts("gate_up_proj"), (std::vector<std::string>{"gate_proj", "up_proj"}));
  EXPECT_TRUE(fused_parts("a.xqkv_proj").empty());
  EXPECT_TRUE(fused_parts("a.q_proj").empty());
}

}  // namespace
}  // namespace mxfp4
