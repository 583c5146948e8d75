#include "mxfp4/checkpoint/config.h"

#include <gtest/gtest.h>

#include "mxfp4/base/file.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

using Names = std::vector<std::string>;

std::string refusal(const std::string& text) {
  return error_of([&] { parse_config(text, "config.json"); });
}

TEST(Config, ReadsGptOss) {
  const auto path = test_model("tiny-gpt-oss/hf-mxfp4/config.json");
  const ModelConfig config = parse_config(read_file(path, 1 << 20), path.native());
  EXPECT_EQ(config.model_type, "gpt_oss");
  EXPECT_EQ(config.architectures, Names{"GptOssForCausalLM"});
  EXPECT_TRUE(config.is_gpt_oss());
  EXPECT_EQ(config.dtype, std::nullopt);
  EXPECT_EQ(config.hidden_size, 64);
  EXPECT_EQ(config.intermediate_size, 96);
  EXPECT_EQ(config.layers, 3);
  EXPECT_EQ(config.experts, 6);
  EXPECT_EQ(config.vocabulary, 512);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_EQ(config.quant_method, "mxfp4");
  EXPECT_EQ(config.left_alone, (Names{"model.layers.*.self_attn", "model.layers.*.mlp.router",
                                      "model.embed_tokens", "lm_head"}));
}

TEST(Config, ReadsCompressedTensors) {
  const auto path = test_model("tiny-llama/compressed-tensors/config.json");
  const ModelConfig config = parse_config(read_file(path, 1 << 20), path.native());
  EXPECT_EQ(config.dtype, Dtype::bf16);
  EXPECT_EQ(config.quant_method, "compressed-tensors");
  EXPECT_EQ(config.quant_format, "mxfp4-pack-quantized");
  EXPECT_EQ(config.left_alone,
            (Names{"model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.v_proj", "lm_head"}));
}

TEST(Config, WhatIsAbsentOrNullIsAbsent) {
  for (const char* const text :
       {"", "{}", R"({"hidden_size": null, "quantization_config": null, "dtype": null,
                                               "architectures": null, "model_type": null, "vocab_size": null,
                                               "tie_word_embeddings": null, "text_config": null})"}) {
    const ModelConfig config = parse_config(text, "config.json");
    EXPECT_EQ(config.model_type, "");
    EXPECT_TRUE(config.architectures.empty());
    EXPECT_FALSE(config.dtype || config.hidden_size || config.vocabulary || config.tied_embeddings);
    EXPECT_EQ(config.quant_method, "");
    EXPECT_EQ(config.left_alone, std::nullopt);
    EXPECT_FALSE(config.is_gpt_oss());
  }
}

TEST(Config, KnowsTheSynonymsOfSizes) {
  const ModelConfig gpt2 = parse_config(R"({"n_embd": 768, "n_layer": 12, "vocab_size": 50257})", "");
  EXPECT_EQ(gpt2.hidden_size, 768);
  EXPECT_EQ(gpt2.layers, 12);
  EXPECT_EQ(parse_config(R"({"d_model": 512, "num_layers": 6})", "").hidden_size, 512);
  EXPECT_EQ(parse_config(R"({"num_experts": 8})", "").experts, 8);
  EXPECT_EQ(parse_config(R"({"n_routed_experts": 256})", "").experts, 256);
}

TEST(Config, TakesFromTheTextModelWhatTheWholeLacks) {
  const ModelConfig config = parse_config(R"({
    "model_type": "llama4", "hidden_size": 7,
    "text_config": {"model_type": "llama4_text", "hidden_size": 8, "num_local_experts": 4, "torch_dtype": "float16",
                    "tie_word_embeddings": true,
                    "quantization_config": {"quant_method": "fp8", "ignored_layers": ["a"]}}})",
                                          "");
  EXPECT_EQ(config.model_type, "llama4");
  EXPECT_EQ(config.hidden_size, 7);
  EXPECT_EQ(config.experts, 4);
  EXPECT_EQ(config.dtype, Dtype::f16);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_EQ(config.quant_method, "fp8");
  EXPECT_EQ(config.left_alone, Names{"a"});
}

TEST(Config, KnowsThreeDtypesUnderBothNames) {
  EXPECT_EQ(parse_config(R"({"dtype": "bfloat16"})", "").dtype, Dtype::bf16);
  EXPECT_EQ(parse_config(R"({"torch_dtype": "torch.float32"})", "").dtype, Dtype::f32);
  EXPECT_EQ(parse_config(R"({"dtype": "float16", "torch_dtype": "float32"})", "").dtype, Dtype::f16);
  EXPECT_EQ(parse_config(R"({"dtype": "auto"})", "").dtype, std::nullopt);
}

TEST(Config, ASizeForEachLayerIsNoSizeOfTheModel) {
  EXPECT_EQ(parse_config(R"({"intermediate_size": [16, 32]})", "").intermediate_size, std::nullopt);
  EXPECT_TRUE(has_all(refusal(R"({"intermediate_size": [16, "a"]})"), {"intermediate_size"}));
}

TEST(Config, FindsEachProjectsList) {
  const auto list = [](const char* quantization) {
    return parse_config(std::string(R"({"quantization_config": )") + quantization + "}", "").left_alone;
  };
  EXPECT_EQ(list(R"({"quant_method": "mxfp4", "modules_to_not_convert": ["a"], "ignore": ["b"]})"),
            Names{"a"});
  EXPECT_EQ(list(R"({"quant_method": "compressed-tensors", "ignore": ["a"], "exclude": ["b"]})"), Names{"a"});
  EXPECT_EQ(list(R"({"quant_method": "quark", "exclude": ["a"], "ignore": ["b"]})"), Names{"a"});
  EXPECT_EQ(list(R"({"quant_method": "modelopt", "ignore": ["a"]})"), Names{"a"});
  EXPECT_EQ(list(R"({"quant_algo": "MXFP4", "exclude_modules": ["a"]})"), Names{"a"});
  EXPECT_EQ(list(R"({"quant_method": "fp8", "ignored_layers": ["a"]})"), Names{"a"});
  EXPECT_EQ(list(R"({"quant_method": "fp8", "modules_to_not_convert": ["a"]})"), Names{"a"});
  EXPECT_EQ(list(R"({"quant_method": "mxfp4", "modules_to_not_convert": null})"), std::nullopt);
  EXPECT_EQ(list(R"({"quant_method": "mxfp4", "modules_to_not_convert": []})"), Names{});
}

TEST(Config, RecognisesQuantisationsWithoutAMethod) {
  const ModelConfig mlx = parse_config(R"({"quantization": {"group_size": 32, "bits": 4, "mode": "mxfp4"},
                                     "quantization_config": {"group_size": 32, "bits": 4, "mode": "mxfp4"}})",
                                       "");
  EXPECT_EQ(mlx.quant_method, "mlx");
  EXPECT_EQ(mlx.quant_format, "mxfp4");
  EXPECT_EQ(parse_config(R"({"quantization": {"group_size": 64, "bits": 8}})", "").quant_method, "mlx");
  const ModelConfig modelopt = parse_config(R"({"quantization_config": {"quant_algo": "NVFP4"}})", "");
  EXPECT_EQ(modelopt.quant_method, "modelopt");
  EXPECT_EQ(modelopt.quant_format, "NVFP4");
  EXPECT_EQ(parse_config(R"({"quantization_config": {"load_in_4bit": true}})", "").quant_method,
            "bitsandbytes");
  EXPECT_EQ(parse_config(R"({"quantization_config": {}})", "").quant_method, "unknown");
}

TEST(Config, NamesTheFieldAndTheValueThatAreWrong) {
  EXPECT_TRUE(
      has_all(refusal(R"({"hidden_size": -1})"), {"corrupt_file", "config.json", "'hidden_size'", "-1"}));
  EXPECT_TRUE(has_all(refusal(R"({"hidden_size": 1.5})"), {"corrupt_file", "'hidden_size'", "1.5"}));
  EXPECT_TRUE(has_all(refusal(R"({"hidden_size": "64"})"), {"corrupt_file", "'hidden_size'", "\"64\""}));
  EXPECT_TRUE(has_all(refusal(R"({"vocab_size": 1e300})"), {"corrupt_file", "'vocab_size'"}));
  EXPECT_TRUE(
      has_all(refusal(R"({"vocab_size": 99999999999})"), {"corrupt_file", "'vocab_size'", "99999999999"}));
  EXPECT_TRUE(
      has_all(refusal(R"({"vocab_size": 99999999999999999999999})"), {"corrupt_file", "'vocab_size'"}));
  EXPECT_TRUE(has_all(refusal(std::string("{}\0{}", 5)), {"corrupt_file", "config.json", "zero byte", "2"}));
  EXPECT_TRUE(has_all(refusal(R"({"model_type": 7})"), {"corrupt_file", "'model_type'", "7", "string"}));
  EXPECT_TRUE(has_all(refusal(R"({"architectures": "x"})"), {"corrupt_file", "'architectures'"}));
  EXPECT_TRUE(has_all(refusal(R"({"architectures": [1]})"), {"corrupt_file", "'architectures'"}));
  EXPECT_TRUE(
      has_all(refusal(R"({"tie_word_embeddings": "yes"})"), {"corrupt_file", "'tie_word_embeddings'"}));
  EXPECT_TRUE(
      has_all(refusal(R"({"quantization_config": "mxfp4"})"), {"corrupt_file", "'quantization_config'"}));
  EXPECT_TRUE(
      has_all(refusal(R"({"quantization_config": {"quant_method": "mxfp4", "modules_to_not_convert": [1]}})"),
              {"corrupt_file", "quantization_config: 'modules_to_not_convert'", "[1]"}));
  EXPECT_TRUE(has_all(refusal(R"({"text_config": {"hidden_size": -2}})"),
                      {"corrupt_file", "text_config: 'hidden_size'"}));
}

TEST(Config, RefusesWhatIsNoJsonObject) {
  for (const char* const text :
       {"[]", "7", "{", "{\"a\": }", "{} x", "\xFF", "{\"a\": \"\xFF\"}", "{\"a\" 1}"}) {
    EXPECT_TRUE(has_all(refusal(text), {"corrupt_file", "config.json"})) << text;
  }
}

TEST(Config, ReadsTheNonNumbersThatPythonWrites) {
  const ModelConfig config = parse_config(
      R"({"time_step_limit": [0.0, Infinity, -Infinity, NaN], "model_type": "NaN \" Infinity", "hidden_size": 8})",
      "");
  EXPECT_EQ(config.model_type, "NaN \" Infinity");
  EXPECT_EQ(config.hidden_size, 8);
}

TEST(Config, RefusesDeepNesting) {
  const auto nested = [](int depth) {
    return "{\"a\": " + std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']') + "}";
  };
  EXPECT_EQ(refusal(nested(90)), "");
  EXPECT_TRUE(has_all(refusal(nested(200)), {"corrupt_file", "nested"}));
  EXPECT_TRUE(has_all(refusal("{\"a\": " + std::string(1'000'000, '[')), {"corrupt_file", "nested"}));
}

}  // namespace
}  // namespace mxfp4
