#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

TEST(Expectations, GoodModelsHaveNoProblem) {
  for (const char* const model :
       {"tiny-gpt-oss/bf16", "tiny-gpt-oss/bf16-as-saved", "tiny-gpt-oss/hf-mxfp4", "tiny-gpt-oss/openai",
        "tiny-llama/bf16", "tiny-llama/compressed-tensors"}) {
    EXPECT_EQ(problems_of(test_model(model)), "") << model;
  }
}

TEST(Expectations, EveryProblemIsListed) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors",
                {{"a", Dtype::f32, {1}}, {"b", Dtype::f32, {1}}, {"c_blocks", Dtype::u8, {4, 1, 16}}});
  write_tensors(directory / "y.safetensors", {{"a", Dtype::f32, {1}}, {"d_scales", Dtype::u8, {4, 1}}});
  write_text(directory / "model.safetensors.index.json", R"({"metadata": {"total_size": 77}, "weight_map": {
    "a": "y.safetensors", "c_blocks": "x.safetensors", "d_scales": "y.safetensors", "e": "x.safetensors",
    "f": "../z.safetensors", "g": 1}})");
  write_text(directory / "config.json", R"({"hidden_size": -1, "architectures": "x"})");
  const std::string text = problems_of(directory.path());
  for (const char* const line :
       {"extra [a] ", "index [b] ", "missing [e] ", "index [f] ", "index [g] ", "missing [c_scales] ",
        "missing [d_blocks] ", "total_size is 77, but the tensors have 76 bytes",
        "'hidden_size' is -1, not a size", "'architectures' is \"x\", not a list of strings"}) {
    EXPECT_TRUE(has_all(text, {line}));
  }
  // The first "a" counts, which is not where the index says.
  EXPECT_TRUE(has_all(text, {"index [a] ", "is in y.safetensors, but x.safetensors holds it"}));
  EXPECT_EQ(lines(text), 11) << text;
}

TEST(Expectations, AMissingShardIsOneProblem) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {{"a", Dtype::f32, {1}}});
  write_text(directory / "model.safetensors.index.json", R"({"metadata": {"total_size": 100}, "weight_map": {
    "a": "x.safetensors", "b": "y.safetensors", "c": "y.safetensors"}})");
  const std::string text = problems_of(directory.path());
  EXPECT_TRUE(has_all(text, {"missing [] ", "shard y.safetensors is missing"}));
  EXPECT_EQ(lines(text), 1) << text;
  fs::remove(directory / "x.safetensors");
  EXPECT_TRUE(has_all(problems_of(directory.path()), {"shard x.safetensors is missing",
                                                      "shard y.safetensors is missing", "no tensor at all"}));
}

TEST(Expectations, PairsThatDoNotFitAreNotRead) {
  const std::string text = problems_of({{"a.blocks", Dtype::u8, {4, 16}},
                                        {"a.scales", Dtype::u8, {4, 2}},
                                        {"b.blocks", Dtype::u8, {4, 16}},
                                        {"b.scales", Dtype::f32, {4, 1}},
                                        {"c.weight_packed", Dtype::u8, {4, 16}},
                                        {"c.weight_scale", Dtype::u8, {4, 1}},
                                        {"d.blocks", Dtype::u8, {4, 16}},
                                        {"d.scales", Dtype::u8, {4, 1}}},
                                       "{}");
  EXPECT_TRUE(has_all(text, {"shape [a.blocks] ", "dtype [b.scales] "}));
  EXPECT_TRUE(has_all(text, {"config [d.blocks] ", "'c.weight_packed' is stored as compressed-tensors"}));
  EXPECT_TRUE(has_all(text, {"stored as compressed-tensors", "it says no quantization_config"}));
  EXPECT_EQ(lines(text), 4) << text;
}

TEST(Expectations, NumbersHaveNoGaps) {
  const auto numbered = [](const std::string& prefix, std::initializer_list<int> numbers) {
    std::vector<safetensors::TensorSpec> tensors;
    for (const int n : numbers) tensors.push_back({prefix + "." + std::to_string(n) + ".w", Dtype::f32, {1}});
    return tensors;
  };
  EXPECT_EQ(problems_of(numbered("encoder.layer", {0, 1, 2}), R"({"num_hidden_layers": 3})"), "");
  EXPECT_EQ(problems_of(numbered("encoder.layer", {0, 1, 4, 6}), "{}"),
            "missing [] encoder.layer.2 to 3 are missing; the numbers go up to 6\n"
            "missing [] encoder.layer.5 is missing; the numbers go up to 6\n");
  EXPECT_EQ(
      problems_of(numbered("model.layers", {0, 1}), R"({"num_hidden_layers": 2147483648})"),
      "missing [] model.layers.2 to 2147483647 are missing; config.json says that there are 2147483648\n");
  EXPECT_EQ(problems_of(numbered("model.layers", {0, 1, 2}), R"({"num_hidden_layers": 1})"),
            "extra [] model.layers.1 to 2 are too many; config.json says that there are 1\n");
  EXPECT_EQ(problems_of(numbered("model.layers", {0, 1, 2}),
                        R"({"num_hidden_layers": 1, "num_nextn_predict_layers": 2})"),
            "");
  EXPECT_EQ(problems_of(numbered("model.layers.0.mlp.experts", {0, 2}), R"({"num_experts": 4})"),
            "missing [] model.layers.0.mlp.experts.1 is missing; config.json says that there are 4\n"
            "missing [] model.layers.0.mlp.experts.3 is missing; config.json says that there are 4\n");
  EXPECT_EQ(
      problems_of({{"model.layers.9223372036854775807.w", Dtype::f32, {1}}, {"h.-1.w", Dtype::f32, {1}}},
                  R"({"num_hidden_layers": 1})"),
      "");
  // Of two towers, neither is the one that is counted; a file alone may be a part of anything.
  std::vector<safetensors::TensorSpec> towers = numbered("a.layers", {0, 1});
  for (const safetensors::TensorSpec& tensor : numbered("b.layers", {0, 1})) towers.push_back(tensor);
  EXPECT_EQ(problems_of(towers, R"({"num_hidden_layers": 7})"), "");
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", numbered("model.layers", {5}));
  EXPECT_EQ(problems_of(directory / "x.safetensors"), "");
}

TEST(Expectations, ALongNameTakesNoMoreThanItsLength) {
  std::string name;
  for (int i = 0; i < 100'000; ++i) name += "experts.0.";
  EXPECT_EQ(problems_of({{name + "w", Dtype::f32, {1}}}, "{}"), "");
}

TEST(Expectations, EveryWeightOfGptOssIsThere) {
  const TestDirectory directory;
  fs::copy(test_model("tiny-gpt-oss/bf16"), directory / "model", fs::copy_options::recursive);
  const ModelFiles files = open_model(directory / "model");
  for (const StoredTensor* const gone : files.tensors()) {
    std::vector<safetensors::TensorSpec> rest;
    for (const StoredTensor* const tensor : files.tensors()) {
      if (tensor != gone) rest.push_back({tensor->name, tensor->dtype, tensor->shape});
    }
    const fs::path other = directory / "other";
    write_tensors(other / "model.safetensors", rest);
    write_text(other / "config.json", files.config);
    const std::string text = problems_of(other);
    EXPECT_TRUE(has_all(text, {"missing [" + gone->name + "] "}));
    EXPECT_EQ(lines(text), 1) << text;
  }
}

TEST(Expectations, SizesAndDtypesFitTheConfig) {
  const char* const config =
      R"({"model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "vocab_size": 100})";
  const std::string layer = "model.layers.0.";
  EXPECT_EQ(problems_of({{"model.embed_tokens.weight", Dtype::bf16, {100, 32}},
                         {layer + "mlp.down_proj.weight", Dtype::bf16, {32, 64}},
                         {layer + "self_attn.q_proj.weight", Dtype::f32, {7, 32}}},
                        config),
            "");
  const std::string text = problems_of({{"model.embed_tokens.weight", Dtype::bf16, {101, 32}},
                                        {"model.norm.weight", Dtype::i64, {32}},
                                        {layer + "input_layernorm.weight", Dtype::bf16, {32, 1}},
                                        {layer + "mlp.down_proj.weight", Dtype::bf16, {64, 32}},
                                        {layer + "self_attn.q_proj.weight", Dtype::bf16, {32, 7}}},
                                       config);
  EXPECT_TRUE(has_all(text, {"config [model.embed_tokens.weight] ", "[101, 32]", "vocab_size is 100"}));
  EXPECT_TRUE(has_all(text, {"dtype [model.norm.weight] ", "I64"}));
  EXPECT_TRUE(has_all(text, {"shape [model.layers.0.input_layernorm.weight] ", "[32, 1], not 1 dimension"}));
  EXPECT_TRUE(has_all(text, {"config [model.layers.0.mlp.down_proj.weight] ", "intermediate_size is 64"}));
  EXPECT_TRUE(has_all(text, {"config [model.layers.0.self_attn.q_proj.weight] ", "hidden_size is 32"}));
  EXPECT_EQ(lines(text), 6) << text;  // both sizes of down_proj are wrong
}

TEST(Expectations, TheQuantizationConfigFitsTheTensors) {
  const std::vector<safetensors::TensorSpec> quantised = {{"a.weight_packed", Dtype::u8, {4, 16}},
                                                          {"a.weight_scale", Dtype::u8, {4, 1}},
                                                          {"b.weight", Dtype::bf16, {4, 4}}};
  const auto problems = [&](const std::string& quantization) {
    return problems_of(quantised, ("{\"quantization_config\": " + quantization + "}").c_str());
  };
  const std::string good = R"("quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized")";
  EXPECT_EQ(problems("{" + good + "}"), "");
  EXPECT_EQ(problems("{" + good + R"(, "ignore": ["b"]})"), "");
  EXPECT_TRUE(has_all(problems("{" + good + R"(, "ignore": ["re:[ab]"]})"),
                      {"config [a.weight_packed] ", "'a' among the modules left alone"}));
  EXPECT_TRUE(has_all(problems("{" + good + R"(, "ignore": ["re:("]})"), {"config [] ", "re:("}));
  const std::vector<safetensors::TensorSpec> dense = {
      quantised[0], quantised[1], {"c_proj.weight", Dtype::bf16, {4, 4}}};
  const auto problems_of_dense = [&](const std::string& list) {
    return problems_of(dense, ("{\"quantization_config\": {" + good + list + "}}").c_str());
  };
  EXPECT_TRUE(has_all(problems_of_dense(""), {"config [c_proj.weight] ", "does not list 'c_proj'"}));
  EXPECT_EQ(problems_of_dense(R"(, "ignore": ["c_proj"])"), "");
  EXPECT_TRUE(
      has_all(problems(R"({"quant_method": "mxfp4"})"), {"config [] ", "mxfp4", "compressed-tensors"}));
  EXPECT_TRUE(has_all(problems(R"({"quant_method": "compressed-tensors", "format": "int-quantized"})"),
                      {"config [] ", "int-quantized", "mxfp4-pack-quantized"}));
  EXPECT_TRUE(has_all(problems("null"), {"config [] ", "no quantization_config"}));
  EXPECT_TRUE(has_all(problems_of({{"b.weight", Dtype::bf16, {4, 4}}},
                                  R"({"quantization_config": {"quant_method": "mxfp4"}})"),
                      {"config [] ", "quantised as mxfp4, but no tensor is"}));
}

}  // namespace
}  // namespace mxfp4
