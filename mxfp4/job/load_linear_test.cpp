#include "mxfp4/job/load_linear.h"

#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/lost_pages.h"
#include "mxfp4/base/memory.h"
#include "mxfp4/checkpoint/test_model_internal.h"
#include "mxfp4/job/test_resident_internal.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::job {
namespace {

std::vector<float> forward(const Linear& layer, const std::vector<float>& x) {
  std::vector<float> y(static_cast<std::size_t>(layer.rows()));
  layer.forward(dense_view(x.data(), Dtype::f32, {layer.columns()}), Dtype::f32, y.data());
  return y;
}

/// What a model quantised by compressed-tensors gives for a vector of ones, from its dequantised weights and
/// its biases.
TEST(LoadLinear, MultipliesWithAWeightOfAModel) {
  const Checkpoint checkpoint =
      open_checkpoint(std::filesystem::path(MXFP4_TEST_DATA) / "models/tiny-llama/compressed-tensors");
  std::size_t layers = 0, biases = 0;
  for (const Weight& weight : checkpoint.weights) {
    if (!weight.is_quantized()) continue;
    ++layers;
    const Linear layer = load_linear(checkpoint, weight.module());
    const auto rows = static_cast<std::size_t>(layer.rows()),
               columns = static_cast<std::size_t>(layer.columns());
    std::vector<float> w(rows * columns);
    dequantize(weight.quantized.view(), Dtype::f32, w.data());
    std::vector<float> bias(rows);
    if (const Weight* const given = checkpoint.find(std::string(weight.module()) + ".bias")) {
      ++biases;
      copy_rows_f32(given->dense, 0, 1, bias.data());
    }
    const std::vector<float> y = forward(layer, std::vector<float>(columns, 1.0f));
    for (std::size_t n = 0; n < rows; ++n) {
      double sum = static_cast<double>(bias[n]), magnitude = 0;
      for (std::size_t k = 0; k < columns; ++k) {
        sum += static_cast<double>(w[n * columns + k]);
        magnitude += std::fabs(static_cast<double>(w[n * columns + k]));
      }
      EXPECT_NEAR(y[n], sum, magnitude * 0x1p-13) << weight.name << " row " << n;
    }
  }
  EXPECT_GT(layers, biases);
  EXPECT_GT(biases, 0u);
}

/// A matrix of zeros and its bias, in the convention `linear`.
std::filesystem::path write_model(const TestDirectory& directory, std::int64_t rows, std::int64_t columns) {
  const std::filesystem::path path = directory / "model.safetensors";
  write_tensors(path, {{"a.blocks", Dtype::u8, {rows, columns / 2}},
                       {"a.scales", Dtype::u8, {rows, columns / 32}},
                       {"a.bias", Dtype::bf16, {rows}},
                       {"e.blocks", Dtype::u8, {2, 32, 16}},
                       {"e.scales", Dtype::u8, {2, 32, 1}},
                       {"b.weight", Dtype::bf16, {32, 32}},
                       {"column.blocks", Dtype::u8, {rows, 16}},
                       {"column.scales", Dtype::u8, {rows, 1}},
                       {"column.bias", Dtype::f32, {rows, 1}},
                       {"integers.blocks", Dtype::u8, {rows, 16}},
                       {"integers.scales", Dtype::u8, {rows, 1}},
                       {"integers.bias", Dtype::i32, {rows}}});
  return path;
}

TEST(LoadLinear, TakesTheBias) {
  const TestDirectory directory;
  const std::filesystem::path path = write_model(directory, 64, 64);
  const Checkpoint checkpoint = open_checkpoint(path);
  const std::span<const std::byte> bias = checkpoint.find("a.bias")->stored->bytes;
  const auto offset = bias.data() - checkpoint.files.files[0]->map.bytes().data();
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(offset + 3 * 2);
  file.write("\x80\x3f", 2);  // 1 as bf16
  file.close();
  std::vector<float> expected(64);
  expected[3] = 1;
  for (const char* name : {"a", "a.weight"}) {
    EXPECT_EQ(forward(load_linear(open_checkpoint(path), name), std::vector<float>(64, 1.0f)), expected);
  }
}

TEST(LoadLinear, HoldsNoMoreThanThePackedWeight) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer's own memory counts as the program's";
#endif
  const TestDirectory directory;
  const Checkpoint checkpoint = open_checkpoint(write_model(directory, 1 << 14, 1 << 12));  // 35.6 MB
  const ResidentGrowth growth;
  std::uint64_t most = 0;
  LayerOptions options;
  options.context.threads = 1;
  options.done_with = [&](std::span<const std::uint8_t>) { most = std::max(most, growth.bytes()); };
  const Linear layer = load_linear(checkpoint, "a", options);
  EXPECT_GT(most, layer.memory() * 9 / 10);
  EXPECT_LE(most, layer.memory() * 11 / 10);
}

// As zeros, which base/lost_pages.h promises: the layer goes on, and the file can tell.
TEST(LoadLinear, SurvivesAFileThatIsShortenedUnderALayerInPlace) {
  const TestDirectory directory;
  const std::filesystem::path path = write_model(directory, 64, 4096);
  const Checkpoint checkpoint = open_checkpoint(path);
  LayerOptions options;
  options.pack = false;
  const Linear layer = load_linear(checkpoint, "a", options);
  survive_lost_pages();
  std::filesystem::resize_file(path, 4096);
  EXPECT_EQ(forward(layer, std::vector<float>(4096, 1.0f)), std::vector<float>(64));
  EXPECT_EQ(error_of([&] { checkpoint.files.files[0]->map.check_unchanged(); }).substr(0, 2), "io");
}

TEST(LoadLinear, NamesWhatItCannotLoad) {
  const TestDirectory directory;
  const std::string path = write_model(directory, 64, 64);
  const Checkpoint checkpoint = open_checkpoint(path);
  const auto message = [&](const char* name) { return error_of([&] { load_linear(checkpoint, name); }); };
  EXPECT_EQ(message("c"), "invalid_argument: " + path + ": there is no weight 'c'");
  EXPECT_EQ(message("b"), "unsupported: " + path + ": 'b.weight' is BF16, not MXFP4");
  EXPECT_EQ(message("e"), "unsupported: " + path +
                              ": 'e.weight' has shape [2, 32, 32]: a stack of experts, not a Linear layer");
  EXPECT_EQ(message("column"),
            "unsupported: " + path + ": 'column.bias' is F32 [64, 1]; F32, BF16 or F16 [64] can be");
  EXPECT_EQ(message("integers"),
            "unsupported: " + path + ": 'integers.bias' is I32 [64]; F32, BF16 or F16 [64] can be");
}

}  // namespace
}  // namespace mxfp4::job
