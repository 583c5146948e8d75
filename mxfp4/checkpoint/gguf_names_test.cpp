#include "mxfp4/checkpoint/gguf_names.h"

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

struct Pair {
  const char *transformers, *llama_cpp;
};

void expect_same(const char* architecture, std::initializer_list<Pair> pairs) {
  const LlamaCppArchitecture& known = *find_llama_cpp_architecture(architecture);
  for (const auto& [transformers, llama_cpp] : pairs) {
    EXPECT_EQ(to_llama_cpp_name(known, transformers), llama_cpp);
    EXPECT_EQ(from_llama_cpp_name(known, llama_cpp), transformers);
  }
}

TEST(GgufNames, OfGptOss) {
  expect_same("gpt-oss",
              {{"model.embed_tokens.weight", "token_embd.weight"},
               {"model.norm.weight", "output_norm.weight"},
               {"lm_head.weight", "output.weight"},
               {"model.layers.0.input_layernorm.weight", "blk.0.attn_norm.weight"},
               {"model.layers.11.post_attention_layernorm.weight", "blk.11.post_attention_norm.weight"},
               {"model.layers.1.self_attn.sinks", "blk.1.attn_sinks.weight"},
               {"model.layers.1.self_attn.o_proj.bias", "blk.1.attn_output.bias"},
               {"model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight"},
               {"model.layers.1.mlp.router.weight", "blk.1.ffn_gate_inp.weight"},
               {"model.layers.1.mlp.router.bias", "blk.1.ffn_gate_inp.bias"},
               {"model.layers.1.mlp.experts.up_proj", "blk.1.ffn_up_exps.weight"},
               {"model.layers.1.mlp.experts.down_proj_bias", "blk.1.ffn_down_exps.bias"}});
}

TEST(GgufNames, OfOthers) {
  expect_same("qwen3moe", {{"model.layers.1.post_attention_layernorm.weight", "blk.1.ffn_norm.weight"},
                           {"model.layers.1.mlp.gate.weight", "blk.1.ffn_gate_inp.weight"},
                           {"model.layers.1.self_attn.k_norm.weight", "blk.1.attn_k_norm.weight"}});
  expect_same("llama", {{"model.layers.1.mlp.gate_proj.weight", "blk.1.ffn_gate.weight"},
                        {"model.layers.1.self_attn.v_proj.weight", "blk.1.attn_v.weight"}});
}

TEST(GgufNames, AreNotMadeUp) {
  const LlamaCppArchitecture& llama = *find_llama_cpp_architecture("llama");
  for (const char* const name : {"blk.0.attn_q.weight", "blk.0.attn_k.bias", "blk.x.attn_v.weight", "blk.0",
                                 "blk..attn_v.weight", "blk.0.attn_v", "rope_freqs.weight", "blk.0.weight"}) {
    EXPECT_EQ(from_llama_cpp_name(llama, name), "") << name;
  }
  for (const char* const name :
       {"model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.rotary", ""}) {
    EXPECT_EQ(to_llama_cpp_name(llama, name), "") << name;
  }
  EXPECT_EQ(find_llama_cpp_architecture("gpt_oss"), nullptr);
  EXPECT_STREQ(llama_cpp_architecture_of("gpt_oss")->name, "gpt-oss");
  EXPECT_EQ(llama_cpp_architecture_of("deepseek_v3"), nullptr);
}

}  // namespace
}  // namespace mxfp4
