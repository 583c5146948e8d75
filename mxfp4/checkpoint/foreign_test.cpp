#include <gtest/gtest.h>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/foreign_internal.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

using Tensors = std::vector<safetensors::TensorSpec>;

Checkpoint open(const Tensors& tensors, const char* config = nullptr) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", tensors);
  if (config == nullptr) return open_checkpoint(directory / "model.safetensors");
  write_text(directory / "config.json", config);
  return open_checkpoint(directory.path());
}

std::string foreign(const Tensors& tensors, const char* config = nullptr) {
  return open(tensors, config).foreign;
}

std::string method(const char* name) {
  return std::string(R"({"quantization_config": {"quant_method": ")") + name + "\"}}";
}

TEST(Foreign, IsListedAndRefused) {
  const Checkpoint checkpoint = open({{"a.weight", Dtype::u8, {4, 16}},
                                      {"a.weight_scale", Dtype::f8_e4m3, {4, 2}},
                                      {"b.weight", Dtype::bf16, {4}}});
  EXPECT_EQ(checkpoint.foreign, "nvfp4");
  EXPECT_EQ(checkpoint.convention_name(), "nvfp4");
  EXPECT_EQ(checkpoint.weights.size(), 3u);
  EXPECT_TRUE(
      has_all(error_of([&] { check_readable(checkpoint); }), {"unsupported", "model.safetensors", "nvfp4"}));
}

TEST(Foreign, Fp8InTilesAndNvfp4AreRead) {
  const std::vector<std::pair<const char*, Tensors>> models = {
      {"fp8",
       {{"a.weight", Dtype::f8_e4m3, {130, 40}},
        {"a.weight_scale_inv", Dtype::f32, {2, 1}},
        {"b.weight", Dtype::f8_e4m3, {4, 160}},
        {"b.scale", Dtype::f8_e8m0, {1, 2}}}},
      {"nvfp4",
       {{"a.weight_packed", Dtype::u8, {3, 16}},
        {"a.weight_scale", Dtype::f8_e4m3, {3, 2}},
        {"a.weight_global_scale", Dtype::f32, {1}}}}};
  for (const auto& [name, tensors] : models) {
    const Checkpoint checkpoint = open(tensors);
    EXPECT_EQ(checkpoint.foreign, "");
    EXPECT_EQ(checkpoint.convention_name(), name);
    EXPECT_FALSE(checkpoint.has_quantized);
    ASSERT_NE(checkpoint.find("a.weight"), nullptr);
    EXPECT_NE(checkpoint.find("a.weight")->other, nullptr);
  }
  Tensors both = models[0].second;  // and not beside what is not read
  both.push_back({"c.weight", Dtype::f8_e4m3, {4, 32}});
  both.push_back({"c.weight_scale", Dtype::f32, {1}});
  EXPECT_EQ(foreign(both), "fp8");
}

TEST(Foreign, NothingIsForeignInAPlainModel) {
  const Checkpoint checkpoint = open({{"a.weight", Dtype::bf16, {4, 32}},
                                      {"ids", Dtype::i64, {1, 4}},
                                      {"table", Dtype::u8, {2, 2}},
                                      {"codes", Dtype::f8_e4m3, {2, 2}}});
  EXPECT_EQ(checkpoint.foreign, "");
  check_readable(checkpoint);
  for (const char* const model : {"tiny-gpt-oss/bf16", "tiny-gpt-oss/hf-mxfp4", "tiny-gpt-oss/openai",
                                  "tiny-llama/bf16", "tiny-llama/compressed-tensors"}) {
    EXPECT_EQ(open_checkpoint(test_model(model)).foreign, "") << model;
  }
}

TEST(Foreign, TensorsGiveTheQuantisationAway) {
  const Shape any = {4, 16};
  // MLX's modes in words are told apart by their numbers: 8 bits, and 16 elements to a scale.
  EXPECT_EQ(foreign({{"a.weight", Dtype::u32, {4, 16}}, {"a.scales", Dtype::u8, {4, 2}}}), "mlx");
  EXPECT_EQ(foreign({{"a.weight", Dtype::u32, {4, 16}}, {"a.scales", Dtype::u8, {4, 8}}}), "mlx");
  EXPECT_EQ(
      foreign(
          {{"a.weight", Dtype::u32, any}, {"a.scales", Dtype::bf16, any}, {"a.biases", Dtype::bf16, any}}),
      "mlx");
  EXPECT_EQ(foreign({{"a.weight", Dtype::u8, any}, {"a.weight_scale", Dtype::f8_e4m3, any}}), "nvfp4");
  EXPECT_EQ(foreign({{"a.weight_packed", Dtype::u8, any}, {"a.weight_scale", Dtype::f8_e4m3, any}}), "nvfp4");
  EXPECT_EQ(foreign({{"a.weight", Dtype::f8_e4m3, any}, {"a.weight_scale_inv", Dtype::f32, any}}), "fp8");
  EXPECT_EQ(foreign({{"a.weight", Dtype::i8, any}, {"a.weight_scale", Dtype::f32, any}}), "int8");
  EXPECT_EQ(foreign({{"a.qweight", Dtype::i32, any}, {"a.scales", Dtype::f16, any}}), "gptq");
  EXPECT_EQ(foreign({{"a.weight", Dtype::u8, any}, {"a.weight.absmax", Dtype::f32, any}}), "bitsandbytes");
}

TEST(Foreign, OtherQuantisationBesideMxfp4IsToldUnlessItIsRead) {
  const Tensors experts = {{"z.w1.weight", Dtype::i8, {4, 16}}, {"z.w1.scale", Dtype::f8_e8m0, {4, 1}}};
  const auto with_fp8 = [&](const char* suffix, const Shape& scales) {
    Tensors tensors = experts;
    tensors.push_back({"a.weight", Dtype::f8_e4m3, {4, 16}});
    tensors.push_back({std::string("a") + suffix, Dtype::f8_e8m0, scales});
    return foreign(tensors, method("fp8").c_str());
  };
  EXPECT_EQ(foreign(experts), "");
  EXPECT_EQ(with_fp8(".scale", {1, 1}), "");
  EXPECT_EQ(with_fp8(".scale", {4, 1}), "fp8");  // not one for 128 x 128
  EXPECT_EQ(with_fp8(".weight_scale", {1, 1}), "fp8");
}

TEST(Foreign, TheConfigTellsTheWriter) {
  const Tensors packed = {{"a.weight_packed", Dtype::i32, {4, 16}}, {"a.weight_scale", Dtype::bf16, {4, 1}}};
  EXPECT_EQ(foreign(packed, R"({"quantization_config": {"quant_method": "compressed-tensors",
                                                        "format": "pack-quantized"}})"),
            "pack-quantized");
  EXPECT_EQ(
      foreign({{"a.qweight", Dtype::i32, {4, 16}}, {"a.scales", Dtype::f16, {4, 1}}}, method("awq").c_str()),
      "awq");
}

TEST(Foreign, AMethodCountsOnlyWithPackedTensors) {
  EXPECT_EQ(foreign({{"a.weight", Dtype::u8, {4, 16}}}, method("hqq").c_str()), "hqq");
  EXPECT_EQ(foreign({{"a.weight", Dtype::bf16, {4, 32}}, {"ids", Dtype::i64, {4, 4}}}, method("hqq").c_str()),
            "");
  EXPECT_EQ(foreign({{"a.weight", Dtype::bf16, {4, 32}}}, method("mxfp4").c_str()), "");
}

}  // namespace
}  // namespace mxfp4
