// Checkpoints that list their experts one by one, with something missing or of another shape.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/job/load_mlp.h"
#include "mxfp4/job/test_resident_internal.h"

namespace mxfp4::job {
namespace {

/// A layer of Mixtral with experts one by one: weights of zeros, as `change` leaves them.
class Listed {
 public:
  explicit Listed(const std::function<void(std::vector<safetensors::TensorSpec>&)>& change,
                  const char* config = R"("num_local_experts": 4, "num_experts_per_tok": 2)",
                  std::int64_t hidden = 64, std::int64_t inner = 32) {
    std::vector<safetensors::TensorSpec> tensors = {{kPrefix + "gate.weight", Dtype::bf16, {4, hidden}}};
    for (int expert = 0; expert < 4; ++expert) {
      for (const auto& [name, rows, columns] :
           {std::tuple{"w1", inner, hidden}, {"w2", hidden, inner}, {"w3", inner, hidden}}) {
        const std::string path = fmt::format("{}experts.{}.{}", kPrefix, expert, name);
        tensors.push_back({path + ".weight_packed", Dtype::u8, {rows, columns / 2}});
        tensors.push_back({path + ".weight_scale", Dtype::u8, {rows, columns / 32}});
        tensors.push_back({path + ".bias", Dtype::bf16, {rows}});
      }
    }
    change(tensors);
    write_tensors(directory_ / "model.safetensors", tensors);
    write_text(directory_ / "config.json",
               fmt::format(R"({{"model_type": "mixtral", {}, "quantization_config": {{
                   "quant_method": "compressed-tensors", "format": "mxfp4-pack-quantized"}}}})",
                           config));
  }
  /// What is thrown, without the path.
  std::string error() const {
    const std::string path = directory_.path().string() + ": ";
    std::string message = mxfp4::error_of([&] { load_mlp(open_checkpoint(directory_.path()), 0); });
    const std::size_t place = message.find(path);
    return place == std::string::npos ? message : message.erase(place, path.size());
  }

  Checkpoint checkpoint() const { return open_checkpoint(directory_.path()); }

  static inline const std::string kPrefix = "model.layers.0.block_sparse_moe.";

 private:
  TestDirectory directory_;
};

TEST(LoadMlp, NamesWhatListedExpertsLack) {
  using Tensors = std::vector<safetensors::TensorSpec>;
  const auto without = [](const std::string& name) {
    return [name](Tensors& tensors) {
      const auto named = [&](const safetensors::TensorSpec& t) {
        return t.name.starts_with(Listed::kPrefix + name);
      };
      tensors.erase(std::remove_if(tensors.begin(), tensors.end(), named), tensors.end());
    };
  };
  const auto shaped = [](const std::string& name, const Shape& shape) {
    return [=](Tensors& tensors) {
      for (safetensors::TensorSpec& t : tensors) {
        if (t.name == Listed::kPrefix + name) t.shape = shape;
      }
    };
  };
  const auto nothing = [](Tensors&) {};
  EXPECT_EQ(Listed(nothing).error(), "");
  const std::string in = "'model.layers.0.block_sparse_moe.";
  EXPECT_EQ(Listed(without("experts.3.")).error(),
            "invalid_argument: there is no weight " + in + "experts.3.w1.weight'");
  EXPECT_EQ(Listed(without("experts.1.w2.weight")).error(),
            "invalid_argument: there is no weight " + in + "experts.1.w2.weight'");
  EXPECT_EQ(Listed(nothing, R"("num_local_experts": 3, "num_experts_per_tok": 2)").error(),
            "corrupt_file: " + in + "experts.3.w1.weight' is one more than the 3 experts of the config");
  EXPECT_EQ(Listed(without("experts.2.w3.bias")).error(),
            "corrupt_file: of " + in + "experts.0.w3' and " + in + "experts.2.w3' only one has a bias");
  EXPECT_EQ(Listed(without("experts.0.w3.bias")).error(),
            "corrupt_file: of " + in + "experts.0.w3' and " + in + "experts.1.w3' only one has a bias");
  // Two wrong sizes that add up.
  EXPECT_EQ(Listed([&](Tensors& tensors) {
              shaped("experts.0.w1.bias", {31})(tensors);
              shaped("experts.1.w1.bias", {33})(tensors);
            }).error(),
            "unsupported: " + in + "experts.0.w1.bias' is BF16 [31]; F32, BF16 or F16 [32] can be");
  EXPECT_EQ(Listed(shaped("experts.3.w1.bias", {32, 1})).error(),
            "unsupported: " + in + "experts.3.w1.bias' is BF16 [32, 1]; F32, BF16 or F16 [32] can be");
  EXPECT_EQ(Listed(shaped("gate.weight", {5, 64})).error(),
            "invalid_argument: mlp: a router of shape [5, 64] for 4 experts of hidden size 64");
  EXPECT_EQ(Listed(nothing, R"("num_local_experts": 4, "num_experts_per_tok": 5)").error(),
            "invalid_argument: router: top_k is 5, of 4 experts");
  EXPECT_EQ(Listed([](Tensors& tensors) { tensors[0].dtype = Dtype::i32; }).error(),
            "unsupported: " + in + "gate.weight' is I32; F32, BF16 and F16 can be");
}

TEST(LoadMlp, HoldsNoMoreThanThePackedWeights) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory counts as the program's";
#endif
  const Listed model([](auto&) {}, R"("num_local_experts": 4, "num_experts_per_tok": 2)", 2048, 1024);
  const Checkpoint checkpoint = model.checkpoint();  // 13.4 MB
  const ResidentGrowth growth;
  std::uint64_t most = 0;
  LayerOptions options;
  options.context.threads = 1;
  options.done_with = [&](std::span<const std::uint8_t>) { most = std::max(most, growth.bytes()); };
  const Experts experts = load_experts(checkpoint, 0, options);
  EXPECT_GT(most, experts.memory() * 8 / 10);
  EXPECT_LE(most, experts.memory() * 12 / 10);
}

}  // namespace
}  // namespace mxfp4::job
