#include <algorithm>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mxfp4/job/synth_model_internal.h"

namespace mxfp4::job {
namespace {

GptOssSize size_named(std::string_view name) {
  for (const GptOssSize& size : gpt_oss_sizes()) {
    if (name == size.name) return size;
  }
  return {};
}

std::int64_t elements(const GptOssSize& size) {
  std::int64_t sum = 0;
  for (const Parameter& parameter : gpt_oss_parameters(size)) sum += element_count(parameter.shape);
  return sum;
}

// The totals of the released models: 20.91 and 116.83 billion.
TEST(SynthModel, HasAsManyParametersAsTheReleasedModels) {
  EXPECT_EQ(elements(size_named("gpt-oss-20b")), 20'914'757'184);
  EXPECT_EQ(elements(size_named("gpt-oss-120b")), 116'829'156'672);
}

TEST(SynthModel, HasAConfigThatAgreesWithItsTensors) {
  for (const GptOssSize& size : gpt_oss_sizes()) {
    const auto config = nlohmann::json::parse(gpt_oss_config(size));
    const std::int64_t hidden = config.at("hidden_size");
    for (const Parameter& parameter : gpt_oss_parameters(size)) {
      if (parameter.name.ends_with("experts.gate_up_proj")) {
        const std::int64_t rows = 2 * config.at("intermediate_size").get<std::int64_t>();
        EXPECT_EQ(parameter.shape, Shape({config.at("num_local_experts"), rows, hidden})) << size.name;
      }
      if (parameter.name.ends_with("self_attn.q_proj.weight")) {
        const std::int64_t rows =
            config.at("num_attention_heads").get<std::int64_t>() * config.at("head_dim").get<std::int64_t>();
        EXPECT_EQ(parameter.shape, Shape({rows, hidden})) << size.name;
      }
      if (parameter.name == "lm_head.weight") {
        EXPECT_EQ(parameter.shape, Shape({config.at("vocab_size"), hidden})) << size.name;
      }
    }
    EXPECT_EQ(config.at("layer_types").size(), config.at("num_hidden_layers").get<std::size_t>());
  }
}

TEST(SynthModel, HasTokensForEveryByte) {
  const auto tokenizer = nlohmann::json::parse(tokenizer_files().at("tokenizer.json"));
  EXPECT_EQ(tokenizer.at("model").at("vocab").size(), 256u);
  const auto config = nlohmann::json::parse(gpt_oss_config(gpt_oss_sizes().back()));
  int last = 0;
  for (const auto& token : tokenizer.at("added_tokens")) last = std::max(last, token.at("id").get<int>());
  EXPECT_LT(last, config.at("vocab_size").get<int>());
  EXPECT_LE(config.at("pad_token_id").get<int>(), last);
}

}  // namespace
}  // namespace mxfp4::job
