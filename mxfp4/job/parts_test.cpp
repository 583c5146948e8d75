#include "mxfp4/job/parts.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4::job {
namespace {

// Runs every unit of a part, the last first, and returns the bytes of its tensors.
std::vector<std::vector<std::byte>> run(const Part& part) {
  std::vector<std::vector<std::byte>> tensors;
  for (const safetensors::TensorSpec& spec : part.outputs) tensors.emplace_back(spec.bytes());
  std::vector<std::byte> scratch(part.unit_memory + 64);
  for (std::size_t unit = part.units; unit-- > 0;) {
    part.run(unit, scratch.data(),
             [&](std::size_t output, std::uint64_t offset, std::span<const std::byte> bytes) {
               ASSERT_LE(offset + bytes.size(), tensors.at(output).size());
               std::memcpy(tensors[output].data() + offset, bytes.data(), bytes.size());
             });
  }
  return tensors;
}

// A stored tensor of random bf16 values.
struct Stored {
  explicit Stored(const Shape& shape, unsigned seed = 1)
      : values(static_cast<std::size_t>(element_count(shape))) {
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    for (std::uint16_t& value : values) value = f32_to_bf16(normal(random));
    tensor = {"w", Dtype::bf16, shape, std::as_bytes(std::span(values))};
  }
  Source source() const { return {dense_view(values.data(), Dtype::bf16, tensor.shape), &tensor, nullptr}; }

  std::vector<std::uint16_t> values;
  StoredTensor tensor;
};

Part quantized(const Source& source, const Recipe& recipe, const std::shared_ptr<StatsCollector>& stats,
               const DenseView& reference = {}) {
  Shape scales = source.view.shape, codes = source.view.shape;
  scales.back() /= kBlockSize;
  codes.back() /= 2;
  return quantize_part({"w.blocks", Dtype::u8, codes}, {"w.scales", Dtype::u8, scales}, source, recipe,
                       {reference}, stats);
}

template <class T>
std::vector<std::byte> as_bytes(const std::vector<T>& values) {
  const auto bytes = std::as_bytes(std::span(values));
  return {bytes.begin(), bytes.end()};
}

TEST(QuantizePart, AgreesWithTheLibraryForEveryLayout) {
  // 3 experts, K = 96, N = 12000: several units, which end inside an expert.
  const Stored stored({3, 96, 12'000});
  for (const bool transposed : {false, true}) {
    Source source = stored.source();
    if (transposed) {
      source.view = source.view.transposed(1, 2);
    } else {
      source.view = dense_view(stored.values.data(), Dtype::bf16, {3, 12'000, 96});
    }
    const auto stats = std::make_shared<StatsCollector>();
    const Part part = quantized(source, {}, stats);
    EXPECT_GT(part.units, 2u);
    const auto tensors = run(part);
    ErrorStats expected_stats;
    const Mxfp4Tensor expected = quantize(source.view, {}, &expected_stats);
    EXPECT_EQ(tensors[0], as_bytes(expected.codes)) << transposed;
    EXPECT_EQ(tensors[1], as_bytes(expected.scales)) << transposed;
    EXPECT_EQ(stats->total().blocks, expected_stats.blocks);
    EXPECT_EQ(stats->total().scales, expected_stats.scales);
    EXPECT_NEAR(stats->total().sqnr_db(), expected_stats.sqnr_db(), 1e-9);
  }
}

TEST(QuantizePart, NamesTheElementInTheStoredTensor) {
  Stored stored({2, 64, 40});  // [E, K, N]
  stored.values[(1 * 64 + 33) * 40 + 7] = f32_to_bf16(-std::numeric_limits<float>::infinity());
  Source source = stored.source();
  source.view = source.view.transposed(1, 2);
  // The rows of one gated half, as conventions with a matrix per expert have them.
  source.view = source.view[1].slice(0, 1, 40, 2);
  const auto stats = std::make_shared<StatsCollector>();
  try {
    run(quantized(source, {}, stats));
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::corrupt_file);
    EXPECT_NE(std::string(error.what()).find("tensor 'w': element [1, 33, 7] is -Inf"), std::string::npos)
        << error.what();
  }
}

TEST(QuantizePart, KeepsReferenceScalesThatAreAsGood) {
  // 1, 2, 3 under scale 2^0 are 0.5, 1, 1.5 under 2^1: both lossless.
  std::vector<float> values(64);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 4);
  const StoredTensor tensor{"w", Dtype::f32, {2, 32}, std::as_bytes(std::span(values))};
  const Source source{dense_view(values.data(), Dtype::f32, {2, 32}), &tensor, nullptr};
  const std::vector<std::uint8_t> reference = {128, 140};  // as good; far worse
  const auto stats = std::make_shared<StatsCollector>();
  const auto tensors = run(quantized(source, {}, stats, dense_view(reference.data(), Dtype::u8, {2, 1})));
  EXPECT_EQ(tensors[1][0], std::byte{128});
  EXPECT_EQ(tensors[1][1], std::byte{126});
  EXPECT_EQ(stats->total().lossless_blocks, 2u);
}

TEST(DequantizePart, TurnsExpertsRound) {
  const Stored stored({2, 700, 96 * 32});
  const Mxfp4Tensor quantised = quantize(stored.source().view);
  std::vector<std::uint16_t> plain(stored.values.size());
  dequantize(quantised.view(), Dtype::bf16, plain.data());
  const Part straight = dequantize_part("w", StoredBlocks(quantised.view()), Dtype::bf16, false, nullptr);
  EXPECT_EQ(straight.outputs[0].shape, (Shape{2, 700, 96 * 32}));
  EXPECT_EQ(run(straight)[0], as_bytes(plain));
  const Part turned = dequantize_part("w", StoredBlocks(quantised.view()), Dtype::bf16, true, nullptr);
  EXPECT_EQ(turned.outputs[0].shape, (Shape{2, 96 * 32, 700}));
  EXPECT_GT(turned.units, 2u);
  std::vector<std::uint16_t> expected(plain.size());
  copy_rows(dense_view(plain.data(), Dtype::bf16, {2, 700, 96 * 32}).transposed(1, 2), 0, 2 * 96 * 32,
            expected.data());
  EXPECT_EQ(run(turned)[0], as_bytes(expected));
}

TEST(CopyPart, KeepsBytesOfAnyDtypeAndShape) {
  std::vector<std::byte> data(1'500'001);
  for (std::size_t i = 0; i < data.size(); ++i) data[i] = static_cast<std::byte>(i * 31 + i / 256);
  for (const Shape& shape : {Shape{1'500'001}, Shape{}, Shape{0, 5}}) {
    const auto count = static_cast<std::size_t>(element_count(shape));
    const StoredTensor tensor{"x", Dtype::f8_e4m3, shape, std::span(data).first(count)};
    const Part part = copy_part("y", tensor, nullptr);
    EXPECT_EQ(part.outputs[0].name, "y");
    EXPECT_EQ(part.outputs[0].shape, shape);
    EXPECT_EQ(run(part)[0],
              std::vector<std::byte>(data.begin(), data.begin() + static_cast<std::ptrdiff_t>(count)));
  }
  const StoredTensor f4{"x", Dtype::f4, {3, 8}, std::span(data).first(12)};
  EXPECT_EQ(run(copy_part("y", f4, nullptr))[0].size(), 12u);
}

TEST(CopyPart, GathersStridedRows) {
  const Stored stored({5, 6});
  Source source = stored.source();
  source.view = source.view.slice(1, 1, 6, 2);  // a bias of interleaved rows
  const Part part = copy_part("y", source);
  EXPECT_EQ(part.outputs[0].shape, (Shape{5, 3}));
  std::vector<std::uint16_t> expected;
  for (std::size_t row = 0; row < 5; ++row) {
    for (const std::size_t column : {1u, 3u, 5u}) expected.push_back(stored.values[row * 6 + column]);
  }
  EXPECT_EQ(run(part)[0], as_bytes(expected));
}

}  // namespace
}  // namespace mxfp4::job
