#include "mxfp4/checkpoint/moe_config.h"

#include <cmath>
#include <string>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"

namespace mxfp4 {
namespace {

MoeConfig parse(const char* text, bool gpt_oss = false) {
  return parse_moe_config(text, "config.json", gpt_oss);
}

TEST(MoeConfig, KnowsWhatFamiliesLeaveToTheirCode) {
  const MoeConfig gpt_oss = parse(R"({"experts_per_token": 4})", true);
  EXPECT_EQ(gpt_oss.top_k, 4);
  EXPECT_EQ(gpt_oss.score, MoeConfig::Score::softmax);
  EXPECT_TRUE(gpt_oss.renormalize);
  EXPECT_EQ(gpt_oss.alpha, 1.702f);
  EXPECT_EQ(gpt_oss.beta, 1);
  EXPECT_EQ(gpt_oss.limit, 7);

  const MoeConfig mixtral =
      parse(R"({"model_type": "mixtral", "num_experts_per_tok": 2, "norm_topk_prob": false})");
  EXPECT_TRUE(mixtral.renormalize);
  EXPECT_EQ(mixtral.alpha, 1);
  EXPECT_EQ(mixtral.beta, 0);
  EXPECT_TRUE(std::isinf(mixtral.limit));

  EXPECT_FALSE(parse(R"({"model_type": "qwen3_moe", "num_experts_per_tok": 8})").renormalize);
  EXPECT_FALSE(parse(R"({"model_type": "qwen3_moe", "num_experts_per_tok": 8})").shared);
  EXPECT_TRUE(
      parse(R"({"model_type": "qwen2_moe", "num_experts_per_tok": 8, "shared_expert_intermediate_size": 32})")
          .shared);
  EXPECT_TRUE(
      parse(R"({"model_type": "qwen3_moe", "num_experts_per_tok": 8, "norm_topk_prob": true})").renormalize);

  const MoeConfig deepseek = parse(
      R"({"model_type": "deepseek_v3", "num_experts_per_tok": 8, "n_group": 8, "topk_group": 4,
          "routed_scaling_factor": 2.5, "n_shared_experts": 1})");
  EXPECT_TRUE(deepseek.shared);
  EXPECT_EQ(deepseek.score, MoeConfig::Score::sigmoid);
  EXPECT_EQ(deepseek.groups, 8);
  EXPECT_EQ(deepseek.top_groups, 4);
  EXPECT_EQ(deepseek.factor, 2.5f);

  const MoeConfig v4 =
      parse(R"({"model_type": "deepseek_v4", "num_experts_per_tok": 6, "swiglu_limit": 1.5})");
  EXPECT_EQ(v4.score, MoeConfig::Score::sqrt_softplus);
  EXPECT_EQ(v4.limit, 1.5f);
}

TEST(MoeConfig, TakesTheUnitFromTheConfig) {
  const MoeConfig config = parse(
      R"({"model_type": "gpt_oss", "num_experts_per_tok": 4, "swiglu_alpha": 1.25, "swiglu_limit": 2.5})");
  EXPECT_EQ(config.alpha, 1.25f);
  EXPECT_EQ(config.limit, 2.5f);
}

TEST(MoeConfig, ReadsTheDecoderOfAModelOfSeveralParts) {
  EXPECT_EQ(
      parse(R"({"model_type": "x", "text_config": {"model_type": "mixtral", "num_experts_per_tok": 2}})")
          .top_k,
      2);
}

TEST(MoeConfig, NamesWhatIsWrong) {
  const auto message = [](const char* text) { return std::string(error_of([&] { parse(text); }).what()); };
  EXPECT_EQ(message(R"({"model_type": "llama"})"),
            "config.json: how the experts of model_type 'llama' compute is not known here");
  EXPECT_EQ(message(R"({"model_type": "mixtral"})"), "config.json: 'num_experts_per_tok' is missing");
  EXPECT_EQ(message(R"({"model_type": "mixtral", "num_experts_per_tok": 0})"),
            "config.json: 'num_experts_per_tok' is 0, not a number of experts or groups");
  EXPECT_EQ(message(R"({"model_type": "mixtral", "experts_per_token": 2.5})"),
            "config.json: 'experts_per_token' is 2.5, not a number of experts or groups");
  EXPECT_EQ(message(R"({"model_type": "mixtral", "num_experts_per_tok": "two"})"),
            R"(config.json: 'num_experts_per_tok' is "two", not a number)");
  EXPECT_EQ(message(R"({"model_type": "mixtral", "num_experts_per_tok": 1e30})"),
            "config.json: 'num_experts_per_tok' is 1e+30, not a number of experts or groups");
  EXPECT_EQ(message(R"({"model_type": "mixtral", "hidden_act": "gelu"})"),
            "config.json: 'hidden_act' is 'gelu'; silu can be");
  EXPECT_EQ(message(R"({"model_type": "qwen3_moe", "num_experts_per_tok": 2, "norm_topk_prob": 1})"),
            "config.json: 'norm_topk_prob' is 1, not true or false");
  EXPECT_EQ(message("[]"), "config.json: is not a JSON object");
}

}  // namespace
}  // namespace mxfp4
