// What transformers computes with the experts and routers of four model families: tests/data/models.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "mxfp4/base/file.h"
#include "mxfp4/layer/mlp.h"
#include "mxfp4/layer/test_golden_internal.h"

namespace mxfp4 {
namespace {

using Json = nlohmann::json;
using test::distance;

const std::string kData = MXFP4_TEST_DATA "/models/routers/";

Json cases() {
  const MappedFile file(kData + "cases.json");
  const std::span<const std::byte> bytes = file.bytes();
  return Json::parse(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

/// Routers and experts of one case.
class Block : public test::GoldenFile {
 public:
  Block(const std::string& name, const Json& settings)
      : GoldenFile(kData + name + ".safetensors"), name_(name), settings_(settings) {}

  RouterOptions router_options() const {
    RouterOptions options;
    options.top_k = settings_.at("top_k");
    options.factor = settings_.value("factor", 1.0f);
    options.renormalize = settings_.value("renormalize", true);
    options.groups = settings_.value("groups", 1);
    options.top_groups = settings_.value("top_groups", 1);
    if (name_.starts_with("deepseek_v3")) options.score = RouterScore::sigmoid;
    if (name_.starts_with("deepseek_v4")) options.score = RouterScore::sqrt_softplus;
    if (has("correction_bias")) options.correction = floats("correction_bias");
    return options;
  }
  ExpertWeights weights() const {
    const std::int64_t rows = settings_.at("intermediate");
    const ExpertMatrices both = stacked(quantized("gate_up_proj"));
    ExpertWeights w;
    w.gate = rows_of_each(both, 0, rows);
    w.up = rows_of_each(both, rows, rows);
    w.down = stacked(quantized("down_proj"));
    w.unit = {settings_.contains("limit") ? GatedUnit::silu(settings_.at("limit").get<float>())
                                          : GatedUnit::silu()};
    return w;
  }

 private:
  Mxfp4View quantized(const std::string& name) const {
    const StoredTensor& codes = *find(name + ".blocks");
    return {reinterpret_cast<const std::uint8_t*>(codes.bytes.data()),
            reinterpret_cast<const std::uint8_t*>(find(name + ".scales")->bytes.data()),
            {codes.shape[0], codes.shape[1], codes.shape[2] * 32}};
  }

  std::string name_;
  Json settings_;
};

/// The same experts with the same weights, in whatever order of the slots.
void expect_same_routes(std::vector<std::int32_t> ids, std::vector<float> weights,
                        const std::vector<std::int32_t>& expected_ids,
                        const std::vector<float>& expected_weights, std::size_t top_k,
                        const std::string& name) {
  for (std::size_t t = 0; t < ids.size() / top_k; ++t) {
    for (std::size_t s = t * top_k; s < (t + 1) * top_k; ++s) {
      const auto end = expected_ids.begin() + static_cast<std::ptrdiff_t>((t + 1) * top_k);
      const auto found =
          std::find(expected_ids.begin() + static_cast<std::ptrdiff_t>(t * top_k), end, ids[s]);
      ASSERT_NE(found, end) << name << ", token " << t << ", expert " << ids[s];
      EXPECT_NEAR(weights[s], expected_weights[static_cast<std::size_t>(found - expected_ids.begin())],
                  2e-6 * std::fabs(weights[s]))
          << name << ", token " << t;
    }
  }
}

TEST(GoldenExperts, RoutersChooseWhatTransformersChooses) {
  const Json all = cases();
  for (const auto& [name, settings] : all.items()) {
    const Block block(name, settings);
    const RouterOptions options = block.router_options();
    const Router router(block.view("router.weight"), {}, options);
    const DenseView x = block.view("x");
    const auto top_k = static_cast<std::size_t>(options.top_k);
    std::vector<std::int32_t> ids(static_cast<std::size_t>(x.shape[0]) * top_k);
    std::vector<float> weights(ids.size());
    router.forward(x, {ids.data(), weights.data()});
    expect_same_routes(ids, weights, block.ids("router_indices"), block.floats("router_weights"), top_k,
                       name);
    if (!block.has("hash.table")) continue;
    const std::vector<std::int32_t> table = block.ids("hash.table"), tokens = block.ids("hash.token_ids");
    for (std::size_t i = 0; i < ids.size(); ++i) {
      ids[i] = table[static_cast<std::size_t>(tokens[i / top_k]) * top_k + i % top_k];
    }
    router.weigh(x, {ids.data(), weights.data()});
    expect_same_routes(ids, weights, block.ids("hash.router_indices"), block.floats("hash.router_weights"),
                       top_k, name + ", by table");
  }
}

TEST(GoldenExperts, ExpertsComputeWhatTransformersComputesInDouble) {
  const Json all = cases();
  for (const auto& [name, settings] : all.items()) {
    const Block block(name, settings);
    for (const bool pack : {true, false}) {
      const Experts experts(block.weights(), {.pack = pack});
      const DenseView x = block.view("x");
      std::vector<float> y(static_cast<std::size_t>(x.elements()));
      const std::vector<std::int32_t> ids = block.ids("router_indices");
      const std::vector<float> weights = block.floats("router_weights");
      const ExpertChoice choice{ids.data(), weights.data(), settings.at("top_k")};
      experts.forward(x, choice, Dtype::f32, y.data());
      // transformers' own run in f32 lies 2 to 3e-7 from f64.
      EXPECT_LE(distance(y, block.floats("experts_output")), 1e-6) << name;
      experts.forward(x, choice, Dtype::f32, y.data(), {Activation::int8});
      EXPECT_LE(distance(y, block.floats("experts_output")), 2e-2) << name;
    }
    if (block.has("correction_bias")) continue;  // whose choice in f32 may differ
    const Mlp mlp(Router(block.view("router.weight"), {}, block.router_options()), Experts(block.weights()));
    const DenseView x = block.view("x");
    std::vector<float> y(static_cast<std::size_t>(x.elements()));
    mlp.forward(x, Dtype::f32, y.data());
    EXPECT_LE(distance(y, block.floats("experts_output")), 1e-6) << name;
  }
}

}  // namespace
}  // namespace mxfp4
