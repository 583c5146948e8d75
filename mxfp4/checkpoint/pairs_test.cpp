#include <gtest/gtest.h>

#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/pairs_internal.h"
#include "mxfp4/checkpoint/test_model_internal.h"

namespace mxfp4 {
namespace {

std::string refusal(const std::vector<safetensors::TensorSpec>& tensors,
                    const std::map<std::string, std::string>& metadata = {}) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", tensors, metadata);
  return error_of([&] { open_checkpoint(directory / "x.safetensors"); });
}

TEST(Pairs, CodesNeedTheirScales) {
  EXPECT_TRUE(has_all(refusal({{"a_blocks", Dtype::u8, {4, 1, 16}}}),
                      {"corrupt_file", "x.safetensors", "'a_blocks'", "'a_scales' are missing"}));
  EXPECT_TRUE(
      has_all(refusal({{"a.blocks", Dtype::u8, {4, 16}}}), {"corrupt_file", "'a.scales' are missing"}));
  EXPECT_TRUE(has_all(refusal({{"a.weight_packed", Dtype::u8, {4, 16}}}),
                      {"corrupt_file", "'a.weight_scale' are missing"}));
}

TEST(Pairs, ScalesNeedTheirCodes) {
  EXPECT_TRUE(
      has_all(refusal({{"a_scales", Dtype::u8, {4, 1}}}), {"corrupt_file", "'a_blocks' are missing"}));
  EXPECT_TRUE(
      has_all(refusal({{"a.scales", Dtype::u8, {4, 1}}}), {"corrupt_file", "'a.blocks' are missing"}));
  EXPECT_TRUE(has_all(refusal({{"a.weight_scale", Dtype::u8, {4, 1}}}),
                      {"corrupt_file", "'a.weight_packed' are missing"}));
}

TEST(Pairs, CodesAndScalesMayLieInDifferentShards) {
  const TestDirectory directory;
  write_tensors(directory / "x.safetensors", {{"a.weight_packed", Dtype::u8, {4, 16}}});
  write_tensors(directory / "y.safetensors", {{"a.weight_scale", Dtype::u8, {4, 1}}});
  EXPECT_EQ(open_checkpoint(directory.path()).find("a.weight")->quantized.shape, (Shape{4, 32}));
}

TEST(Pairs, BothAreBytes) {
  EXPECT_TRUE(has_all(refusal({{"a_blocks", Dtype::u8, {4, 1, 16}}, {"a_scales", Dtype::f32, {4, 1}}}),
                      {"corrupt_file", "'a_scales'", "F32", "U8"}));
  EXPECT_TRUE(has_all(refusal({{"a_blocks", Dtype::bf16, {4, 1, 16}}, {"a_scales", Dtype::u8, {4, 1}}}),
                      {"corrupt_file", "'a_blocks'", "BF16", "U8"}));
}

TEST(Pairs, ShapesMustFit) {
  const auto blocks = [](const Shape& codes, const Shape& scales) {
    return refusal({{"a_blocks", Dtype::u8, codes}, {"a_scales", Dtype::u8, scales}});
  };
  EXPECT_EQ(blocks({2, 4, 3, 16}, {2, 4, 3}), "");
  EXPECT_TRUE(has_all(blocks({2, 4, 3, 16}, {2, 4, 2}),
                      {"corrupt_file", "'a_blocks'", "[2, 4, 3, 16]", "[2, 4, 2]"}));
  EXPECT_TRUE(has_all(blocks({2, 4, 3, 8}, {2, 4, 3}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(blocks({4, 48}, {4, 3}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(blocks({16}, {}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(blocks({}, {}), {"corrupt_file"}));
  const auto bytes = [](const Shape& codes, const Shape& scales) {
    return refusal({{"a.weight_packed", Dtype::u8, codes}, {"a.weight_scale", Dtype::u8, scales}});
  };
  EXPECT_EQ(bytes({4, 48}, {4, 3}), "");
  EXPECT_TRUE(has_all(bytes({4, 40}, {4, 3}), {"corrupt_file", "'a.weight_packed'", "[4, 40]", "[4, 3]"}));
  EXPECT_TRUE(has_all(bytes({4, 48}, {5, 3}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(bytes({4, 48}, {4, 6}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(bytes({4, 3, 16}, {4, 3}), {"corrupt_file"}));
  EXPECT_TRUE(has_all(bytes({}, {}), {"corrupt_file"}));
  // Sizes that only a tensor without elements can have.
  EXPECT_TRUE(has_all(bytes({0, std::int64_t{1} << 61}, {0, std::int64_t{1} << 57}), {"corrupt_file"}));
}

TEST(Pairs, OneModelHasOneConvention) {
  EXPECT_TRUE(has_all(refusal({{"a_blocks", Dtype::u8, {4, 1, 16}},
                               {"a_scales", Dtype::u8, {4, 1}},
                               {"b.weight_packed", Dtype::u8, {4, 16}},
                               {"b.weight_scale", Dtype::u8, {4, 1}}}),
                      {"corrupt_file", "'a_blocks'", "gpt-oss", "'b.weight_packed'", "compressed-tensors"}));
  EXPECT_TRUE(has_all(refusal({{"a.blocks", Dtype::u8, {4, 1, 16}},
                               {"a.scales", Dtype::u8, {4, 1}},
                               {"b.blocks", Dtype::u8, {4, 16}},
                               {"b.scales", Dtype::u8, {4, 1}}}),
                      {"corrupt_file", "openai", "linear"}));
}

const Convention* convention_of(const std::vector<safetensors::TensorSpec>& tensors, const char* config = "",
                                const char* wanted = "", const Convention** or_else = nullptr) {
  const TestDirectory directory;
  write_tensors(directory / "model.safetensors", tensors);
  if (*config != 0) write_text(directory / "config.json", config);
  const Checkpoint checkpoint = open_checkpoint(directory.path(), wanted);
  if (or_else != nullptr) *or_else = checkpoint.or_else;
  return checkpoint.convention;
}

TEST(Pairs, DtypesTellWhatHidesUnderTheNameOfTheWeight) {
  const auto name = [](Dtype codes, const Shape& shape, const char* suffix, Dtype scales) {
    return convention_of({{"a.weight", codes, shape}, {std::string("a") + suffix, scales, {4, 2}}})->name;
  };
  EXPECT_STREQ(name(Dtype::u8, {4, 32}, ".weight_scale", Dtype::u8), "quark");
  EXPECT_STREQ(name(Dtype::u32, {4, 8}, ".scales", Dtype::u8), "mlx");
  EXPECT_STREQ(name(Dtype::i8, {4, 32}, ".scale", Dtype::f8_e8m0), "deepseek-v4");
  EXPECT_STREQ(name(Dtype::f4, {4, 64}, ".weight_scale", Dtype::f8_e8m0), "native");
}

TEST(Pairs, TheConfigTellsQuarkFromModelOpt) {
  const std::vector<safetensors::TensorSpec> tensors = {{"a.weight", Dtype::u8, {4, 16}},
                                                        {"a.weight_scale", Dtype::u8, {4, 1}}};
  const Convention* const quark = find_convention("quark");
  const Convention* const modelopt = find_convention("modelopt");
  const Convention* or_else = quark;
  const char* const says_modelopt = R"({"quantization_config": {"quant_method": "modelopt"}})";
  EXPECT_EQ(convention_of(tensors, says_modelopt, "", &or_else), modelopt);
  EXPECT_EQ(or_else, nullptr);
  EXPECT_EQ(convention_of(tensors, "", "", &or_else), quark);
  EXPECT_EQ(or_else, modelopt);
  EXPECT_EQ(convention_of(tensors, "", "modelopt", &or_else), modelopt);
  EXPECT_EQ(or_else, nullptr);
}

TEST(Pairs, HiddenCodesAndScalesNeedEachOtherToo) {
  std::vector<safetensors::TensorSpec> tensors = {{"a.weight", Dtype::u32, {4, 4}},
                                                  {"a.scales", Dtype::u8, {4, 1}}};
  const auto with = [&](const safetensors::TensorSpec& more) {
    std::vector<safetensors::TensorSpec> all = tensors;
    all.push_back(more);
    return refusal(all);
  };
  EXPECT_EQ(with({"b.weight", Dtype::bf16, {4, 4}}), "");
  EXPECT_TRUE(has_all(with({"b.weight", Dtype::u32, {4, 4}}),
                      {"corrupt_file", "'b.weight'", "'b.scales' are missing"}));
  EXPECT_TRUE(has_all(with({"b.scales", Dtype::u8, {4, 1}}),
                      {"corrupt_file", "'b.scales'", "'b.weight' are missing"}));
  EXPECT_TRUE(has_all(refusal({{"a.weight", Dtype::u32, {4, 5}}, {"a.scales", Dtype::u8, {4, 1}}}),
                      {"corrupt_file", "'a.weight'", "[4, 5]", "[4, 1]"}));
}

TEST(Pairs, ANameAloneMakesNoCodes) {
  EXPECT_EQ(refusal({{"a_blocks", Dtype::f32, {4, 1, 16}},
                     {"b_scales", Dtype::f32, {4}},
                     {"c.blocks", Dtype::i64, {4}},
                     {"d.scales", Dtype::f16, {4}}}),
            "");
}

TEST(Pairs, AWeightIsStoredOnce) {
  EXPECT_TRUE(has_all(refusal({{"a.weight_packed", Dtype::u8, {4, 16}},
                               {"a.weight_scale", Dtype::u8, {4, 1}},
                               {"a.weight", Dtype::bf16, {4, 32}}}),
                      {"corrupt_file", "'a.weight' is stored twice", "'a.weight_packed'"}));
  EXPECT_TRUE(has_all(refusal({{"m.experts.down_proj_blocks", Dtype::bf16, {2, 4, 4}},
                               {"m.experts.down_proj", Dtype::bf16, {2, 4, 4}}}),
                      {"corrupt_file", "stored twice"}));
}

TEST(Pairs, BareNamesAreAListOfNames) {
  const std::vector<safetensors::TensorSpec> tensors = {{"a.blocks", Dtype::u8, {4, 16}},
                                                        {"a.scales", Dtype::u8, {4, 1}}};
  EXPECT_EQ(refusal(tensors, {{"mxfp4.bare_names", "[]"}}), "");
  for (const char* const text : {"", "{}", "[1]", "\"a\"", "[["}) {
    EXPECT_TRUE(has_all(refusal(tensors, {{"mxfp4.bare_names", text}}), {"corrupt_file", "mxfp4.bare_names"}))
        << text;
  }
}

}  // namespace
}  // namespace mxfp4
