#include "mxfp4/quantize/quantize.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/codec/float16.h"

namespace mxfp4 {
namespace {

std::vector<float> gaussian(std::int64_t count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<std::size_t>(count));
  for (float& element : x) element = normal(random);
  return x;
}

/// The elements of any view, without gaps.
std::vector<float> gathered(const DenseView& view) {
  std::vector<float> x(static_cast<std::size_t>(view.elements()));
  const std::int64_t columns = view.shape.back();
  copy_rows_f32(view, 0, columns == 0 ? 0 : view.elements() / columns, x.data());
  return x;
}

void expect_same(const Mxfp4Tensor& a, const Mxfp4Tensor& b) {
  EXPECT_EQ(a.shape, b.shape);
  EXPECT_EQ(a.block_size, b.block_size);
  EXPECT_EQ(a.scales, b.scales);
  EXPECT_EQ(a.codes, b.codes);
}

/// The message of the Error that `call` throws, after its code.
template <class Call>
std::string refusal(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return std::string(to_string(error.code())) + ": " + error.what();
  }
  return "nothing was thrown";
}

TEST(Quantize, MovesTheAxisToTheEnd) {
  const Shape shape = {3, 40, 5, 70};
  const std::vector<float> x = gaussian(element_count(shape), 61);
  const DenseView view = dense_view(x.data(), Dtype::f32, shape);
  const Shape moved[4] = {{40, 5, 70, 3}, {3, 5, 70, 40}, {3, 40, 70, 5}, {3, 40, 5, 70}};
  for (int axis = 0; axis < 4; ++axis) {
    // x[i][j][k][l] with the axis last, element by element
    const Shape& to = moved[axis];
    std::vector<float> expected;
    for (std::int64_t row = 0; row < element_count(to) / to[3]; ++row) {
      for (std::int64_t column = 0; column < to[3]; ++column) {
        std::int64_t rest = row, offset = 0, stride = 1;
        for (int d = 3; d >= 0; --d) {
          const std::int64_t size = shape[static_cast<std::size_t>(d)];
          offset += (d == axis ? column : rest % size) * stride;
          if (d != axis) rest /= size;
          stride *= size;
        }
        expected.push_back(x[static_cast<std::size_t>(offset)]);
      }
    }
    const Mxfp4Tensor plain = quantize(dense_view(expected.data(), Dtype::f32, to));
    for (const int name : {axis, axis - 4}) {
      QuantizeOptions options;
      options.axis = name;
      const Mxfp4Tensor result = quantize(view, options);
      SCOPED_TRACE("axis " + std::to_string(name));
      expect_same(result, plain);
    }
  }
}

TEST(Quantize, ReadsAnyStrides) {
  const std::vector<float> x = gaussian(6 * 70 * 90, 67);
  const DenseView whole = dense_view(x.data(), Dtype::f32, {6, 70, 90});
  for (const DenseView& view :
       {whole.slice(2, 3, 80), whole.slice(1, 1, 70, 3), whole.slice(0, 0, 6, 2).slice(2, 0, 90, 2),
        whole.transposed(0, 2), whole[4].transposed(0, 1), whole[2][5]}) {
    const std::vector<float> copy = gathered(view);
    expect_same(quantize(view), quantize(dense_view(copy.data(), Dtype::f32, view.shape)));
  }
}

TEST(Quantize, ReadsEveryDenseDtype) {
  std::vector<float> x = gaussian(64 * 96, 71);
  std::vector<std::uint16_t> bf16, f16;
  for (float& element : x) {
    element = f16_to_f32(f32_to_f16(bf16_to_f32(f32_to_bf16(element))));
    bf16.push_back(f32_to_bf16(element));
    f16.push_back(f32_to_f16(element));
    element = bf16_to_f32(bf16.back());
  }
  const Mxfp4Tensor expected = quantize(dense_view(x.data(), Dtype::f32, {64, 96}));
  expect_same(quantize(dense_view(bf16.data(), Dtype::bf16, {64, 96})), expected);
  expect_same(quantize(dense_view(f16.data(), Dtype::f16, {64, 96})), expected);
}

TEST(Quantize, CompletesTheLastBlockOfARowWithZeros) {
  for (const std::int64_t columns : {1, 15, 31, 33, 100}) {
    for (const int block_size : {32, 16}) {
      const std::int64_t whole = (columns + block_size - 1) / block_size * block_size;
      const std::vector<float> x = gaussian(7 * columns, 73);
      std::vector<float> completed(static_cast<std::size_t>(7 * whole), 0.0f);
      for (std::int64_t i = 0; i < 7 * columns; ++i) {
        completed[static_cast<std::size_t>(i / columns * whole + i % columns)] =
            x[static_cast<std::size_t>(i)];
      }
      QuantizeOptions options;
      options.block_size = block_size;
      ErrorStats stats, completed_stats;
      const Mxfp4Tensor a = quantize(dense_view(x.data(), Dtype::f32, {7, columns}), options, &stats);
      const Mxfp4Tensor b =
          quantize(dense_view(completed.data(), Dtype::f32, {7, whole}), options, &completed_stats);
      EXPECT_EQ(a.shape, (Shape{7, columns}));
      EXPECT_EQ(a.codes, b.codes) << columns;
      EXPECT_EQ(a.scales, b.scales) << columns;
      EXPECT_EQ(stats.elements, static_cast<std::uint64_t>(7 * columns));
      EXPECT_EQ(stats.noise, completed_stats.noise);

      std::vector<float> out(x.size()), whole_out(completed.size());
      dequantize(a.view(), Dtype::f32, out.data());
      dequantize(b.view(), Dtype::f32, whole_out.data());
      for (std::size_t i = 0; i < out.size(); ++i) {
        const auto at = static_cast<std::int64_t>(i);
        EXPECT_EQ(out[i], whole_out[static_cast<std::size_t>(at / columns * whole + at % columns)]);
      }
    }
  }
}

TEST(Quantize, DependsNeitherOnThreadsNorOnTheInstructionSet) {
  const std::vector<float> x = gaussian(4'201 * 500, 79);  // three units, the last a short one
  const DenseView view = dense_view(x.data(), Dtype::f32, {4'201, 500});
  for (const DenseView& input : {view, view.transposed(0, 1)}) {
    QuantizeOptions options;
    options.context = {1, Isa::scalar};
    ErrorStats expected_stats;
    const Mxfp4Tensor expected = quantize(input, options, &expected_stats);
    std::vector<float> expected_out(x.size()), out(x.size());
    dequantize(expected.view(), Dtype::f32, expected_out.data(), options.context);
    for (const Isa isa : built_isas()) {
      if (!supported(isa)) continue;
      for (const int threads : {1, 2, 3, 8}) {
        SCOPED_TRACE(std::to_string(threads) + " threads, " + to_string(isa));
        options.context = {threads, isa};
        ErrorStats stats;
        expect_same(quantize(input, options, &stats), expected);
        EXPECT_EQ(stats.signal, expected_stats.signal);
        EXPECT_EQ(stats.noise, expected_stats.noise);
        EXPECT_EQ(stats.scales, expected_stats.scales);
        EXPECT_EQ(stats.lossless_blocks, expected_stats.lossless_blocks);
        EXPECT_EQ(stats.saturated, expected_stats.saturated);
        dequantize(expected.view(), Dtype::f32, out.data(), options.context);
        EXPECT_EQ(out, expected_out);
      }
    }
  }
}

TEST(Quantize, ReportsTheErrorOfKnownBlocks) {
  // 31 times 1/4 beside 4: under 2^-1 the maximum becomes 3, the others are exact. Then 16 elements of 6, 16
  // of 0.
  std::vector<float> x(64, 0.25f);
  x[0] = 4.0f;
  for (std::size_t i = 32; i < 64; ++i) x[i] = i < 48 ? 6.0f : -0.0f;
  ErrorStats stats;
  stats.blocks = 100;  // added to
  const Mxfp4Tensor t = quantize(dense_view(x.data(), Dtype::f32, {64}), {}, &stats);
  EXPECT_EQ(t.scales, (std::vector<std::uint8_t>{126, 127}));
  EXPECT_EQ(stats.signal, 16 + 31.0 / 16 + 16 * 36);
  EXPECT_EQ(stats.noise, 1);
  EXPECT_EQ(stats.elements, 64u);
  EXPECT_EQ(stats.blocks, 102u);
  EXPECT_EQ(stats.lossless_blocks, 1u);
  EXPECT_EQ(stats.saturated, 1u);
  EXPECT_EQ(stats.scales[126], 1u);
  EXPECT_EQ(stats.scales[127], 1u);
}

TEST(Quantize, TakesTensorsWithoutElements) {
  for (const Shape& shape : {Shape{0}, Shape{0, 32}, Shape{5, 0}, Shape{3, 0, 64}}) {
    ErrorStats stats;
    const Mxfp4Tensor t = quantize(dense_view(nullptr, Dtype::bf16, shape), {}, &stats);
    EXPECT_EQ(t.shape, shape);
    EXPECT_TRUE(t.codes.empty());
    EXPECT_TRUE(t.scales.empty());
    EXPECT_EQ(stats.blocks, 0u);
    dequantize(t.view(), Dtype::f32, nullptr);
  }
}

TEST(Quantize, NamesTheFirstElementItRefuses) {
  const float infinity = std::numeric_limits<float>::infinity();
  std::vector<float> x = gaussian(4 * 50 * 6, 83);
  x[(2 * 50 + 33) * 6 + 1] = -infinity;
  x[(3 * 50 + 0) * 6 + 0] = NAN;
  const DenseView view = dense_view(x.data(), Dtype::f32, {4, 50, 6});
  for (const int axis : {0, 1, 2}) {
    QuantizeOptions options;
    options.axis = axis;
    // With axis 0 the rows are [50, 6], and row [0, 0] comes first.
    EXPECT_EQ(refusal([&] { quantize(view, options); }),
              axis == 0 ? "invalid_argument: quantize: element [3, 0, 0] is NaN"
                        : "invalid_argument: quantize: element [2, 33, 1] is -Inf");
  }
  x[(2 * 50 + 33) * 6 + 1] = infinity;
  EXPECT_EQ(refusal([&] { quantize(view); }), "invalid_argument: quantize: element [2, 33, 1] is Inf");
}

TEST(Quantize, RefusesTheSameElementWhateverTheThreads) {
  std::vector<float> x = gaussian(4'000 * 1'000, 89);
  for (const std::size_t row : {3'999u, 2'500u, 1'500u}) x[row * 1'000 + 7] = NAN;
  for (const int threads : {1, 2, 8}) {
    QuantizeOptions options;
    options.context.threads = threads;
    EXPECT_EQ(refusal([&] {
                quantize(dense_view(x.data(), Dtype::f32, {4'000, 1'000}), options);
              }),
              "invalid_argument: quantize: element [1500, 7] is NaN")
        << threads << " threads";
  }
}

TEST(Quantize, WritesNonFiniteElementsAsThePolicySays) {
  std::vector<float> x(64, 1.0f);
  x[3] = NAN, x[4] = std::numeric_limits<float>::infinity(), x[5] = -std::numeric_limits<float>::infinity();
  x[40] = -3.0f;
  const DenseView view = dense_view(x.data(), Dtype::f32, {64});
  ErrorStats stats;
  const Mxfp4Tensor nan = quantize(view, {{ScaleRule::floor, Ties::even, NonFinite::nan_block}}, &stats);
  EXPECT_EQ(nan.scales, (std::vector<std::uint8_t>{255, 126}));
  for (std::size_t i = 0; i < 16; ++i) EXPECT_EQ(nan.codes[i], 0x77) << i;
  EXPECT_EQ(stats.signal, 31 + 9);  // the NaN block takes no part
  EXPECT_EQ(stats.noise, 0);
  EXPECT_EQ(stats.lossless_blocks, 1u);

  const Mxfp4Tensor saturated = quantize(view, {{ScaleRule::floor, Ties::even, NonFinite::saturate}});
  EXPECT_EQ(saturated.scales, (std::vector<std::uint8_t>{125, 126}));
  EXPECT_EQ(saturated.codes[1], 0x06);  // 1 / 2^-2 and NaN
  EXPECT_EQ(saturated.codes[2], 0xF7);
}

TEST(Quantize, RefusesWhatItCannotDo) {
  const std::vector<float> x(64);
  const DenseView view = dense_view(x.data(), Dtype::f32, {2, 32});
  QuantizeOptions options;
  options.axis = 2;
  EXPECT_EQ(refusal([&] { quantize(view, options); }),
            "invalid_argument: quantize: shape [2, 32] has no axis 2");
  options.axis = -3;
  EXPECT_EQ(refusal([&] { quantize(view, options); }),
            "invalid_argument: quantize: shape [2, 32] has no axis -3");
  options = {};
  options.block_size = 64;
  EXPECT_EQ(refusal([&] { quantize(view, options); }),
            "invalid_argument: quantize: block size 64 is neither 32 nor 16");
  EXPECT_EQ(refusal([&] {
              quantize(dense_view(x.data(), Dtype::i32, {2, 32}));
            }),
            "invalid_argument: quantize: dtype I32 is none of F32, BF16, F16");
  EXPECT_EQ(refusal([&] { quantize(dense_view(x.data(), Dtype::f32, {})); }),
            "invalid_argument: quantize: shape [] has no axis -1");
}

TEST(Dequantize, RefusesWhatItCannotDo) {
  const std::uint8_t bytes[16] = {};
  float out[32];
  EXPECT_EQ(refusal([&] {
              dequantize({bytes, bytes, {32}}, Dtype::u8, out);
            }),
            "invalid_argument: dequantize: dtype U8 is none of F32, BF16, F16");
  EXPECT_EQ(refusal([&] {
              dequantize({bytes, bytes, {32}, 8}, Dtype::f32, out);
            }),
            "invalid_argument: dequantize: block size 8 is neither 32 nor 16");
  EXPECT_EQ(refusal([&] {
              dequantize({bytes, bytes, {32}, 16, NibbleOrder::split16}, Dtype::f32, out);
            }),
            "invalid_argument: dequantize: split16 codes come in blocks of 32, not 16");
}

TEST(Dequantize, ReadsBothNibbleOrders) {
  const std::vector<float> x = gaussian(64 * 96, 97);
  const Mxfp4Tensor t = quantize(dense_view(x.data(), Dtype::f32, {64, 96}));
  std::vector<std::uint8_t> split(t.codes.size());
  for (std::size_t block = 0; block < split.size(); block += 16) {
    for (std::size_t i = 0; i < 16; ++i) {
      split[block + i] = pack_nibbles(nibble(t.codes.data() + block, i, NibbleOrder::interleaved),
                                      nibble(t.codes.data() + block, i + 16, NibbleOrder::interleaved));
    }
  }
  std::vector<float> expected(x.size()), out(x.size());
  dequantize(t.view(), Dtype::f32, expected.data());
  dequantize({split.data(), t.scales.data(), t.shape, 32, NibbleOrder::split16}, Dtype::f32, out.data());
  EXPECT_EQ(out, expected);
}

TEST(Quantize, WeighsColumnsOfEveryExpert) {
  // 4 and 31 small values: the small ones only count where the large one does not.
  std::vector<float> x(2 * 3 * 32, 0x1p-6f);
  for (std::size_t row = 0; row < 6; ++row) x[row * 32] = 4;
  std::vector<float> importance(2 * 32, 1.0f);
  importance[0] = 0;
  QuantizeOptions options;
  options.importance = importance;
  const DenseView view = dense_view(x.data(), Dtype::f32, {2, 3, 32});
  EXPECT_EQ(quantize(view, options).scales, (std::vector<std::uint8_t>{122, 122, 122, 127, 127, 127}));
  options.importance = std::span(importance).first(32);
  EXPECT_EQ(quantize(view, options).scales, std::vector<std::uint8_t>(6, 122));
  options.context.threads = 2;
  EXPECT_EQ(quantize(view, options).scales, std::vector<std::uint8_t>(6, 122));
}

TEST(Quantize, RefusesAnImportanceThatMeansNothing) {
  const std::vector<float> x(2 * 3 * 32, 1.0f);
  const DenseView view = dense_view(x.data(), Dtype::f32, {2, 3, 32});
  const auto refused = [&](std::vector<float> importance, ScaleRule rule, const std::string& part) {
    QuantizeOptions options;
    options.recipe.scale = rule;
    options.importance = importance;
    try {
      quantize(view, options);
      ADD_FAILURE() << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::invalid_argument);
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos) << error.what();
    }
  };
  refused(std::vector<float>(32, 1.0f), ScaleRule::floor, "needs the rule optimal, not floor");
  refused(std::vector<float>(96, 1.0f), ScaleRule::optimal, "96 values fits no shape [2, 3, 32]");
  refused(std::vector<float>(32, -1.0f), ScaleRule::optimal, "importance 0 is -1");
  refused(std::vector<float>(32, std::numeric_limits<float>::infinity()), ScaleRule::optimal,
          "importance 0 is inf");
}

}  // namespace
}  // namespace mxfp4
