#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <set>

#include <gtest/gtest.h>

#include "mxfp4/base/file.h"
#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/container/safetensors.h"
#include "mxfp4/job/convert_job.h"
#include "mxfp4/job/convert_plan_internal.h"

namespace mxfp4::job {
namespace {

namespace fs = std::filesystem;
using Names = std::set<std::string>;
using Specs = std::vector<safetensors::TensorSpec>;

void write_random(const fs::path& path, const Specs& tensors, std::mt19937& random) {
  const safetensors::Layout layout = safetensors::layout(tensors, {});
  std::string content = layout.head;
  content.resize(layout.size);
  for (std::size_t i = layout.head.size(); i < content.size(); ++i)
    content[i] = static_cast<char>(random() & 0xFF);
  fs::create_directories(path.parent_path());
  write_file(path, content);
}

/// A model and the conventions that can hold it.
struct Model {
  const char* config;
  Names formats;
  Specs tensors;  ///< in the convention `native`, [E, N, K]

  void weight(const std::string& name, Shape shape) {
    tensors.push_back({name + ".weight", Dtype::f4, shape});
    shape.back() /= kBlockSize;
    tensors.push_back({name + ".weight_scale", Dtype::f8_e8m0, shape});
  }
  void dense(const std::string& name, const Shape& shape, Dtype dtype = Dtype::bf16) {
    tensors.push_back({name, dtype, shape});
  }
};

/// Whole numbers of 32 where a row of blocks is, any other size elsewhere.
class Sizes {
 public:
  explicit Sizes(std::mt19937& random) : random_(random) {}
  std::int64_t any(std::int64_t most) { return 1 + static_cast<std::int64_t>(random_()) % most; }
  std::int64_t blocks() { return kBlockSize * any(3); }

 private:
  std::mt19937& random_;
};

Model gpt_oss(Sizes& sizes) {
  Model model{R"({"model_type": "gpt_oss", "num_attention_heads": 2})",
              {"gpt-oss", "openai", "linear", "compressed-tensors", "quark", "modelopt", "mlx", "native"},
              {}};
  const std::int64_t experts = sizes.any(3), hidden = sizes.blocks(), inner = sizes.blocks(),
                     layers = sizes.any(3), q = sizes.any(9), kv = sizes.any(5);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    model.weight(at + "mlp.experts.gate_up_proj", {experts, 2 * inner, hidden});
    model.weight(at + "mlp.experts.down_proj", {experts, hidden, inner});
    model.dense(at + "mlp.experts.gate_up_proj_bias", {experts, 2 * inner});
    model.dense(at + "mlp.experts.down_proj_bias", {experts, hidden});
    for (const auto& [part, rows] : std::map<std::string, std::int64_t>{{"q", q}, {"k", kv}, {"v", kv}}) {
      model.dense(at + "self_attn." + part + "_proj.weight", {rows, hidden});
      model.dense(at + "self_attn." + part + "_proj.bias", {rows});
    }
    model.dense(at + "self_attn.o_proj.weight", {hidden, q});
    model.dense(at + "self_attn.sinks", {2});
    model.dense(at + "mlp.router.weight", {experts, hidden});
  }
  model.dense("model.embed_tokens.weight", {5, hidden});
  return model;
}

Model mixture(Sizes& sizes) {
  Model model{R"({"model_type": "qwen3_moe"})",
              {"linear", "compressed-tensors", "quark", "modelopt", "mlx", "native"},
              {}};
  const std::int64_t experts = sizes.any(4), hidden = sizes.blocks(), inner = sizes.blocks(),
                     layers = sizes.any(3);
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const std::string at = "model.layers." + std::to_string(layer) + ".";
    for (const char* const part : {"gate", "up"})
      model.weight(at + "mlp.experts." + part + "_proj", {experts, inner, hidden});
    model.weight(at + "mlp.experts.down_proj", {experts, hidden, inner});
    model.weight(at + "self_attn.q_proj", {sizes.any(9), hidden});
    model.dense(at + "self_attn.q_proj.bias", {3}, Dtype::f32);
    model.dense(at + "mlp.gate.weight", {experts, hidden});
  }
  model.dense("ids", {2, 3}, Dtype::i64);
  return model;
}

Model deepseek(Sizes& sizes) {
  Model model{R"({"model_type": "deepseek_v4"})",
              {"linear", "compressed-tensors", "quark", "modelopt", "mlx", "native", "deepseek-v4"},
              {}};
  const std::int64_t experts = sizes.any(3), hidden = sizes.blocks(), inner = sizes.blocks();
  for (const char* const part : {"gate", "up"})
    model.weight("layers.0.ffn.experts." + std::string(part) + "_proj", {experts, inner, hidden});
  model.weight("layers.0.ffn.experts.down_proj", {experts, hidden, inner});
  model.dense("layers.0.ffn.shared_experts.w1.weight", {inner, hidden});
  return model;
}

void convert(const fs::path& in, const fs::path& out, const std::string& format,
             const std::string& from = "") {
  ConvertRequest request;
  request.in = in;
  request.out = out;
  request.format = format;
  request.from = from;
  request.options.threads = 1;
  EXPECT_TRUE(run_convert(request).verified);
}

/// Every tensor's dtype, shape and bytes, by name.
std::map<std::string, std::string> tensors_of(const fs::path& path) {
  std::map<std::string, std::string> tensors;
  for (const TensorFilePtr& file : open_model(path).files) {
    for (const StoredTensor& tensor : file->tensors) {
      tensors[tensor.name] =
          std::string(to_string(tensor.dtype)) + to_string(tensor.shape) +
          std::string(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
    }
  }
  return tensors;
}

/// A -> B -> A is A, and A -> B -> C is A -> C, for every three conventions that can hold the model.
void expect_no_way_to_matter(const Model& model, std::mt19937& random, const std::string& seed) {
  SCOPED_TRACE(seed + ", " + model.config);
  const TestDirectory directory;
  const auto at = [&](const std::string& name) { return directory / name; };
  write_random(at("native") / "model.safetensors", model.tensors, random);
  write_file(at("native") / "config.json", model.config);
  std::map<std::string, std::map<std::string, std::string>> all;
  for (const std::string& format : model.formats) {
    if (format != "native") convert(at("native"), at(format), format);
    all[format] = tensors_of(at(format));
  }
  for (const std::string& a : model.formats) {
    for (const std::string& b : model.formats) {
      if (a == b) continue;
      const std::string way = "from " + a + " to " + b;
      convert(at(a), at("out"), b);
      EXPECT_TRUE(tensors_of(at("out")) == all[b]) << way;
      fs::remove_all(at("out"));
    }
  }
}

TEST(Convert, TheWayDoesNotMatter) {
  for (unsigned seed = 1; seed <= 2; ++seed) {
    std::mt19937 random(seed);
    Sizes sizes(random);
    for (const Model& model : {gpt_oss(sizes), mixture(sizes), deepseek(sizes)})
      expect_no_way_to_matter(model, random, "seed " + std::to_string(seed));
  }
}

/// What a conversion is refused with; nothing may be left of OUT.
std::string refusal(const Model& model, const std::string& format, ErrorCode code = ErrorCode::unsupported) {
  std::mt19937 random(1);
  const TestDirectory directory;
  write_random(directory / "in" / "model.safetensors", model.tensors, random);
  if (*model.config != 0) write_file(directory / "in" / "config.json", model.config);
  const Error error = error_of([&] { convert(directory / "in", directory / "out", format); });
  EXPECT_EQ(error.code(), code) << error.what();
  EXPECT_FALSE(fs::exists(directory / "out"));
  EXPECT_FALSE(fs::exists(directory / "out.mxfp4-partial"));
  return error.what();
}

TEST(Convert, WhatAFormatCannotHoldIsRefusedWithTheReason) {
  const auto has = [](const std::string& text, const std::string& part) {
    EXPECT_NE(text.find(part), std::string::npos) << text;
  };
  std::mt19937 random(7);
  Sizes sizes(random);
  has(refusal(gpt_oss(sizes), "deepseek-v4"), "there are no biases of experts");
  has(refusal(mixture(sizes), "deepseek-v4"), "whose experts are layers.N.ffn.experts");
  has(refusal(mixture(sizes), "gpt-oss"), "is no gpt-oss model");
  has(refusal(mixture(sizes), "native", ErrorCode::invalid_argument), "is stored as native already");
  has(refusal(mixture(sizes), "nonsense", ErrorCode::invalid_argument), "there are gpt-oss, openai");

  Model model = gpt_oss(sizes);
  model.dense("model.layers.0.more", {3});
  has(refusal(model, "openai"), "has no name for 'model.layers.0.more'");
  model = gpt_oss(sizes);
  model.weight("lm_head", {5, 64});
  has(refusal(model, "gpt-oss"), "'lm_head.weight' is MXFP4, but no weight except experts");

  model = {"{}", {}, {}};
  model.weight("model.embed_tokens", {5, 64});
  has(refusal(model, "quark"), "only matrices of Linear layers");
  model = {"{}", {}, {}};
  model.weight("a", {2, 3, 64});
  has(refusal(model, "modelopt"), "only matrices are there");
  model = {"{}", {}, {}};
  model.weight("x.experts.0.gate_proj", {3, 64});
  model.weight("x.experts.2.gate_proj", {3, 64});
  has(refusal(model, "mlx"), "'x.switch_mlp.gate_proj' cannot be made: what would stand beside");
  model = {"{}", {}, {}};
  model.weight("x.experts.0.up_proj", {3, 64});
  model.weight("x.experts.1.up_proj", {4, 64});
  has(refusal(model, "mlx"), "'x.experts.0.up_proj.weight' is MXFP4 [3, 64], but");
  model = {"{}", {}, {}};
  model.weight("x.experts.0.up_proj", {3, 64});
  model.dense("x.experts.1.up_proj.weight", {3, 64});
  has(refusal(model, "mlx"), "'x.experts.1.up_proj.weight' is BF16 [3, 64]");
  model = {"", {}, {}};
  model.weight("x.experts.gate_up_proj", {2, 4, 64});
  has(refusal(model, "compressed-tensors"), "nothing tells whether rows of gate and up take turns");
  model = {R"({"model_type": "gpt_oss"})", {}, {}};
  model.weight("model.layers.0.mlp.experts.gate_up_proj", {1, 4, 64});
  model.dense("model.layers.0.mlp.experts.down_proj", {1, 2, 64});
  has(refusal(model, "gpt-oss"), "but other experts of its layer are");
  model = {"{}", {}, {}};
  model.dense("a.weight", {4, 64});
  has(refusal(model, "mlx", ErrorCode::invalid_argument), "holds no MXFP4 weight");
}

TEST(Convert, BiasesOfGptOssBecomeBf16OnlyIfThatHoldsThem) {
  Model model{R"({"model_type": "gpt_oss"})", {}, {}};
  model.weight("model.layers.0.mlp.experts.down_proj", {2, 3, 32});
  const TestDirectory directory;
  std::mt19937 random(3);
  const auto write = [&](float value) {
    fs::remove_all(directory / "in");
    Specs tensors = model.tensors;
    tensors.push_back({"model.layers.0.mlp.experts.down_proj_bias", Dtype::f32, {2, 3}});
    write_random(directory / "in" / "model.safetensors", tensors, random);
    std::string content = read_file(directory / "in" / "model.safetensors", 1 << 20);
    const safetensors::Layout layout = safetensors::layout(tensors, {});
    for (std::size_t i = 0; i < 6; ++i) std::memcpy(content.data() + layout.offsets[2] + 4 * i, &value, 4);
    write_file(directory / "in" / "model.safetensors", content);
    write_file(directory / "in" / "config.json", model.config);
  };
  write(1.5f);
  convert(directory / "in", directory / "out", "mlx");
  EXPECT_EQ(
      open_checkpoint(directory / "out").find("model.layers.0.mlp.experts.down_proj_bias")->stored->dtype,
      Dtype::bf16);
  write(1.0f / 3);
  const Error error = error_of([&] { convert(directory / "in", directory / "out2", "mlx"); });
  EXPECT_EQ(error.code(), ErrorCode::unsupported);
  EXPECT_NE(std::string(error.what()).find("which BF16 does not hold exactly"), std::string::npos);
  EXPECT_FALSE(fs::exists(directory / "out2"));
}

TEST(Convert, WhatCannotBeToldApartIsAskedFor) {
  const TestDirectory directory;
  std::mt19937 random(5);
  write_random(directory / "in.safetensors",
               {{"a.weight", Dtype::u8, {4, 16}}, {"a.weight_scale", Dtype::u8, {4, 1}}}, random);
  const Error error =
      error_of([&] { convert(directory / "in.safetensors", directory / "out.safetensors", "linear"); });
  EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
  EXPECT_NE(std::string(error.what()).find("may be quark or modelopt"), std::string::npos);
  convert(directory / "in.safetensors", directory / "out.safetensors", "linear", "modelopt");
  EXPECT_EQ(open_checkpoint(directory / "out.safetensors").convention_name(), "linear");
}

TEST(Convert, EveryByteThatWasWrittenWrongIsNoticed) {
  const TestDirectory directory;
  std::mt19937 random(11);
  Sizes sizes(random);
  const Model model = gpt_oss(sizes);
  write_random(directory / "in" / "model.safetensors", model.tensors, random);
  write_file(directory / "in" / "config.json", model.config);
  convert(directory / "in", directory / "out", "mlx");
  ConvertSource source;
  source.checkpoint = open_checkpoint(directory / "in");
  source.pieces = pieces_of(source.checkpoint);
  check_converted(source, directory / "out", "mlx", {});
  const fs::path file = directory / "out" / "model.safetensors";
  const std::string good = read_file(file, 1 << 24);
  const std::map<std::string, const char*> kinds = {{".gate_proj.weight", "codes"},
                                                    {".up_proj.scales", "scales"},
                                                    {".down_proj.bias", "values"},
                                                    {".q_proj.weight", "values"}};
  for (const auto& [suffix, what] : kinds) {
    std::size_t at = 0;
    std::string name;
    const TensorFilePtr opened = safetensors::open(file);
    for (const StoredTensor& tensor : opened->tensors) {
      if (!tensor.name.ends_with(suffix)) continue;
      name = tensor.name;
      at = static_cast<std::size_t>(tensor.bytes.data() - opened->map.bytes().data()) + tensor.bytes.size() -
           1;
    }
    ASSERT_NE(name, "") << suffix;
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x10);
    fs::create_directories(directory / "bad");
    write_file(directory / "bad" / "model.safetensors", bad);
    fs::copy_file(directory / "out" / "config.json", directory / "bad" / "config.json");
    const Error error = error_of([&] { check_converted(source, directory / "bad", "mlx", {}); });
    EXPECT_EQ(error.code(), ErrorCode::io);
    EXPECT_NE(std::string(error.what()).find(name), std::string::npos) << error.what();
    EXPECT_NE(std::string(error.what()).find(what), std::string::npos) << error.what();
    fs::remove_all(directory / "bad");
  }
}

/// Stops once half of the bytes are read.
class StopsHalfway : public Progress {
 public:
  explicit StopsHalfway(std::atomic<bool>& stop) : stop_(stop) {}
  void advance(std::uint64_t done, std::uint64_t total) override { stop_ = stop_ || done > total / 2; }
  void warn(const std::string& message) override { ADD_FAILURE() << message; }

 private:
  std::atomic<bool>& stop_;
};

TEST(Convert, WhatWasCutShortGoesOnToTheSameBytes) {
  const TestDirectory directory;
  std::mt19937 random(13);
  Sizes sizes(random);
  const Model model = mixture(sizes);
  write_random(directory / "in" / "model.safetensors", model.tensors, random);
  write_file(directory / "in" / "config.json", model.config);
  std::atomic<bool> stop = false;
  StopsHalfway progress(stop);
  ConvertRequest request;
  request.in = directory / "in";
  request.out = directory / "out";
  request.format = "compressed-tensors";
  request.options.max_shard = 4000;
  request.options.stop = &stop;
  request.options.progress = &progress;
  EXPECT_EQ(error_of([&] { run_convert(request); }).code(), ErrorCode::interrupted);
  EXPECT_TRUE(fs::exists(directory / "out.mxfp4-partial"));
  EXPECT_FALSE(fs::exists(directory / "out"));
  const fs::path partial = directory / "out.mxfp4-partial";
  std::string first = "z";
  for (const auto& entry : fs::directory_iterator(partial)) {
    if (entry.path().extension() == ".safetensors") first = std::min(first, entry.path().filename().native());
  }
  const auto written = fs::last_write_time(partial / first);
  request.options.stop = nullptr;
  request.options.progress = nullptr;
  request.options.resume = true;
  EXPECT_TRUE(run_convert(request).verified);
  request.out = directory / "whole";
  request.options.resume = false;
  run_convert(request);
  EXPECT_TRUE(tensors_of(directory / "out") == tensors_of(directory / "whole"));
  EXPECT_EQ(fs::last_write_time(directory / "out" / first), written);
}

}  // namespace
}  // namespace mxfp4::job
