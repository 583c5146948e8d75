// Layers with an expert that all tokens share, and with experts by token id: tests/data/models.
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/job/load_mlp.h"
#include "mxfp4/job/quantize_job.h"
#include "mxfp4/layer/test_golden_internal.h"

namespace mxfp4::job {
namespace {

using test::distance;

const std::string kModels = MXFP4_TEST_DATA "/models/";
const std::string kDeepSeekV4 = kModels + "tiny-deepseek-v4/deepseek-v4";

std::vector<float> forward(const Mlp& mlp, const DenseView& x, Activation activation = Activation::exact,
                           const std::vector<std::int32_t>& token_ids = {}) {
  std::vector<float> y(static_cast<std::size_t>(x.elements()));
  mlp.forward(x, Dtype::f32, y.data(), {activation, 2}, token_ids);
  return y;
}

/// A model whose weights lie on the grid of MXFP4: quantised, they are what they were.
Mlp quantised(const std::string& name, const std::string& kept) {
  const TestDirectory directory;
  QuantizeRequest request;
  request.in = kModels + "shared-experts/" + name;
  request.out = directory / "quantised";
  if (!kept.empty()) request.exclude = {kept};
  run_quantize(request);
  return load_mlp(open_checkpoint(request.out), 0);
}

TEST(LoadMlp, ComputesSharedExpertsAsTransformersDoes) {
  for (const std::string name : {"deepseek_v3", "qwen2_moe"}) {
    const test::GoldenFile expected(kModels + "shared-experts/" + name + ".safetensors");
    const std::vector<float> y = expected.floats("output");
    const DenseView x = expected.view("x");
    // In MXFP4, in BF16, and in both.
    for (const char* const kept : {"", "*.shared_expert*", "*.shared_expert*.down_proj.weight"}) {
      const Mlp mlp = quantised(name, kept);
      EXPECT_LE(distance(forward(mlp, x), y), 1e-6) << name << kept;
      EXPECT_LE(distance(forward(mlp, x, Activation::int8), y), 2e-2) << name << kept;
    }
  }
}

TEST(LoadMlp, FindsExpertsByTokenIdAsTransformersDoes) {
  const test::GoldenFile expected(kModels + "tiny-deepseek-v4/mlps.safetensors");
  const Checkpoint checkpoint = open_checkpoint(kDeepSeekV4);  // shared experts in FP8
  for (std::int64_t layer = 0; layer < 2; ++layer) {
    for (const bool pack : {true, false}) {
      const Mlp mlp = load_mlp(checkpoint, layer, {.pack = pack});
      EXPECT_EQ(mlp.needs_token_ids(), layer == 0);
      const std::string name = fmt::format("layers.{}.", layer);
      const std::vector<float> y =
          forward(mlp, expected.view(name + "x"), Activation::exact, expected.ids("token_ids"));
      EXPECT_LE(distance(y, expected.floats(name + "output")), 1e-6) << layer;
    }
  }
  EXPECT_EQ(error_of([&] { load_router(checkpoint, 0); }),
            "unsupported: " + kDeepSeekV4 +
                ": 'layers.0.ffn.gate.tid2eid': a router that looks experts up by token ids");
}

/// A copy of a golden model without, or with other, tensors.
std::string error_with(const std::string& model, const std::string& name, const char* other) {
  const TestDirectory directory;
  const auto file = safetensors::open(model + "/model.safetensors");
  std::vector<safetensors::TensorSpec> tensors;
  for (const StoredTensor& tensor : file->tensors) {
    const bool named = tensor.name.find(name) != std::string::npos;
    if (named && other == nullptr) continue;
    tensors.push_back({tensor.name, tensor.dtype, tensor.shape});
    if (named) tensors.back() = {tensor.name, Dtype::i32, {3, 5}};
  }
  write_tensors(directory / "model.safetensors", tensors);
  std::filesystem::copy_file(model + "/config.json", directory / "config.json");
  std::string message = error_of([&] { load_mlp(open_checkpoint(directory.path()), 0); });
  const std::size_t place = message.find(directory.path().string());
  return place == std::string::npos ? message : message.erase(place, directory.path().string().size() + 2);
}

TEST(LoadMlp, NamesWhatSharedExpertsLack) {
  EXPECT_EQ(error_with(kDeepSeekV4, "0.ffn.shared_experts.w1.", nullptr),
            "invalid_argument: there is no weight 'layers.0.ffn.shared_experts.w1.weight'");
  EXPECT_EQ(error_with(kDeepSeekV4, "0.ffn.shared_experts.", nullptr),
            "corrupt_file: config.json has shared experts, 'layers.0.ffn.' has none");
  EXPECT_EQ(error_with(kDeepSeekV4, "0.ffn.gate.tid2eid", "other"),
            "unsupported: 'layers.0.ffn.gate.tid2eid' is I32 [3, 5]; I32 or I64 [V, 2] can be");
}

}  // namespace
}  // namespace mxfp4::job
