#include "mxfp4/checkpoint/experts.h"

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/experts_internal.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

struct Row {
  std::string name;
  std::int64_t begin, end, step;
  bool operator==(const Row&) const = default;
};

std::vector<Row> rows_of(const StackedExperts& experts, std::int64_t expert) {
  std::vector<Row> rows;
  for (const ExpertRows& part : experts.parts) {
    rows.push_back({experts.name(expert, part), part.begin, part.end, part.step});
  }
  return rows;
}

TEST(Experts, GateAndUpAlternateInGptOss) {
  for (const char* const model : {"tiny-gpt-oss/bf16", "tiny-gpt-oss/hf-mxfp4"}) {
    const Checkpoint checkpoint = open_checkpoint(test_model(model));
    const std::string prefix = "model.layers.1.mlp.experts";
    const auto gate_up = stacked_experts(checkpoint, *checkpoint.find(prefix + ".gate_up_proj"));
    ASSERT_TRUE(gate_up);
    EXPECT_EQ(gate_up->prefix, prefix);
    EXPECT_EQ(gate_up->experts, 6);
    EXPECT_FALSE(gate_up->bias);
    EXPECT_EQ(rows_of(*gate_up, 5), (std::vector<Row>{{prefix + ".5.gate_proj.weight", 0, 192, 2},
                                                      {prefix + ".5.up_proj.weight", 1, 192, 2}}));
    const auto down = stacked_experts(checkpoint, *checkpoint.find(prefix + ".down_proj"));
    ASSERT_TRUE(down);
    EXPECT_EQ(rows_of(*down, 0), (std::vector<Row>{{prefix + ".0.down_proj.weight", 0, 64, 1}}));
    const auto bias = stacked_experts(checkpoint, *checkpoint.find(prefix + ".gate_up_proj_bias"));
    ASSERT_TRUE(bias);
    EXPECT_TRUE(bias->bias);
    EXPECT_EQ(rows_of(*bias, 2), (std::vector<Row>{{prefix + ".2.gate_proj.bias", 0, 192, 2},
                                                   {prefix + ".2.up_proj.bias", 1, 192, 2}}));
  }
}

TEST(Experts, GateStandsBeforeUpInOtherModels) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {{"m.experts.gate_up_proj", Dtype::bf16, {3, 32, 96}},
                                                  {"m.experts.down_proj", Dtype::bf16, {3, 48, 32}},
                                                  {"m.experts.up_proj", Dtype::bf16, {3, 48, 32}}});
  write_text(directory / "config.json", R"({"hidden_size": 32})");
  const Checkpoint checkpoint = open_checkpoint(directory.path());
  // up_proj is [E, N, K] and the others are [E, K, N]: the contradiction leaves them as they are stored.
  EXPECT_TRUE(checkpoint.find("m.experts.gate_up_proj")->orientation_unknown);
  const auto gate_up = stacked_experts(checkpoint, *checkpoint.find("m.experts.gate_up_proj"));
  ASSERT_TRUE(gate_up);
  EXPECT_EQ(rows_of(*gate_up, 0), (std::vector<Row>{{"m.experts.0.gate_proj.weight", 0, 16, 1},
                                                    {"m.experts.0.up_proj.weight", 16, 32, 1}}));
  const auto up = stacked_experts(checkpoint, *checkpoint.find("m.experts.up_proj"));
  ASSERT_TRUE(up);
  EXPECT_EQ(rows_of(*up, 1), (std::vector<Row>{{"m.experts.1.up_proj.weight", 0, 48, 1}}));
}

TEST(Experts, NothingElseIsStacked) {
  const Checkpoint checkpoint = open_checkpoint(test_model("tiny-gpt-oss/bf16"));
  for (const char* const name : {"lm_head.weight", "model.layers.0.mlp.router.weight", "model.norm.weight"}) {
    EXPECT_FALSE(stacked_experts(checkpoint, *checkpoint.find(name))) << name;
  }
  for (const char* const name :
       {"m.experts.0.gate_up_proj.weight", "m.experts.gate_up_proj.weight", "experts.up_proj",
        "m.xexperts.up_proj", "m.experts.up_proj_biases", "block.0.mlp.mlp3_weight",
        "x.block.0.mlp.mlp1_weight", "block.0.mlp.mlp1"}) {
    EXPECT_FALSE(parse_expert_name(name)) << name;
  }
}

TEST(Experts, RanksMustFitTheName) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {{"m.experts.down_proj", Dtype::bf16, {3, 32}},
                                              {"m.experts.up_proj_bias", Dtype::bf16, {3}}});
  const Checkpoint checkpoint = open_checkpoint(directory / "x.safetensors");
  for (const Weight& weight : checkpoint.weights)
    EXPECT_FALSE(stacked_experts(checkpoint, weight)) << weight.name;
}

TEST(Experts, TheOriginalNamesOfGptOssMeanTheSame) {
  const Checkpoint checkpoint = open_checkpoint(test_model("tiny-gpt-oss/openai"));
  const auto gate_up = stacked_experts(checkpoint, *checkpoint.find("block.2.mlp.mlp1_weight"));
  ASSERT_TRUE(gate_up);
  EXPECT_EQ(gate_up->parts.size(), 2u);
  EXPECT_EQ(gate_up->parts[1].step, 2);
  const auto bias = stacked_experts(checkpoint, *checkpoint.find("block.2.mlp.mlp2_bias"));
  ASSERT_TRUE(bias);
  EXPECT_TRUE(bias->bias);
  EXPECT_EQ(bias->experts, 6);
}

}  // namespace
}  // namespace mxfp4
