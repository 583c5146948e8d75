#include "mxfp4/checkpoint/selection.h"

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

// The reason for one tensor of a model.
std::string reason(const char* name, const Shape& shape, const char* config = "{}",
                   Dtype dtype = Dtype::bf16) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {{name, dtype, shape}});
  write_text(directory / "config.json", config);
  const Checkpoint checkpoint = open_checkpoint(directory.path());
  return default_keep_reason(checkpoint, checkpoint.weights[0]);
}

std::string matrix(const char* name, const char* config = "{}") {
  return reason(name, {64, 64}, config);
}

TEST(Selection, QuantisesTheMatricesOfLinearLayers) {
  for (const char* const name : {"encoder.layer.0.attention.self.query.weight",
                                 "encoder.layer.0.output.dense.weight",
                                 "pooler.dense.weight",
                                 "model.layers.0.self_attn.q_proj.weight",
                                 "model.layers.0.mlp.gate_proj.weight",
                                 "model.layers.0.mlp.experts.7.gate_proj.weight",
                                 "model.layers.0.block_sparse_moe.experts.0.w1.weight",
                                 "model.layers.3.mlp.shared_experts.down_proj.weight",
                                 "model.layers.0.mlp.shared_expert.up_proj.weight",
                                 "model.layers.0.self_attn.kv_a_proj_with_mqa.weight",
                                 "model.layers.0.self_attn.qkv_proj.weight",
                                 "model.layers.0.mlp.gate_up_proj.weight",
                                 "encoder.block.0.layer.1.DenseReluDense.wi_0.weight",
                                 "backbone.layers.0.mixer.in_proj.weight",
                                 "blocks.0.att.gate.weight",
                                 "visual.blocks.0.attn.qkv.weight",
                                 "electra.embeddings_project.weight",
                                 "encoder.embedding_hidden_mapping_in.weight",
                                 "score.weight",
                                 "classifier.weight",
                                 "model.output.weight"}) {
    EXPECT_EQ(matrix(name), "") << name;
  }
}

TEST(Selection, KeepsEmbeddings) {
  for (const char* const name :
       {"embeddings.word_embeddings.weight", "embeddings.position_embeddings.weight",
        "embeddings.token_type_embeddings.weight", "model.embed_tokens.weight", "transformer.wte.weight",
        "transformer.wpe.weight", "shared.weight",
        "encoder.block.0.layer.0.SelfAttention.relative_attention_bias.weight", "gpt_neox.embed_in.weight",
        "tok_embeddings.weight", "embed.weight", "vision_model.embeddings.position_embedding.weight"}) {
    EXPECT_EQ(matrix(name), "embedding") << name;
  }
}

TEST(Selection, KeepsNorms) {
  for (const char* const name :
       {"model.norm.weight", "model.layers.0.input_layernorm.weight",
        "encoder.layer.0.attention.output.LayerNorm.weight", "transformer.ln_f.weight",
        "transformer.h.0.ln_1.weight", "model.layers.0.self_attn.q_norm.weight"}) {
    EXPECT_EQ(reason(name, {64}), "norm") << name;
  }
}

TEST(Selection, KeepsRouters) {
  for (const char* const name :
       {"model.layers.0.mlp.gate.weight", "model.layers.0.block_sparse_moe.gate.weight",
        "model.layers.0.mlp.router.weight", "model.layers.0.feed_forward.router.weight",
        "layers.0.ffn.gate.weight", "encoder.block.1.layer.1.mlp.router.classifier.weight",
        "transformer.blocks.0.ffn.router.layer.weight", "model.layers.0.mlp.shared_expert_gate.weight",
        "model.layers.0.mlp.gate.wg.weight"}) {
    EXPECT_EQ(matrix(name), "router") << name;
  }
  EXPECT_EQ(reason("model.layers.3.mlp.gate.e_score_correction_bias", {64}), "1-D");
}

TEST(Selection, KeepsOutputHeads) {
  for (const char* const name :
       {"lm_head.weight", "language_model.lm_head.weight", "lm_head.dense.weight", "output.weight",
        "head.weight", "embed_out.weight", "unembedding.weight", "cls.predictions.decoder.weight"}) {
    EXPECT_EQ(matrix(name), "lm_head") << name;
  }
}

TEST(Selection, KeepsWhatHasNoMatrix) {
  EXPECT_EQ(reason("model.layers.0.self_attn.q_proj.bias", {64}), "1-D");
  EXPECT_EQ(reason("scale.weight", {}), "0-D");
  EXPECT_EQ(reason("visual.patch_embed.proj.weight", {64, 3, 14, 14}), "rank 4: not a Linear weight");
  EXPECT_EQ(reason("backbone.layers.0.mixer.conv1d.weight", {64, 1, 32}), "rank 3: not a Linear weight");
  EXPECT_EQ(matrix("backbone.layers.0.mixer.A_log"), "not a Linear weight");
  EXPECT_EQ(matrix("text_projection"), "not a Linear weight");
  EXPECT_EQ(matrix("model.layers.0.mlp.experts.gate_up_proj_bias"), "bias");
  EXPECT_EQ(reason("a.weight", {0, 64}), "no elements");
  EXPECT_EQ(reason("a.weight", {64, 0}), "no elements");
}

TEST(Selection, KeepsOtherDtypes) {
  EXPECT_EQ(reason("embeddings.position_ids", {1, 64}, "{}", Dtype::i64), "I64 is not F32, BF16 or F16");
  EXPECT_EQ(reason("a.weight", {64, 64}, "{}", Dtype::f64), "F64 is not F32, BF16 or F16");
  EXPECT_EQ(reason("a.weight", {64, 64}, "{}", Dtype::f16), "");
  EXPECT_EQ(reason("a.weight", {64, 64}, "{}", Dtype::f32), "");
}

TEST(Selection, KeepsRowsThatAreNoWholeBlocks) {
  EXPECT_EQ(reason("a.weight", {64, 100}), "K = 100 is not a multiple of 32");
  EXPECT_EQ(reason("a.weight", {100, 96}), "");
}

TEST(Selection, KeepsConv1DOfGpt2AndItsKin) {
  const char* const reason = "Conv1D (GPT-2 style, stored transposed)";
  EXPECT_EQ(matrix("h.0.attn.c_attn.weight", R"({"model_type": "gpt2"})"), reason);
  EXPECT_EQ(matrix("h.0.mlp.c_proj.weight", R"({"model_type": "gpt2"})"), reason);
  EXPECT_EQ(matrix("h.0.mlp.c_fc.weight"), reason);
  EXPECT_EQ(matrix("h.0.attn.c_attn.weight", R"({"model_type": "gpt_bigcode"})"), "");
}

TEST(Selection, QuantisesStackedExpertsWhoseOrientationIsKnown) {
  const char* const name = "model.layers.0.mlp.experts.down_proj";
  EXPECT_EQ(reason(name, {4, 64, 32}, R"({"hidden_size": 64})"), "");
  EXPECT_EQ(reason(name, {4, 32, 64}, R"({"hidden_size": 64})"), "");
  EXPECT_EQ(reason(name, {4, 100, 64}, R"({"hidden_size": 64})"), "K = 100 is not a multiple of 32");
  EXPECT_TRUE(has_all(reason(name, {4, 64, 64}, R"({"hidden_size": 64})"), {"[E, N, K] or [E, K, N]"}));
  EXPECT_TRUE(has_all(reason(name, {4, 64, 32}), {"[E, N, K] or [E, K, N]"}));
  EXPECT_EQ(reason("model.layers.0.mlp.experts.gate_proj", {4, 64, 32}), "");
}

TEST(Selection, OfGptOssOnlyTheExpertsAreQuantised) {
  for (const char* const model : {"tiny-gpt-oss/bf16", "tiny-gpt-oss/bf16-as-saved"}) {
    const Checkpoint checkpoint = open_checkpoint(test_model(model));
    const auto of = [&](const char* name) { return default_keep_reason(checkpoint, *checkpoint.find(name)); };
    EXPECT_EQ(of("model.layers.0.mlp.experts.gate_up_proj"), "");
    EXPECT_EQ(of("model.layers.2.mlp.experts.down_proj"), "");
    EXPECT_EQ(of("model.layers.0.mlp.experts.down_proj_bias"), "bias");
    EXPECT_EQ(of("model.layers.0.mlp.router.weight"), "router");
    EXPECT_EQ(of("model.layers.0.mlp.router.bias"), "1-D");
    EXPECT_EQ(of("model.layers.0.self_attn.q_proj.weight"), "attention");
    EXPECT_EQ(of("model.layers.0.self_attn.sinks"), "1-D");
    EXPECT_EQ(of("model.layers.0.input_layernorm.weight"), "norm");
    EXPECT_EQ(of("model.embed_tokens.weight"), "embedding");
    EXPECT_EQ(of("lm_head.weight"), "lm_head");
  }
  EXPECT_EQ(matrix("something.else.weight", R"({"model_type": "gpt_oss"})"), "not an expert of gpt-oss");
}

TEST(Selection, SaysWhatIsQuantisedAlready) {
  const Checkpoint checkpoint = open_checkpoint(test_model("tiny-gpt-oss/openai"));
  const auto of = [&](const char* name) { return default_keep_reason(checkpoint, *checkpoint.find(name)); };
  EXPECT_EQ(of("block.0.mlp.mlp1_weight"), "already quantised");
  EXPECT_EQ(of("block.0.mlp.mlp1_bias"), "bias");
  EXPECT_EQ(of("block.0.attn.qkv.weight"), "attention");
  EXPECT_EQ(of("block.0.mlp.gate.weight"), "router");
  EXPECT_EQ(of("embedding.weight"), "embedding");
  EXPECT_EQ(of("unembedding.weight"), "lm_head");
  EXPECT_EQ(of("block.0.attn.norm.scale"), "1-D");
}

TEST(Selection, QuantisesATinyLlama) {
  const Checkpoint checkpoint = open_checkpoint(test_model("tiny-llama/bf16"));
  int quantised = 0;
  for (const Weight& weight : checkpoint.weights)
    quantised += default_keep_reason(checkpoint, weight).empty();
  EXPECT_EQ(quantised, 2 * 7);
}

TEST(Selection, KnowsTheWeightsOfLinearLayers) {
  const Checkpoint llama = open_checkpoint(test_model("tiny-llama/compressed-tensors"));
  const auto is_linear = [&](const char* name) { return is_linear_weight(*llama.find(name)); };
  EXPECT_TRUE(is_linear("lm_head.weight"));
  EXPECT_TRUE(is_linear("model.layers.0.self_attn.k_proj.weight"));
  EXPECT_TRUE(is_linear("model.layers.0.self_attn.q_proj.weight"));
  EXPECT_FALSE(is_linear("model.embed_tokens.weight"));
  EXPECT_FALSE(is_linear("model.norm.weight"));
  EXPECT_FALSE(is_linear("model.layers.0.self_attn.k_proj.bias"));
  const Checkpoint gpt_oss = open_checkpoint(test_model("tiny-gpt-oss/bf16"));
  EXPECT_TRUE(is_linear_weight(*gpt_oss.find("model.layers.0.mlp.router.weight")));
  EXPECT_TRUE(is_linear_weight(*gpt_oss.find("model.layers.0.mlp.experts.gate_up_proj")));
  EXPECT_FALSE(is_linear_weight(*gpt_oss.find("model.layers.0.mlp.experts.gate_up_proj_bias")));
}

}  // namespace
}  // namespace mxfp4
