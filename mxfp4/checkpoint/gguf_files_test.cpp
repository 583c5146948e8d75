#include <algorithm>
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/gguf_files_internal.h"
#include "mxfp4/checkpoint/gguf_tokenizer.h"
#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/container/gguf_layout.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

const fs::path kGolden = test_model("tiny-gpt-oss/gguf/mxfp4.gguf");

struct Given {
  gguf::TensorSpec spec;
  char byte = 0;
};

void write_gguf(const fs::path& path, const std::vector<Given>& tensors,
                const gguf::Metadata& metadata = {}) {
  std::vector<gguf::TensorSpec> specs;
  for (const Given& given : tensors) specs.push_back(given.spec);
  const gguf::Layout layout = gguf::layout(specs, metadata);
  std::string content = layout.head;
  content.resize(layout.size);
  for (std::size_t i = 0; i < tensors.size(); ++i)
    std::memset(content.data() + layout.offsets[i], tensors[i].byte, specs[i].bytes());
  write_text(path, content);
}

gguf::Metadata split(std::uint32_t number, std::uint32_t count) {
  gguf::Metadata metadata;
  if (number == 0) metadata.add("general.architecture", "qwen3").add("qwen3.block_count", 1u);
  return metadata.add("split.no", number).add("split.count", count);
}

TEST(GgufFiles, AreAModel) {
  Problems problems;
  const Checkpoint checkpoint = open_checkpoint(kGolden, "", &problems);
  EXPECT_TRUE(problems.empty()) << problems.front().message;
  EXPECT_EQ(checkpoint.convention_name(), "gguf");
  EXPECT_EQ(checkpoint.files.container, "gguf");
  EXPECT_TRUE(checkpoint.gpt_oss && checkpoint.has_quantized);
  EXPECT_EQ(checkpoint.config.layers, 3);
  EXPECT_EQ(checkpoint.files.derived().count("tokenizer.json"), 1u);
  const Weight& gate = *checkpoint.find("model.layers.1.mlp.experts.gate_proj");
  EXPECT_EQ(gate.stored->name, "blk.1.ffn_gate_exps.weight");
  EXPECT_EQ(gate.stored->type, "MXFP4");
  EXPECT_EQ(gate.stored->shape, (Shape{6, 96, 34}));
  EXPECT_EQ(gate.shape(), (Shape{6, 96, 64}));
  EXPECT_EQ(checkpoint.find("model.layers.1.mlp.experts.gate_proj_bias")->shape(), (Shape{6, 96}));
}

// Row r of gate is row 2r of gate_up.
TEST(GgufFiles, HaveTheCodesAndScalesThatTheyWereMadeFrom) {
  const Checkpoint gguf = open_checkpoint(kGolden),
                   original = open_checkpoint(test_model("tiny-gpt-oss/hf-mxfp4"));
  const auto row_of = [](const Weight& weight, std::int64_t row) {
    const auto blocks = static_cast<std::size_t>(weight.quantized.blocks_per_row());
    std::vector<std::uint8_t> codes(blocks * 16), scales(blocks);
    copy_row(weight.quantized, row, codes.data(), scales.data());
    codes.insert(codes.end(), scales.begin(), scales.end());
    return codes;
  };
  for (int layer = 0; layer < 3; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".mlp.experts.";
    const Weight &joined = *original.find(prefix + "gate_up_proj"),
                 &down = *original.find(prefix + "down_proj");
    for (std::int64_t row = 0; row < 6 * 96; ++row) {
      EXPECT_EQ(row_of(*gguf.find(prefix + "gate_proj"), row), row_of(joined, 2 * row));
      EXPECT_EQ(row_of(*gguf.find(prefix + "up_proj"), row), row_of(joined, 2 * row + 1));
    }
    for (std::int64_t row = 0; row < 6 * 64; ++row)
      EXPECT_EQ(row_of(*gguf.find(prefix + "down_proj"), row), row_of(down, row));
  }
}

TEST(GgufFiles, ShowQ8AsNumbers) {
  const Checkpoint checkpoint = open_checkpoint(test_model("tiny-gpt-oss/gguf/llama-quantize.gguf"));
  EXPECT_EQ(checkpoint.foreign, "");
  const Weight& head = *checkpoint.find("lm_head.weight");
  ASSERT_NE(head.other, nullptr);
  EXPECT_STREQ(head.other->name, "Q8_0");
  EXPECT_EQ(head.shape(), (Shape{512, 64}));
  const Checkpoint golden = open_checkpoint(kGolden);
  const Weight& original = *golden.find("lm_head.weight");
  std::vector<float> q8(512 * 64), bf16(512 * 64), part(2 * 40);
  head.other->read(0, 512, 0, 64, q8.data());
  copy_rows_f32(original.dense, 0, 512, bf16.data());
  for (std::size_t row = 0; row < 1024; ++row) {  // a block each
    float most = 0;
    for (std::size_t k = 0; k < 32; ++k) most = std::max(most, std::abs(bf16[row * 32 + k]));
    for (std::size_t k = 0; k < 32; ++k)
      EXPECT_LE(std::abs(q8[row * 32 + k] - bf16[row * 32 + k]), most / 127);
  }
  head.other->read(7, 9, 20, 60, part.data());
  for (std::size_t i = 0; i < 40; ++i) {
    EXPECT_EQ(part[i], q8[7 * 64 + 20 + i]);
    EXPECT_EQ(part[40 + i], q8[8 * 64 + 20 + i]);
  }
}

TEST(GgufFiles, WithTypesThatAreNotReadAreListed) {
  const TestDirectory directory;
  write_gguf(directory / "x.gguf", {{{"a", 12, {2, 256}}}, {{"b", gguf::kF32, {3}}}});
  const Checkpoint checkpoint = open_checkpoint(directory / "x.gguf");
  EXPECT_EQ(checkpoint.foreign, "gguf with Q4_K");
  EXPECT_EQ(checkpoint.find("a")->stored->type, "Q4_K");
  EXPECT_EQ(checkpoint.find("a")->stored->shape, (Shape{2, 144}));
}

TEST(GgufFiles, KeepLlamaCppsNamesWhereTheirMeaningIsUnknown) {
  const TestDirectory directory;
  write_gguf(directory / "x.gguf",
             {{{"blk.0.attn_q.weight", gguf::kF32, {4, 4}}}, {{"blk.0.attn_v.weight", gguf::kF32, {4, 4}}}},
             gguf::Metadata().add("general.architecture", "llama"));
  const Checkpoint llama = open_checkpoint(directory / "x.gguf");
  EXPECT_NE(llama.find("blk.0.attn_q.weight"), nullptr);
  EXPECT_NE(llama.find("model.layers.0.self_attn.v_proj.weight"), nullptr);
  write_gguf(directory / "x.gguf", {{{"blk.0.attn_v.weight", gguf::kF32, {4, 4}}}},
             gguf::Metadata().add("general.architecture", "rwkv7"));
  EXPECT_NE(open_checkpoint(directory / "x.gguf").find("blk.0.attn_v.weight"), nullptr);
  write_gguf(directory / "x.gguf",
             {{{"output.weight", gguf::kF32, {4}}}, {{"lm_head.weight", gguf::kF32, {4}}}},
             gguf::Metadata().add("general.architecture", "llama"));
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory / "x.gguf"); }),
                      {"corrupt_file", "'lm_head.weight' is stored twice"}));
}

TEST(GgufFiles, ThatWereSplitAreOneModel) {
  const TestDirectory directory;
  const auto part = [&](int number, int count = 3) {
    return directory / ("x-0000" + std::to_string(number) + "-of-0000" + std::to_string(count) + ".gguf");
  };
  write_gguf(part(1), {}, split(0, 3));
  write_gguf(part(2), {{{"blk.0.ffn_up.weight", gguf::kMxfp4, {2, 32}}, 1}}, split(1, 3));
  write_gguf(part(3),
             {{{"output_norm.weight", gguf::kF32, {5}}, 2}, {{"token_embd.weight", gguf::kF32, {9, 2}}}},
             split(2, 3));
  for (const int named : {1, 3}) {
    const Checkpoint checkpoint = open_checkpoint(part(named));
    EXPECT_EQ(checkpoint.weights.size(), 3u);
    EXPECT_EQ(checkpoint.config.model_type, "qwen3");
    EXPECT_EQ(checkpoint.config.vocabulary, 9);
    const Weight& up = *checkpoint.find("model.layers.0.mlp.up_proj.weight");
    EXPECT_EQ(checkpoint.files.file_of(*up.stored), "x-00002-of-00003.gguf");
    EXPECT_EQ(*up.quantized.codes, 1);
  }
  write_gguf(part(3), {{{"output_norm.weight", gguf::kF32, {5}}}}, split(1, 3));
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(part(1)); }),
                      {"corrupt_file", "00003-of-00003.gguf: 'split.no' is 1, not 2"}));
  write_gguf(part(3), {{{"blk.0.ffn_up.weight", gguf::kF32, {5}}}}, split(2, 3));
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(part(1)); }),
                      {"corrupt_file", "'blk.0.ffn_up.weight' stands in"}));
  fs::remove(part(3));
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(part(1)); }),
                      {"corrupt_file", "00003-of-00003.gguf: a part of the model is missing"}));
  write_gguf(directory / "y.gguf", {{{"a", gguf::kF32, {5}}}}, split(0, 3));
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory / "y.gguf"); }),
                      {"corrupt_file", "is one of 3 parts, but not called"}));
  write_gguf(directory / "y.gguf", {{{"a", gguf::kF32, {5}}}}, split(0, 100000));
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory / "y.gguf"); }),
                      {"corrupt_file", "'split.count' is 100000"}));
}

}  // namespace
}  // namespace mxfp4
