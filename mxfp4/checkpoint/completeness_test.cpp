// A weight that was lost is told, whatever the model; and nothing is told of a good one, however odd.
#include <algorithm>
#include <functional>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

using Names = std::vector<std::string>;

safetensors::TensorSpec spec(const std::string& name) {
  const bool vector = name.find("norm") != std::string::npos || name.ends_with("bias");
  return {name, Dtype::f32, vector ? Shape{1} : Shape{1, 1}};
}

std::string problems_of_names(const Names& names, const std::string& config) {
  std::vector<safetensors::TensorSpec> tensors;
  for (const std::string& name : names) tensors.push_back(spec(name));
  return problems_of(tensors, config.c_str());
}

/// Names that `of_layer` gives for layers 0 to `count` - 1, behind "model.layers.N.", and `others`.
Names layers(int count, const std::function<Names(int layer)>& of_layer, Names others = {}) {
  for (int layer = 0; layer < count; ++layer) {
    for (const std::string& name : of_layer(layer))
      others.push_back("model.layers." + std::to_string(layer) + "." + name);
  }
  return others;
}

Names operator+(Names a, const Names& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

Names weights(const std::string& prefix, std::initializer_list<const char*> modules) {
  Names names;
  for (const char* const module : modules) names.push_back(prefix + module + ".weight");
  return names;
}

Names without(Names names, const std::string& name) {
  EXPECT_EQ(std::erase(names, name), 1u) << name;
  return names;
}

const Names kTop = {"model.embed_tokens.weight", "model.norm.weight", "lm_head.weight"};
const Names kNorms = weights("", {"input_layernorm", "post_attention_layernorm"});
const Names kAttention = weights("self_attn.", {"q_proj", "k_proj", "v_proj", "o_proj"});
const Names kMlp = weights("mlp.", {"gate_proj", "up_proj", "down_proj"});

Names experts(const std::string& prefix, std::initializer_list<const char*> modules) {
  Names names;
  for (int e = 0; e < 4; ++e) names = names + weights(prefix + std::to_string(e) + ".", modules);
  return names;
}

Names block(const char* model_type, int layer) {
  const std::string type = model_type;
  const Names moe =
      weights("mlp.", {"gate"}) + experts("mlp.experts.", {"gate_proj", "up_proj", "down_proj"});
  const Names qkv_biases = {"self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"};
  const Names plain = kNorms + kAttention, head_norms = weights("self_attn.", {"q_norm", "k_norm"});
  if (type == "llama" || type == "mistral") return plain + kMlp;
  if (type == "qwen2") return plain + qkv_biases + kMlp;
  if (type == "qwen3") return plain + head_norms + kMlp;
  if (type == "mixtral")
    return plain + weights("block_sparse_moe.", {"gate"}) +
           experts("block_sparse_moe.experts.", {"w1", "w2", "w3"});
  if (type == "qwen3_moe") return plain + head_norms + (layer == 1 ? kMlp : moe);
  if (type == "qwen2_moe") {
    return plain + qkv_biases + moe +
           weights("mlp.", {"shared_expert_gate", "shared_expert.gate_proj", "shared_expert.up_proj",
                            "shared_expert.down_proj"});
  }
  const Names latent = weights("self_attn.", {"q_a_proj", "q_a_layernorm", "q_b_proj", "kv_a_proj_with_mqa",
                                              "kv_a_layernorm", "kv_b_proj", "o_proj"});
  const Names shared = weights("mlp.shared_experts.", {"gate_proj", "up_proj", "down_proj"});
  const Names bias = {"mlp.gate.e_score_correction_bias"};
  return kNorms + latent + (layer == 0 ? kMlp : moe + shared + bias);
}

TEST(Completeness, EveryWeightOfAKnownDecoderIsThere) {
  for (const char* const type : {"llama", "mistral", "qwen2", "qwen3", "mixtral", "qwen2_moe", "qwen3_moe",
                                 "deepseek_v2", "deepseek_v3", "kimi_k2"}) {
    const auto of_layer = [&](int layer) { return block(type, layer); };
    const Names names = layers(4, of_layer, kTop);
    const std::string config =
        R"({"architectures": ["XForCausalLM"], "num_hidden_layers": 4, "num_experts": 4, "model_type": ")" +
        std::string(type) + "\"}";
    EXPECT_EQ(problems_of_names(names, config), "") << type;
    for (const std::string& gone : names) {
      const std::string text = problems_of_names(without(names, gone), config);
      EXPECT_TRUE(has_all(text, {"missing [" + gone + "] ", "'" + gone + "' is missing"})) << type;
      EXPECT_EQ(lines(text), 1) << type << ": " << text;
    }
  }
}

TEST(Completeness, EveryTensorOfTinyLlamaIsThere) {
  for (const char* const model : {"tiny-llama/bf16", "tiny-llama/compressed-tensors"}) {
    const ModelFiles files = open_model(test_model(model));
    for (const StoredTensor* const gone : files.tensors()) {
      std::vector<safetensors::TensorSpec> rest;
      for (const StoredTensor* const tensor : files.tensors()) {
        if (tensor != gone) rest.push_back({tensor->name, tensor->dtype, tensor->shape});
      }
      const std::string text = problems_of(rest, files.config.c_str());
      // Whether the model has a head is told by "architectures" only, which one of the two lacks.
      const bool told =
          gone->name != "lm_head.weight" || files.config.find("ForCausalLM") != std::string::npos;
      EXPECT_EQ(lines(text), told ? 1 : 0) << text;
      EXPECT_TRUE(!told || has_all(text, {"missing [" + gone->name + "] "})) << model;
    }
  }
}

TEST(Completeness, WhatAKnownDecoderMayLack) {
  const auto of_layer = [](int layer) { return block("llama", layer); };
  const Names names = layers(2, of_layer, kTop);
  const std::string llama = R"("num_hidden_layers": 2, "model_type": "llama"})";
  const std::string causal = R"({"architectures": ["LlamaForCausalLM"], )";
  const Names headless = without(names, "lm_head.weight");
  EXPECT_EQ(lines(problems_of_names(headless, causal + llama)), 1);
  EXPECT_EQ(problems_of_names(headless, causal + R"("tie_word_embeddings": true, )" + llama), "");
  EXPECT_EQ(problems_of_names(headless, R"({"architectures": ["LlamaModel"], )" + llama), "");
  // The language half of a larger model.
  Names half;
  for (const std::string& name : without(headless, "model.layers.0.self_attn.v_proj.weight"))
    half.push_back("language_model." + name);
  EXPECT_TRUE(
      has_all(problems_of_names(half, R"({"model_type": "llava", "text_config": )" + ("{" + llama) + "}"),
              {"missing [language_model.model.layers.0.self_attn.v_proj.weight] "}));
  // Fused projections, a draft model, buffers of older versions: other names, and nothing to say about them.
  const auto fused = [](int) {
    return kNorms +
           weights("", {"self_attn.qkv_proj", "self_attn.o_proj", "mlp.gate_up_proj", "mlp.down_proj"});
  };
  EXPECT_EQ(problems_of_names(layers(2, fused, kTop), causal + llama), "");
  EXPECT_EQ(problems_of_names({"fc.weight", "embed_tokens.weight", "layers.0.self_attn.q_proj.weight"},
                              causal + R"("num_hidden_layers": 1, "model_type": "llama"})"),
            "");
  EXPECT_EQ(problems_of_names(names + Names{"model.layers.1.self_attn.rotary_emb.inv_freq"}, causal + llama),
            "");
}

TEST(Completeness, ALayerOfAnyModelHasWhatAllOthersHave) {
  const auto of_layer = [](int) { return Names{"norm_1.scale", "mixer.a.w", "mixer.b.w", "gain"}; };
  const Names names = layers(5, of_layer);
  EXPECT_EQ(problems_of_names(names, "{}"), "");
  EXPECT_TRUE(has_all(problems_of_names(without(names, "model.layers.2.mixer.b.w"), "{}"),
                      {"missing [model.layers.2.mixer.b.w] ", "4 of 5 like that have it"}));
  EXPECT_TRUE(has_all(problems_of_names(without(names, "model.layers.1.norm_1.scale"), "{}"),
                      {"missing [model.layers.1.norm_1.scale] "}));
  // First and last may differ, as they do in ModernBERT, RWKV and Swin; so may parameters of a layer itself.
  for (const char* const gone :
       {"model.layers.0.norm_1.scale", "model.layers.4.mixer.a.w", "model.layers.2.gain"})
    EXPECT_EQ(problems_of_names(without(names, gone), "{}"), "") << gone;
  // Draft layers are none of the others.
  const Names drafted = names + Names{"model.layers.5.fc.w", "model.layers.6.fc.w"};
  const std::string config = R"({"num_hidden_layers": 5, "num_nextn_predict_layers": 2})";
  EXPECT_EQ(problems_of_names(drafted, config), "");
  EXPECT_EQ(lines(problems_of_names(without(drafted, "model.layers.3.mixer.a.w"), config)), 1);
}

TEST(Completeness, LayersOfOtherKindsHaveOtherWeights) {
  const Names linear = weights("linear_attn.", {"in_proj", "out_proj"}) + kNorms;
  const Names full = kAttention + kNorms;
  // Three of four layers are of one kind (Qwen3-Next), or one of all.
  EXPECT_EQ(problems_of_names(layers(8, [&](int i) { return i % 4 == 3 ? full : linear; }), "{}"), "");
  EXPECT_EQ(problems_of_names(layers(8, [&](int i) { return i == 3 ? full : linear; }), "{}"), "");
  EXPECT_EQ(
      problems_of_names(
          layers(8, [&](int i) { return (i < 1 ? kMlp : experts("mlp.experts.", {"up_proj"})) + full; }),
          "{}"),
      "");
  // The only layer of its kind, which has less: the config says that it is one.
  const Names no_values = without(full, "self_attn.v_proj.weight");
  const Names names = layers(6, [&](int i) { return i == 3 ? no_values : full; });
  EXPECT_EQ(lines(problems_of_names(names, R"({"num_hidden_layers": 6})")), 1);
  for (const char* const where :
       {R"({"num_hidden_layers": 6, "layer_types": ["s", "s", "s", "f", "s", "s"]})",
        R"({"text_config": {"num_hidden_layers": 6, "is_full": [0, 0, 0, 1, 0, 0]}})"}) {
    EXPECT_EQ(problems_of_names(names, where), "");
  }
  // Within a kind a loss is found.
  EXPECT_TRUE(has_all(
      problems_of_names(
          without(layers(16, [&](int i) { return i % 2 == 1 ? full : linear; }),
                  "model.layers.5.self_attn.k_proj.weight"),
          R"({"num_hidden_layers": 16, "layer_types": ["l", "f", "l", "f", "l", "f", "l", "f", "l", "f", "l", "f", "l", "f", "l", "f"]})"),
      {"missing [model.layers.5.self_attn.k_proj.weight] ", "7 of 8"}));
}

TEST(Completeness, ExpertsAreAlike) {
  const Names names = layers(1, [](int) { return experts("ffn.experts.", {"w1", "w2"}); });
  const std::string gone = "model.layers.0.ffn.experts.3.w2.weight";
  EXPECT_EQ(problems_of_names(names, "{}"), "");
  const std::string text = problems_of_names(without(names, gone), "{}");
  EXPECT_TRUE(has_all(text, {"missing [" + gone + "] ", "3 of 4 like that have it"}));
  EXPECT_EQ(lines(text), 1) << text;
}

TEST(Completeness, OfAnotherQuantisationTheModulesCount) {
  const std::string config =
      R"({"model_type": "llama", "num_hidden_layers": 2, "quantization_config": {"quant_method": "quark"}})";
  std::vector<safetensors::TensorSpec> tensors;
  for (const std::string& name : layers(
           2, [](int) { return block("llama", 0); }, kTop)) {
    // One of them is left alone.
    if (name.find("_proj") == std::string::npos || name.find("0.self_attn.k_proj") != std::string::npos) {
      tensors.push_back(spec(name));
      continue;
    }
    const std::string module = name.substr(0, name.rfind('.'));
    tensors.push_back({module + ".weight", Dtype::u8, {1, 16}});
    tensors.push_back({module + ".weight_scale", Dtype::f8_e4m3, {1, 2}});
  }
  EXPECT_EQ(problems_of(tensors, config.c_str()), "");
  std::erase_if(tensors, [](const auto& tensor) {
    return tensor.name.find("1.self_attn.k_proj") != std::string::npos;
  });
  const std::string text = problems_of(tensors, config.c_str());
  EXPECT_TRUE(
      has_all(text, {"missing [model.layers.1.self_attn.k_proj", "module 'model.layers.1.self_attn.k_proj"}));
  EXPECT_EQ(lines(text), 1) << text;
}

TEST(Completeness, AMissingShardIsToldOnce) {
  const TestDirectory directory;
  const Names names = layers(
      2, [](int) { return block("llama", 0); }, kTop);
  std::vector<safetensors::TensorSpec> tensors;
  for (const std::string& name : names) tensors.push_back(spec(name));
  tensors.pop_back();
  write_tensors(directory / "model-00001-of-00002.safetensors", tensors);
  write_text(directory / "config.json", R"({"model_type": "llama"})");
  const std::string text = problems_of(directory.path());
  EXPECT_TRUE(has_all(text, {"there are 2 shards"}));
  EXPECT_EQ(lines(text), 1) << text;
}

}  // namespace
}  // namespace mxfp4
