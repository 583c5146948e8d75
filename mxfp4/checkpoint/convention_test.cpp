#include "mxfp4/checkpoint/convention.h"

#include <set>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mxfp4/base/file.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

/// What a convention says in config.json, under "quantization_config".
nlohmann::json written(const char* convention, const std::vector<std::string>& left_alone,
                       const char* key = "quantization_config") {
  const auto texts = find_convention(convention)->texts({"{}", left_alone});
  return nlohmann::json::parse(texts.at("config.json"))[key];
}

nlohmann::json quantization_of(const char* model) {
  return nlohmann::json::parse(read_file(test_model(model) / "config.json", 1 << 20))["quantization_config"];
}

TEST(Convention, IsFoundByItsName) {
  std::set<std::string> names;
  for (const Convention& convention : conventions()) {
    EXPECT_EQ(find_convention(convention.name), &convention);
    names.insert(convention.name);
  }
  EXPECT_EQ(names, (std::set<std::string>{"gpt-oss", "openai", "linear", "compressed-tensors", "quark",
                                          "modelopt", "mlx", "deepseek-v4", "native", "uqff"}));
  EXPECT_EQ(find_convention("gguf"), nullptr);
  EXPECT_EQ(find_convention(""), nullptr);
}

TEST(Convention, WritesTheConfigOfGptOss) {
  EXPECT_EQ(written("gpt-oss", {}), quantization_of("tiny-gpt-oss/hf-mxfp4"));
}

TEST(Convention, GptOssListsTheExpertsLeftAloneByTheirModule) {
  const std::vector<std::string> left = {"lm_head", "model.layers.1.mlp.experts.down_proj",
                                         "model.layers.1.mlp.experts.gate_up_proj",
                                         "model.layers.1.self_attn.q_proj"};
  const auto config = written("gpt-oss", left);
  EXPECT_EQ(config["modules_to_not_convert"],
            (std::vector<std::string>{"model.layers.*.self_attn", "model.layers.*.mlp.router",
                                      "model.embed_tokens", "lm_head", "model.layers.1.mlp.experts"}));
}

TEST(Convention, WritesTheConfigOfCompressedTensors) {
  const nlohmann::json expected = quantization_of("tiny-llama/compressed-tensors");
  const std::vector<std::string> ignore = expected["ignore"];
  EXPECT_EQ(written("compressed-tensors", ignore), expected);
  const auto none = written("compressed-tensors", {});
  EXPECT_EQ(none["ignore"], nlohmann::json::array());
}

}  // namespace
}  // namespace mxfp4
