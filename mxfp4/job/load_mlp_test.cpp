#include "mxfp4/job/load_mlp.h"

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/job/quantize_job.h"
#include "mxfp4/layer/expert_linear.h"
#include "mxfp4/layer/test_golden_internal.h"

namespace mxfp4::job {
namespace {

using test::distance;

const std::string kModels = MXFP4_TEST_DATA "/models/";

/// What transformers computed in the MLPs of tiny-gpt-oss.
struct Expected : test::GoldenFile {
  Expected() : GoldenFile(kModels + "tiny-gpt-oss/experts.safetensors") {}
};

std::vector<float> forward(const Experts& experts, const DenseView& x, const std::vector<std::int32_t>& ids,
                           const std::vector<float>& weights, Activation activation = Activation::exact) {
  std::vector<float> y(static_cast<std::size_t>(x.elements()));
  const auto top_k = static_cast<int>(static_cast<std::int64_t>(ids.size()) / x.shape[0]);
  experts.forward(x, {ids.data(), weights.data(), top_k}, Dtype::f32, y.data(), {activation});
  return y;
}

TEST(LoadMlp, ComputesWhatTransformersComputes) {
  const Expected expected;
  for (const char* const model : {"hf-mxfp4", "openai", "gguf/mxfp4.gguf"}) {
    const Checkpoint checkpoint = open_checkpoint(kModels + "tiny-gpt-oss/" + model);
    for (std::int64_t layer = 0; layer < 3; ++layer) {
      const std::string name = fmt::format("f32.padded.layers.{}.", layer);
      const Mlp mlp = load_mlp(checkpoint, layer);
      const DenseView x = expected.view(name + "mlp_input");
      std::vector<float> y(static_cast<std::size_t>(x.elements())), logits(36 * 6);
      mlp.router().logits(x, logits.data());
      EXPECT_LE(distance(logits, expected.floats(name + "router_logits")), 1e-6);
      std::vector<std::int32_t> ids(36 * 4);
      std::vector<float> weights(36 * 4);
      mlp.router().forward(x, {ids.data(), weights.data()});
      EXPECT_EQ(ids, expected.ids(name + "router_indices"));
      EXPECT_LE(distance(weights, expected.floats(name + "router_weights")), 1e-6);
      mlp.forward(x, Dtype::f32, y.data());
      EXPECT_LE(distance(y, expected.floats(name + "mlp_output")), 2e-6) << model << ", layer " << layer;
      mlp.forward(x, Dtype::f32, y.data(), {Activation::int8});
      EXPECT_LE(distance(y, expected.floats(name + "mlp_output")), 2e-2) << model << ", layer " << layer;
    }
  }
}

// The inputs of its run in bf16, computed in double.
TEST(LoadMlp, IsNearerToExactThanBf16) {
  const Expected expected;
  const Checkpoint checkpoint = open_checkpoint(kModels + "tiny-gpt-oss/hf-mxfp4");
  for (std::int64_t layer = 0; layer < 3; ++layer) {
    const std::string name = fmt::format("bf16.padded.layers.{}.", layer);
    const std::vector<float> exact =
        expected.floats(fmt::format("exact.padded.layers.{}.experts_output", layer));
    const std::vector<float> y =
        forward(load_experts(checkpoint, layer), expected.view(name + "mlp_input"),
                expected.ids(name + "router_indices"), expected.floats(name + "router_weights"));
    EXPECT_LE(distance(y, exact), 2e-6);
    EXPECT_GE(distance(expected.floats(name + "experts_output"), exact), 1e-3);
  }
}

TEST(LoadMlp, ComputesLayerZeroInPieces) {
  const Expected expected;
  const Checkpoint checkpoint = open_checkpoint(kModels + "tiny-gpt-oss/hf-mxfp4");
  const std::string path = "model.layers.0.mlp.experts.";
  const auto matrices = [&](const std::string& name) {
    return stacked(checkpoint.find(path + name)->quantized.view(),
                   checkpoint.find(path + name + "_bias")->dense);
  };
  for (const bool pack : {true, false}) {
    const ExpertLinear gate_up(matrices("gate_up_proj"), {.pack = pack}),
        down(matrices("down_proj"), {.pack = pack});
    const std::vector<std::int32_t> ids = expected.ids("layer0.indices");
    std::vector<float> y(11 * 4 * 192), z(11 * 4 * 64);
    gate_up.gather(expected.view("layer0.x"), ids.data(), 4, Dtype::f32, y.data());
    EXPECT_LE(distance(y, expected.floats("layer0.gate_up")), 1e-6);
    down.gather(expected.view("layer0.activated"), ids.data(), 4, Dtype::f32, z.data());
    EXPECT_LE(distance(z, expected.floats("layer0.down")), 1e-6);
  }
  const std::vector<float> weights = expected.floats("layer0.weights");
  EXPECT_LE(distance(forward(load_experts(checkpoint, 0), expected.view("layer0.x"),
                             expected.ids("layer0.indices"), weights),
                     expected.floats("layer0.output")),
            2e-6);
  ExpertWeights other;
  other.gate_up = matrices("gate_up_proj");
  other.down = matrices("down_proj");
  other.unit = {GatedUnit::swiglu_oai(1.25f, 2.5f)};
  EXPECT_LE(distance(forward(Experts(other), expected.view("layer0-other-swiglu.x"),
                             expected.ids("layer0-other-swiglu.indices"),
                             expected.floats("layer0-other-swiglu.weights")),
                     expected.floats("layer0-other-swiglu.output")),
            2e-6);
}

// Experts that are listed one by one, gate and up apart.
TEST(LoadMlp, ReadsEveryConvention) {
  const TestDirectory directory;
  QuantizeRequest request;
  request.in = kModels + "tiny-gpt-oss/bf16";
  request.out = directory / "listed";
  request.format = "compressed-tensors";
  request.reference = kModels + "tiny-gpt-oss/hf-mxfp4";
  run_quantize(request);
  const Expected expected;
  const std::string name = "f32.padded.layers.1.";
  const Mlp mlp = load_mlp(open_checkpoint(directory / "listed"), 1);
  const DenseView x = expected.view(name + "mlp_input");
  std::vector<float> y(static_cast<std::size_t>(x.elements()));
  mlp.forward(x, Dtype::f32, y.data());
  EXPECT_LE(distance(y, expected.floats(name + "mlp_output")), 2e-6);
}

TEST(LoadMlp, NamesWhatItCannotLoad) {
  const std::string dense = kModels + "tiny-gpt-oss/bf16", llama = kModels + "tiny-llama/compressed-tensors";
  const Checkpoint good = open_checkpoint(kModels + "tiny-gpt-oss/hf-mxfp4");
  const auto message = [](const Checkpoint& checkpoint, std::int64_t layer) {
    return std::string(error_of([&] { load_mlp(checkpoint, layer); }).what());
  };
  EXPECT_EQ(message(good, 3), good.files.path.string() + ": layer 3 has no router");
  EXPECT_EQ(message(open_checkpoint(llama), 0), llama + ": layer 0 has no router");
  EXPECT_EQ(message(open_checkpoint(dense), 0),
            dense + ": 'model.layers.0.mlp.experts.gate_up_proj' is BF16, not MXFP4");
  const std::string gguf = kModels + "tiny-gpt-oss/gguf/mxfp4.gguf";
  const Checkpoint in_turns = open_checkpoint(gguf);
  EXPECT_EQ(error_of([&] { load_mlp(in_turns, 0, {.pack = false}); }).what(),
            gguf +
                ": 'model.layers.0.mlp.experts.gate_proj' cannot be used where it lies, codes and scales in "
                "turns; a layer that packs it copies them");
}

}  // namespace
}  // namespace mxfp4::job
