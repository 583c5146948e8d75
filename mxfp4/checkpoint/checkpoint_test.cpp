#include "mxfp4/checkpoint/checkpoint.h"

#include <cmath>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/codec/block.h"
#include "mxfp4/codec/nibble.h"

namespace mxfp4 {
namespace {

constexpr const char* kGptOss[] = {"gate_up_proj", "down_proj"};
constexpr const char* kOpenai[] = {"mlp1_weight", "mlp2_weight"};

std::vector<float> elements_of(const DenseView& view) {
  std::vector<float> elements(static_cast<std::size_t>(view.elements()));
  copy_rows_f32(view, 0, view.elements() / view.shape.back(), elements.data());
  return elements;
}

std::vector<float> elements_of(const StoredBlocks& blocks) {
  const Mxfp4View view = blocks.view();
  std::vector<float> elements;
  for (std::int64_t block = 0; block < view.blocks(); ++block) {
    for (std::size_t i = 0; i < kBlockSize; ++i) {
      const std::uint8_t code = nibble(view.codes + block * kBlockSize / 2, i, view.order);
      elements.push_back(static_cast<float>(decode(code, view.scales[block])));
    }
  }
  return elements;
}

void expect_same_names(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.weights.size(), b.weights.size());
  for (std::size_t i = 0; i < a.weights.size(); ++i) EXPECT_EQ(a.weights[i].name, b.weights[i].name);
}

TEST(Checkpoint, ReadsQuantisedGptOss) {
  const Checkpoint checkpoint = open_checkpoint(test_model("tiny-gpt-oss/hf-mxfp4"));
  EXPECT_EQ(checkpoint.convention_name(), "gpt-oss");
  EXPECT_TRUE(checkpoint.has_quantized);
  EXPECT_TRUE(checkpoint.gpt_oss);
  const Weight* const weight = checkpoint.find("model.layers.0.mlp.experts.gate_up_proj");
  ASSERT_NE(weight, nullptr);
  EXPECT_TRUE(weight->is_quantized());
  EXPECT_EQ(weight->module(), weight->name);
  EXPECT_EQ(weight->quantized.shape, (Shape{6, 192, 64}));
  EXPECT_EQ(weight->stored->name, weight->name + "_blocks");
  EXPECT_EQ(weight->scales->name, weight->name + "_scales");
  EXPECT_EQ(checkpoint.find("model.layers.0.mlp.experts.gate_up_proj_scales"), nullptr);
  EXPECT_FALSE(checkpoint.find("lm_head.weight")->is_quantized());
  EXPECT_EQ(checkpoint.find("lm_head.weight")->module(), "lm_head");
  EXPECT_TRUE(dense_is_transposed(checkpoint, *weight));
  EXPECT_FALSE(dense_is_transposed(checkpoint, *checkpoint.find("lm_head.weight")));
  EXPECT_FALSE(
      dense_is_transposed(checkpoint, *checkpoint.find("model.layers.0.mlp.experts.gate_up_proj_bias")));
}

TEST(Checkpoint, QuantisedAndDenseGptOssHoldTheSameElements) {
  const Checkpoint quantised = open_checkpoint(test_model("tiny-gpt-oss/hf-mxfp4"));
  const Checkpoint openai = open_checkpoint(test_model("tiny-gpt-oss/openai"));
  for (const char* const model : {"tiny-gpt-oss/bf16", "tiny-gpt-oss/bf16-as-saved"}) {
    const Checkpoint dense = open_checkpoint(test_model(model));
    EXPECT_EQ(dense.convention_name(), "gpt-oss-dense");
    EXPECT_FALSE(dense.has_quantized);
    expect_same_names(quantised, dense);
    for (int layer = 0; layer < 3; ++layer) {
      for (int i = 0; i < 2; ++i) {
        const std::string name = "model.layers." + std::to_string(layer) + ".mlp.experts." + kGptOss[i];
        const std::string old = "block." + std::to_string(layer) + ".mlp." + kOpenai[i];
        const std::vector<float> elements = elements_of(quantised.find(name)->quantized);
        EXPECT_EQ(elements, elements_of(dense.find(name)->dense)) << name;
        EXPECT_EQ(elements, elements_of(openai.find(old)->quantized)) << old;
        EXPECT_EQ(quantised.find(name)->quantized.shape, dense.find(name)->dense.shape);
        EXPECT_TRUE(dense_is_transposed(dense, *dense.find(name)));
        EXPECT_FALSE(dense_is_transposed(openai, *openai.find(old)));
      }
    }
  }
}

TEST(Checkpoint, ReadsCompressedTensors) {
  const Checkpoint quantised = open_checkpoint(test_model("tiny-llama/compressed-tensors"));
  const Checkpoint dense = open_checkpoint(test_model("tiny-llama/bf16"));
  EXPECT_EQ(quantised.convention_name(), "compressed-tensors");
  EXPECT_EQ(dense.convention_name(), "dense");
  EXPECT_EQ(dense.convention, nullptr);
  expect_same_names(quantised, dense);
  int count = 0;
  for (const Weight& weight : quantised.weights) {
    if (!weight.is_quantized()) continue;
    ++count;
    const DenseView& original = dense.find(weight.name)->dense;
    ASSERT_EQ(weight.quantized.shape, original.shape) << weight.name;
    const std::vector<float> x = elements_of(original), y = elements_of(weight.quantized);
    double signal = 0, noise = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      signal += static_cast<double>(x[i]) * static_cast<double>(x[i]);
      noise += (static_cast<double>(x[i]) - static_cast<double>(y[i])) *
               (static_cast<double>(x[i]) - static_cast<double>(y[i]));
    }
    EXPECT_GT(10 * std::log10(signal / noise), 18.0) << weight.name;
  }
  EXPECT_EQ(count, 12);
}

TEST(Checkpoint, WeightsComeInNaturalOrder) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {{"l.10.w", Dtype::f32, {1}}, {"l.2.w", Dtype::f32, {1}}});
  const Checkpoint checkpoint = open_checkpoint(directory / "x.safetensors");
  EXPECT_EQ(checkpoint.weights[0].name, "l.2.w");
  EXPECT_EQ(checkpoint.find("l.10.w"), &checkpoint.weights[1]);
  EXPECT_EQ(checkpoint.find("l.3.w"), nullptr);
}

TEST(Checkpoint, ReadsLinearOfAnyRank) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors",
                {{"a.blocks", Dtype::u8, {4, 32}},
                 {"a.scales", Dtype::u8, {4, 2}},
                 {"a.bias", Dtype::f32, {4}},
                 {"b.blocks", Dtype::u8, {2, 3, 4, 16}},
                 {"b.scales", Dtype::u8, {2, 3, 4, 1}},
                 {"c.experts.gate_up_proj.blocks", Dtype::u8, {2, 8, 16}},
                 {"c.experts.gate_up_proj.scales", Dtype::u8, {2, 8, 1}},
                 {"c.experts.gate_up_proj.bias", Dtype::bf16, {2, 8}},
                 {"d.blocks", Dtype::u8, {4, 16}},
                 {"d.scales", Dtype::u8, {4, 1}}},
                {{"mxfp4.bare_names", R"(["d", "gone"])"}});
  const Checkpoint checkpoint = open_checkpoint(directory / "x.safetensors");
  EXPECT_EQ(checkpoint.convention_name(), "linear");
  std::vector<std::string> names;
  for (const Weight& weight : checkpoint.weights) names.push_back(weight.name);
  EXPECT_EQ(names, (std::vector<std::string>{"a.bias", "a.weight", "b.weight", "c.experts.gate_up_proj",
                                             "c.experts.gate_up_proj_bias", "d"}));
  EXPECT_EQ(checkpoint.find("a.weight")->quantized.shape, (Shape{4, 64}));
  EXPECT_EQ(checkpoint.find("b.weight")->quantized.shape, (Shape{2, 3, 4, 32}));
  EXPECT_FALSE(dense_is_transposed(checkpoint, *checkpoint.find("c.experts.gate_up_proj")));
}

TEST(Checkpoint, LinearOfAGptOssModelBecomesItsDenseLayout) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {{"l.0.experts.down_proj.blocks", Dtype::u8, {2, 64, 16}},
                                                  {"l.0.experts.down_proj.scales", Dtype::u8, {2, 64, 1}},
                                                  {"l.1.experts.down_proj", Dtype::bf16, {2, 32, 64}}});
  write_text(directory / "config.json",
             R"({"model_type": "gpt_oss", "hidden_size": 64, "intermediate_size": 32})");
  const Checkpoint checkpoint = open_checkpoint(directory.path());
  EXPECT_EQ(checkpoint.convention_name(), "linear");
  EXPECT_TRUE(dense_is_transposed(checkpoint, *checkpoint.find("l.0.experts.down_proj")));
  EXPECT_EQ(checkpoint.find("l.1.experts.down_proj")->dense.shape, (Shape{2, 64, 32}));
}

TEST(Checkpoint, SubByteTensorsHaveNoDenseView) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {{"a", Dtype::f4, {4, 32}}, {"b", Dtype::f6_e2m3, {4, 32}}});
  const Checkpoint checkpoint = open_checkpoint(directory / "x.safetensors");
  for (const Weight& weight : checkpoint.weights) {
    EXPECT_EQ(weight.dense.rank(), 0);
    EXPECT_EQ(weight.dense.data, nullptr);
  }
}

TEST(Checkpoint, ABareFileDoesNotTellTheOrientationOfExperts) {
  const TestDirectory directory;
  const std::string name = "m.experts.gate_up_proj";
  write_tensors(directory / "x.safetensors",
                {{name, Dtype::bf16, {2, 32, 64}}, {"m.experts.up_proj", Dtype::bf16, {2, 32, 64}}});
  const Checkpoint as_stored = open_checkpoint(directory / "x.safetensors");
  EXPECT_EQ(as_stored.convention_name(), "dense");
  EXPECT_TRUE(as_stored.find(name)->orientation_unknown);
  EXPECT_FALSE(as_stored.find("m.experts.up_proj")->orientation_unknown);
  EXPECT_EQ(as_stored.find(name)->dense.shape, (Shape{2, 32, 64}));
  const Checkpoint asked_for = open_checkpoint(directory / "x.safetensors", "gpt-oss");
  EXPECT_EQ(asked_for.convention_name(), "gpt-oss-dense");
  EXPECT_FALSE(asked_for.find(name)->orientation_unknown);
  EXPECT_EQ(asked_for.find(name)->dense.shape, (Shape{2, 64, 32}));
}

TEST(Checkpoint, TheOriginalNamesAreNeverTransposed) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", {{"block.0.mlp.mlp1_weight", Dtype::bf16, {2, 64, 32}},
                                                  {"block.0.mlp.mlp2_weight", Dtype::bf16, {2, 32, 32}}});
  write_text(directory / "config.json", R"({"num_experts": 2, "hidden_size": 32, "intermediate_size": 32})");
  const Checkpoint checkpoint = open_checkpoint(directory.path());
  EXPECT_EQ(checkpoint.convention, find_convention("openai"));
  EXPECT_EQ(checkpoint.convention_name(), "dense");
  EXPECT_EQ(checkpoint.find("block.0.mlp.mlp1_weight")->dense.shape, (Shape{2, 64, 32}));
}

TEST(Checkpoint, TheHiddenSizeTellsHowOtherModelsStoreExperts) {
  const auto open = [](const Shape& gate_up, const Shape& down, const char* config) {
    const TestDirectory directory;
    write_tensors(directory / "model.safetensors", {{"m.experts.gate_up_proj", Dtype::bf16, gate_up},
                                                    {"m.experts.down_proj", Dtype::bf16, down}});
    write_text(directory / "config.json", config);
    return open_checkpoint(directory.path());
  };
  const auto shape = [](const Checkpoint& checkpoint, const char* name) {
    return checkpoint.find(name)->dense.shape;
  };
  const Checkpoint qwen = open({2, 96, 32}, {2, 32, 48}, R"({"hidden_size": 32})");
  EXPECT_EQ(shape(qwen, "m.experts.gate_up_proj"), (Shape{2, 96, 32}));
  EXPECT_FALSE(qwen.experts_transposed);
  const Checkpoint llama = open({2, 32, 96}, {2, 48, 32}, R"({"text_config": {"hidden_size": 32}})");
  EXPECT_EQ(shape(llama, "m.experts.gate_up_proj"), (Shape{2, 96, 32}));
  EXPECT_EQ(shape(llama, "m.experts.down_proj"), (Shape{2, 32, 48}));
  EXPECT_TRUE(llama.experts_transposed);
  // Where gate_up is square, down is not: one of them decides for both.
  const Checkpoint square = open({2, 32, 32}, {2, 16, 32}, R"({"hidden_size": 32})");
  EXPECT_TRUE(square.experts_transposed);
  EXPECT_FALSE(square.find("m.experts.gate_up_proj")->orientation_unknown);
  for (const char* const config : {"{}", R"({"hidden_size": 31})"}) {
    EXPECT_TRUE(open({2, 96, 32}, {2, 32, 48}, config).find("m.experts.down_proj")->orientation_unknown)
        << config;
  }
  // The two contradict each other.
  EXPECT_TRUE(open({2, 96, 32}, {2, 48, 32}, R"({"hidden_size": 32})")
                  .find("m.experts.down_proj")
                  ->orientation_unknown);
}

TEST(Checkpoint, Llama4StoresItsDenseExpertsTransposed) {
  for (const char* const type : {"llama4", "qwen3_moe"}) {
    const TestDirectory directory;
    write_tensors(directory / "model.safetensors", {{"m.experts.down_proj.blocks", Dtype::u8, {2, 32, 16}},
                                                    {"m.experts.down_proj.scales", Dtype::u8, {2, 32, 1}}});
    write_text(directory / "config.json",
               R"({"hidden_size": 32, "model_type": ")" + std::string(type) + "\"}");
    const Checkpoint checkpoint = open_checkpoint(directory.path());
    EXPECT_EQ(dense_is_transposed(checkpoint, checkpoint.weights[0]), std::string(type) == "llama4");
  }
}

TEST(Checkpoint, SizesOfExpertsMustFitTheConfig) {
  const auto refusal = [](const safetensors::TensorSpec& tensor) {
    const TestDirectory directory;
    write_tensors(directory / "model.safetensors", {tensor});
    write_text(
        directory / "config.json",
        R"({"model_type": "gpt_oss", "num_local_experts": 5, "hidden_size": 64, "intermediate_size": 96})");
    return error_of([&] { open_checkpoint(directory.path()); });
  };
  const std::string experts = "model.layers.0.mlp.experts.";
  EXPECT_EQ(refusal({experts + "gate_up_proj", Dtype::bf16, {5, 64, 192}}), "");
  EXPECT_EQ(refusal({experts + "down_proj", Dtype::bf16, {5, 96, 64}}), "");
  EXPECT_EQ(refusal({experts + "gate_up_proj_bias", Dtype::bf16, {5, 192}}), "");
  EXPECT_EQ(refusal({experts + "down_proj_bias", Dtype::bf16, {5, 64}}), "");
  EXPECT_TRUE(has_all(refusal({experts + "gate_up_proj", Dtype::bf16, {5, 192, 64}}),
                      {"corrupt_file", "model.safetensors", experts + "gate_up_proj'", "[5, 192, 64]",
                       "5 experts", "hidden_size 64", "intermediate_size 96"}));
  EXPECT_TRUE(has_all(refusal({experts + "gate_up_proj", Dtype::bf16, {6, 64, 192}}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(refusal({experts + "down_proj", Dtype::bf16, {5, 64, 96}}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(refusal({experts + "gate_up_proj_bias", Dtype::bf16, {5, 96}}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(refusal({experts + "down_proj_bias", Dtype::bf16, {5, 96}}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(refusal({experts + "down_proj_blocks", Dtype::bf16, {5, 64, 96}}),
                      {"corrupt_file", "_blocks'"}));
}

TEST(Checkpoint, AnExplicitConventionMustBeTheFiles) {
  EXPECT_EQ(open_checkpoint(test_model("tiny-gpt-oss/openai"), "openai").convention_name(), "openai");
  EXPECT_TRUE(has_all(error_of([] { open_checkpoint(test_model("tiny-gpt-oss/openai"), "gpt-oss"); }),
                      {"invalid_argument", "openai", "gpt-oss"}));
  EXPECT_TRUE(has_all(error_of([] { open_checkpoint(test_model("tiny-gpt-oss/openai"), "x"); }),
                      {"invalid_argument", "'x'"}));
  // A config says what the model is, whatever is asked for.
  EXPECT_EQ(open_checkpoint(test_model("tiny-llama/bf16"), "gpt-oss").convention_name(), "dense");
}

}  // namespace
}  // namespace mxfp4
