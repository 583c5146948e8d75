#include "mxfp4/job/save_job.h"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_directory_internal.h"
#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/checkpoint/checkpoint.h"
#include "mxfp4/checkpoint/convention.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::job {
namespace {

/// Weights of a shape, quantised.
Mxfp4Tensor quantized(const Shape& shape) {
  std::vector<float> x(static_cast<std::size_t>(element_count(shape)));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 13) - 6;
  return quantize(dense_view(x.data(), Dtype::f32, shape));
}

class Save : public testing::Test {
 protected:
  SaveRequest request_to(const char* name, const char* convention = "linear") const {
    SaveRequest request;
    request.out = directory_ / name;
    request.convention = convention;
    return request;
  }

  TestDirectory directory_;
};

TEST_F(Save, WritesWhatEveryConventionIsReadAs) {
  const Mxfp4Tensor weight = quantized({4, 64});
  for (const Convention& convention : conventions()) {
    if (convention.own_files) continue;
    SaveRequest request = request_to("x.safetensors", convention.name);
    const bool bare = convention.code_shape == CodeShape::blocks;
    const std::string name = bare ? "layer" : "layer.weight";
    request.tensors = {{name, {}, weight.view()}};
    request.options.overwrite = true;
    EXPECT_EQ(run_save(request).files, std::vector<std::string>{"x.safetensors"});
    const Checkpoint checkpoint = open_checkpoint(request.out, convention.name);
    ASSERT_EQ(checkpoint.weights.size(), 1u) << convention.name;
    const Weight& read = checkpoint.weights[0];
    EXPECT_EQ(read.name, name) << convention.name;
    ASSERT_TRUE(read.is_quantized());
    EXPECT_EQ(read.quantized.shape, weight.shape);
    EXPECT_EQ(std::memcmp(read.quantized.codes, weight.codes.data(), weight.codes.size()), 0);
    EXPECT_EQ(std::memcmp(read.quantized.scales, weight.scales.data(), weight.scales.size()), 0);
  }
}

TEST_F(Save, KeepsDenseTensorsOfAnyDtypeAndStrides) {
  const std::vector<std::int16_t> values = {1, 2, 3, 4, 5, 6};
  SaveRequest request = request_to("x.safetensors");
  request.tensors = {{"turned", dense_view(values.data(), Dtype::i16, {2, 3}).transposed(0, 1), {}},
                     {"scalar", dense_view(values.data(), Dtype::i16, {}), {}}};
  run_save(request);
  const Checkpoint checkpoint = open_checkpoint(request.out);
  const Weight* const turned = checkpoint.find("turned");
  ASSERT_NE(turned, nullptr);
  EXPECT_EQ(turned->stored->dtype, Dtype::i16);
  EXPECT_EQ(turned->stored->shape, (Shape{3, 2}));
  const std::int16_t expected[] = {1, 4, 2, 5, 3, 6};
  EXPECT_EQ(std::memcmp(turned->stored->bytes.data(), expected, sizeof expected), 0);
  EXPECT_EQ(checkpoint.find("scalar")->stored->shape, Shape{});
}

TEST_F(Save, TellsInTheConfigOfADirectoryWhatIsLeftAlone) {
  const Mxfp4Tensor weight = quantized({4, 64});
  const std::vector<float> dense(4 * 64);
  const DenseView view = dense_view(dense.data(), Dtype::f32, {4, 64});
  SaveRequest request = request_to("model", "compressed-tensors");
  request.config = R"({"model_type": "llama"})";
  request.tensors = {{"b.weight", view, {}}, {"a.weight", {}, weight.view()}, {"norm.weight", view, {}}};
  run_save(request);
  const ModelConfig config = open_checkpoint(request.out).config;
  EXPECT_EQ(config.model_type, "llama");
  EXPECT_EQ(config.left_alone, std::vector<std::string>{"b"});
  EXPECT_TRUE(open_checkpoint(request.out).find("a.weight")->is_quantized());
}

TEST_F(Save, HoldsDenseExpertsOfGptOssTransposed) {
  const std::vector<float> values(2 * 3 * 4);
  const DenseView view = dense_view(values.data(), Dtype::f32, {2, 3, 4});
  SaveRequest request = request_to("x.safetensors", "gpt-oss");
  request.tensors = {{"model.layers.0.mlp.experts.down_proj", view, {}}};
  run_save(request);
  const Checkpoint checkpoint = open_checkpoint(request.out, "gpt-oss");
  EXPECT_EQ(checkpoint.weights[0].stored->shape, (Shape{2, 4, 3}));
  EXPECT_EQ(checkpoint.weights[0].dense.shape, view.shape);
}

TEST_F(Save, RefusesWhatAConventionCannotHold) {
  const auto message = [&](const char* convention, const Mxfp4View& view) {
    SaveRequest request = request_to("x.safetensors", convention);
    request.tensors = {{"w", {}, view}};
    return std::string(error_of([&] { run_save(request); }).what());
  };
  const Mxfp4Tensor whole = quantized({2, 3, 32}), tail = quantized({2, 40});
  Mxfp4View small = whole.view();
  small.block_size = 16;
  EXPECT_EQ(message("linear", tail.view()), "'w': K = 40 is not a multiple of 32, and linear cannot say so");
  EXPECT_EQ(message("linear", small), "'w': blocks of 16; a file in MXFP4 has blocks of 32");
  EXPECT_EQ(message("compressed-tensors", whole.view()),
            "'w': compressed-tensors holds matrices only, not shape [2, 3, 32]");
  EXPECT_EQ(message("best", whole.view()).substr(0, 24), "no convention 'best'; th");
}

TEST_F(Save, RefusesNamesThatWouldComeBackAsOthers) {
  const Mxfp4Tensor matrix = quantized({4, 64}), stack = quantized({2, 4, 64});
  const auto save = [&](const char* convention, const std::string& name, const Mxfp4Tensor& weight) {
    SaveRequest request = request_to("x.safetensors", convention);
    request.options.overwrite = true;
    request.tensors = {{name, {}, weight.view()}};
    run_save(request);
    EXPECT_NE(open_checkpoint(request.out).find(name), nullptr) << convention << ", " << name;
  };
  const auto message = [&](const char* convention, const std::string& name) {
    return std::string(error_of([&] { save(convention, name, matrix); }).what());
  };
  EXPECT_EQ(message("gpt-oss", "a.weight"),
            "'a.weight': would be read as 'a', as gpt-oss names weights; linear keeps every name");
  EXPECT_EQ(message("mlx", "a"),
            "'a': would be read as 'a.weight', as mlx names weights; linear keeps every name");
  for (const char* const name : {"a", "a.weight"}) save("linear", name, matrix);
  save("native", "model.layers.0.mlp.experts.down_proj", stack);
}

TEST_F(Save, NeedsNoConfigForADirectory) {
  const Mxfp4Tensor stack = quantized({2, 4, 64});
  for (const Convention& convention : conventions()) {
    if (convention.own_files || convention.experts == ExpertLayout::single) continue;
    SaveRequest request = request_to(convention.name, convention.name);
    request.tensors = {{"block.0.mlp.mlp1_weight", {}, stack.view()}};
    if (convention.code_shape != CodeShape::blocks) request.tensors[0].name += ".weight";
    run_save(request);
    EXPECT_TRUE(open_checkpoint(request.out).weights.at(0).is_quantized()) << convention.name;
  }
}

}  // namespace
}  // namespace mxfp4::job
