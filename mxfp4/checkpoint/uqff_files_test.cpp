#include <algorithm>
#include <cstring>
#include <tuple>

#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/checkpoint/uqff_files_internal.h"
#include "mxfp4/container/uqff.h"

namespace mxfp4 {
namespace {

namespace fs = std::filesystem;

const fs::path kNew = test_model("tiny-gpt-oss/uqff-from-description"),
               kOld = test_model("tiny-gpt-oss/uqff-0.2-from-description"),
               kOriginal = test_model("tiny-gpt-oss/hf-mxfp4");

/// A file of small tensors whose bytes are all `byte`, but for scalars of the version, which are 1.2.0.
void write_uqff(const fs::path& path, const std::vector<safetensors::TensorSpec>& tensors, char byte = 6) {
  const safetensors::Layout layout = safetensors::layout(tensors, {});
  std::string content = layout.head;
  content.resize(layout.size, byte);
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    for (std::size_t part = 0; part < 3; ++part) {
      if (tensors[i].name != uqff::kVersionNames[part]) continue;
      const std::uint32_t value = uqff::kVersion[part];
      std::memcpy(content.data() + layout.offsets[i], &value,
                  std::min<std::size_t>(sizeof value, tensors[i].bytes()));
    }
  }
  write_text(path, content);
}

std::vector<safetensors::TensorSpec> layer() {
  return {{"uqff.version.major", Dtype::u32, {}}, {"uqff.version.minor", Dtype::u32, {}},
          {"uqff.version.patch", Dtype::u32, {}}, {"a.weight", Dtype::u8, {2, 16}},
          {"a.weight.scales", Dtype::u8, {2, 1}}, {"a.weight.format", Dtype::u8, {}}};
}

void expect_experts_of_the_original(const Checkpoint& checkpoint) {
  const Checkpoint original = open_checkpoint(kOriginal);
  int compared = 0;
  for (const Weight& weight : original.weights) {
    if (!weight.is_quantized()) continue;
    const Weight* const found = checkpoint.find(weight.name);
    ASSERT_NE(found, nullptr) << weight.name;
    ASSERT_TRUE(found->is_quantized());
    EXPECT_EQ(found->quantized.shape, weight.quantized.shape);
    EXPECT_TRUE(std::ranges::equal(found->stored->bytes, weight.stored->bytes)) << weight.name;
    EXPECT_TRUE(std::ranges::equal(found->scales->bytes, weight.scales->bytes)) << weight.name;
    ASSERT_NE(checkpoint.find(weight.name + "_bias"), nullptr);
    EXPECT_EQ(checkpoint.find(weight.name + "_bias")->dense.dtype, Dtype::f32);
    ++compared;
  }
  EXPECT_EQ(compared, 6);
}

TEST(UqffFiles, AreAModel) {
  Problems problems;
  const Checkpoint checkpoint = open_checkpoint(kNew, "", &problems);
  EXPECT_TRUE(problems.empty());
  EXPECT_EQ(checkpoint.convention_name(), "uqff");
  EXPECT_TRUE(checkpoint.gpt_oss);
  EXPECT_EQ(checkpoint.files.files.size(), 3u);
  expect_experts_of_the_original(checkpoint);
  EXPECT_EQ(checkpoint.weights.size(), open_checkpoint(kOriginal).weights.size());
  EXPECT_EQ(checkpoint.files.left_behind.size(), 0u);
  EXPECT_EQ(checkpoint.files.other_files.size(), 3u);
  const Checkpoint named = open_checkpoint(kNew / "mxfp4-1.uqff");
  EXPECT_EQ(named.weights.size(), checkpoint.weights.size());
}

TEST(UqffFiles, OfBlobsAreNamedByTheirShapes) {
  const TestDirectory directory;
  fs::copy(kOld / "mxfp4-0.uqff", directory / "mxfp4-0.uqff");
  EXPECT_NE(open_checkpoint(directory.path()).find("0.weight"), nullptr);
  fs::copy(kOriginal / "config.json", directory / "config.json");
  const Checkpoint checkpoint = open_checkpoint(directory.path());
  EXPECT_EQ(checkpoint.convention_name(), "uqff");
  expect_experts_of_the_original(checkpoint);
  write_text(
      directory / "config.json",
      R"({"model_type": "gpt_oss", "hidden_size": 65, "intermediate_size": 96, "num_local_experts": 6})");
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory.path()); }),
                      {"corrupt_file", "layer '0' of shape [6, 64, 96] is neither", "hidden_size 65"}));
}

TEST(UqffFiles, TellStemsApart) {
  EXPECT_EQ(uqff_stem("q4-0.uqff"), "q4");
  EXPECT_EQ(uqff_stem("a-b-12.uqff"), "a-b");
  EXPECT_EQ(uqff_stem("model.uqff"), "model");
  EXPECT_EQ(uqff_stem("model-x.uqff"), "model-x");
  const TestDirectory directory;
  write_uqff(directory / "q-0.uqff", layer());
  write_uqff(directory / "r-0.uqff", {{"b.weight", Dtype::f32, {2, 2}}});
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory.path()); }),
                      {"invalid_argument", "holds several UQFF models: q, r"}));
  const Checkpoint checkpoint = open_checkpoint(directory / "q-0.uqff");
  ASSERT_EQ(checkpoint.weights.size(), 1u);
  EXPECT_EQ(checkpoint.weights[0].name, "a.weight");
  EXPECT_EQ(checkpoint.files.left_behind.size(), 1u);
  write_tensors(directory / "model.safetensors", {{"c", Dtype::f32, {1}}});
  EXPECT_EQ(open_checkpoint(directory.path()).weights[0].name, "c");
}

TEST(UqffFiles, MissAShard) {
  const TestDirectory directory;
  write_uqff(directory / "q-0.uqff", layer());
  write_uqff(directory / "q-2.uqff", {{"b.weight", Dtype::f32, {2, 2}}});
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory.path()); }),
                      {"corrupt_file", "shard q-1.uqff is missing"}));
}

TEST(UqffFiles, RepeatTheVersionAndNothingElse) {
  const TestDirectory directory;
  write_uqff(directory / "q-0.uqff", layer());
  write_uqff(directory / "q-1.uqff",
             {{"uqff.version.major", Dtype::u32, {}}, {"b.weight", Dtype::f32, {2, 2}}});
  EXPECT_EQ(open_checkpoint(directory.path()).weights.size(), 2u);
  write_uqff(directory / "q-1.uqff", {{"a.weight.format", Dtype::u8, {}}});
  EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory.path()); }),
                      {"corrupt_file", "'a.weight.format' stands in"}));
}

TEST(UqffFiles, AreRefusedOneRuleAtATime) {
  const TestDirectory directory;
  const auto refusal = [&](const std::function<void(std::vector<safetensors::TensorSpec>&)>& change,
                           char byte = 6) {
    std::vector<safetensors::TensorSpec> tensors = layer();
    change(tensors);
    write_uqff(directory / "q-0.uqff", tensors, byte);
    return error_of([&] { open_checkpoint(directory.path()); });
  };
  EXPECT_EQ(refusal([](auto&) {}), "");
  EXPECT_TRUE(has_all(refusal([](auto& t) { t.erase(t.begin() + 1); }),
                      {"corrupt_file", "no file says 'uqff.version.minor'"}));
  EXPECT_TRUE(has_all(refusal([](auto& t) { t[0].dtype = Dtype::u8; }),
                      {"corrupt_file", "'uqff.version.major' is U8"}));
  EXPECT_TRUE(has_all(refusal([](auto& t) { t[2].shape = {1}; }),
                      {"corrupt_file", "'uqff.version.patch' is U32 of shape [1]"}));
  EXPECT_TRUE(has_all(refusal([](auto& t) { t.erase(t.begin() + 5); }),
                      {"corrupt_file", "has no 'a.weight.format' beside it"}));
  EXPECT_TRUE(has_all(refusal([](auto& t) { t[5].shape = {1}; }),
                      {"corrupt_file", "'a.weight.format' is U8 of shape [1]"}));
  EXPECT_TRUE(has_all(refusal([](auto& t) { t.erase(t.begin() + 4); }),
                      {"corrupt_file", "'a.weight.format' has no 'a.weight.scales' beside it"}));
  EXPECT_EQ(refusal([](auto&) {}, 3), "");
  const Checkpoint other = open_checkpoint(directory.path());
  EXPECT_EQ(other.foreign, "uqff with format 3");
}

TEST(UqffFiles, OfANewerVersionAreNotRead) {
  const TestDirectory directory;
  for (const auto& [part, value, shown] : {std::tuple(0, 2, "2.2.0"), std::tuple(1, 3, "1.3.0")}) {
    const std::vector<safetensors::TensorSpec> tensors = layer();
    write_uqff(directory / "q-0.uqff", tensors);
    std::string content = read_file(directory / "q-0.uqff", 1 << 20);
    const std::uint64_t at = safetensors::layout(tensors, {}).offsets[static_cast<std::size_t>(part)];
    content[at] = static_cast<char>(value);
    write_text(directory / "q-0.uqff", content);
    EXPECT_TRUE(has_all(error_of([&] { open_checkpoint(directory.path()); }),
                        {"unsupported", shown, "only up to 1.2"}));
  }
}

}  // namespace
}  // namespace mxfp4
