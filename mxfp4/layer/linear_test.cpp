#include "mxfp4/layer/linear.h"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/layer/test_layer_internal.h"
#include "mxfp4/layer/test_linear_internal.h"

namespace mxfp4 {
namespace {

using test::forward;
using test::kActivations;
using test::kInfinity;
using test::normal;
using test::on;
using test::random_weight;
using test::same_bits;

class LinearTest : public test::Layers {};
INSTANTIATE_TEST_SUITE_P(Linear, LinearTest, testing::Bool(), test::kName);

// --- the same bits ---

TEST_P(LinearTest, HasTheSameBitsOnEveryInstructionSet) {
  for (const Isa isa : built_isas()) {
    if (!supported(isa)) {
      std::printf("    skipped: this machine lacks %s\n", to_string(isa));
      continue;
    }
    for (const std::int64_t rows : {1, 16, 33, 80}) {
      for (const std::int64_t columns : {1, 31, 33, 288, 1056}) {
        const Mxfp4Tensor weight = random_weight(rows, columns, 90, 123, 13);
        const std::vector<float> bias = normal(static_cast<std::size_t>(rows), 14);
        const Linear layer = layer_of(weight.view(), bias, on(isa)),
                     plain = layer_of(weight.view(), bias, on(Isa::scalar));
        for (const std::size_t tokens : {1, 2, 5, 8, 9, 14, 35}) {
          std::vector<float> x = normal(tokens * static_cast<std::size_t>(columns), 15);
          for (std::size_t i = 0; i < x.size(); i += 97) x[i] *= 1e3f;  // tokens of all formats
          for (std::size_t k = 0; k < static_cast<std::size_t>(columns); k += 32)
            x[k] *= tokens % 2 == 1 ? 1e6f : 1.0f;
          for (const Activation activation : kActivations) {
            EXPECT_TRUE(same_bits(forward(layer, x, activation), forward(plain, x, activation)))
                << to_string(isa) << ": " << rows << " x " << columns << ", " << tokens
                << " tokens, activation " << static_cast<int>(activation);
          }
        }
      }
    }
  }
}

TEST_P(LinearTest, HasTheSameBitsWhateverStandsBesideAToken) {
  constexpr std::size_t kRows = 96, kColumns = 640, kTokens = 30;
  const Mxfp4Tensor weight = random_weight(kRows, kColumns, 117, 123, 16);
  const Linear layer = layer_of(weight.view());
  std::vector<float> x = normal(kTokens * kColumns, 17);
  for (std::size_t t = 0; t < kTokens; t += 3) x[t * kColumns + t] = t % 2 == 0 ? 1e5f : 1e9f;
  x[7 * kColumns] = kInfinity;
  for (const Activation activation : kActivations) {
    const std::vector<float> together = forward(layer, x, activation);
    for (std::size_t t = 0; t < kTokens; ++t) {
      const auto first = static_cast<std::ptrdiff_t>(t * kColumns),
                 y = static_cast<std::ptrdiff_t>(t * kRows);
      const std::vector<float> alone =
          forward(layer, {x.begin() + first, x.begin() + first + kColumns}, activation);
      EXPECT_TRUE(same_bits(alone, {together.begin() + y, together.begin() + y + kRows})) << "token " << t;
    }
  }
}

TEST_P(LinearTest, HasTheSameBitsForAnyNumberOfThreads) {
  const Mxfp4Tensor weight = random_weight(500, 1000, 117, 123, 18);
  LayerOptions options;
  for (const std::size_t tokens : {1, 6, 40, 90}) {
    const std::vector<float> x = normal(tokens * 1000, 19);
    options.context.threads = 1;
    const std::vector<float> one = forward(layer_of(weight.view(), {}, options), x);
    for (const int threads : {2, 3, 8}) {
      options.context.threads = threads;
      EXPECT_TRUE(
          same_bits(forward(layer_of(weight.view(), {}, options), x, Activation::exact, threads), one));
    }
  }
}

TEST_P(LinearTest, TakesBothNibbleOrders) {
  const Mxfp4Tensor weight = random_weight(40, 96, 118, 122, 20);
  Mxfp4View other = weight.view();
  std::vector<std::uint8_t> codes(weight.codes.size());
  for (std::size_t i = 0; i < codes.size(); ++i) {  // code i of a block: byte i / 2, or byte i % 16
    const std::size_t block = i / 16 * 16, j = i % 16;
    const auto code = [&](std::size_t k) { return weight.codes[block + k / 2] >> (k % 2 * 4) & 15; };
    codes[i] = static_cast<std::uint8_t>(code(j) | code(j + 16) << 4);
  }
  other.codes = codes.data();
  other.order = NibbleOrder::split16;
  for (const std::size_t tokens : {1, 20, 40}) {
    const std::vector<float> x = normal(tokens * 96, 21);
    const auto error =
        test::relative_error(test::expected_linear(weight.view(), x, {}), forward(layer_of(other), x), 40);
    EXPECT_LE(error.rms, 0x1p-18);
    const std::vector<float> int8 = forward(layer_of(other), x, Activation::int8),
                             same = forward(layer_of(weight.view()), x, Activation::int8);
    for (std::size_t i = 0; i < same.size(); ++i)
      EXPECT_NEAR(int8[i], same[i], 1e-5) << "integers are the same";
    EXPECT_TRUE(!packed() || same_bits(int8, same)) << "blocks of integers have no order";
  }
}

// What is beyond the kernels' number range is computed in double: a row of scales far apart, and a token of
// elements far apart.
TEST_P(LinearTest, HasTheSameBitsPackedOrNotWhereOnlyDoubleWillDo) {
  constexpr std::size_t kRows = 16, kColumns = 224;
  Mxfp4Tensor weight = random_weight(kRows, kColumns, 118, 122, 42);
  for (std::size_t row = 0; row < kRows; ++row)
    weight.scales[row * kColumns / 32 + row % 7] = row % 2 == 0 ? 30 : 190;
  const std::vector<float> bias = normal(kRows, 43);
  const Linear packed_layer(weight.view(), bias);
  std::vector<float> x = normal(3 * kColumns, 44);
  x[kColumns] = 1e-30f;
  for (const Activation activation : kActivations) {
    EXPECT_TRUE(same_bits(forward(layer_of(weight.view(), bias), x, activation),
                          forward(packed_layer, x, activation)))
        << static_cast<int>(activation);
  }
}

// --- special values ---

TEST_P(LinearTest, GivesExactlyTheBiasForZeros) {
  const Mxfp4Tensor weight = random_weight(50, 300, 100, 130, 22);
  const std::vector<float> bias = normal(50, 23);
  for (const Activation activation : kActivations) {
    EXPECT_EQ(forward(layer_of(weight.view(), bias), std::vector<float>(300), activation), bias);
    EXPECT_EQ(forward(layer_of(weight.view()), std::vector<float>(300), activation), std::vector<float>(50));
  }
}

TEST_P(LinearTest, GivesZeroForRowsOfZeros) {
  Mxfp4Tensor weight = random_weight(20, 512, 100, 130, 24);
  std::fill_n(weight.codes.begin() + 7 * 256, 256, std::uint8_t{0x08});
  for (const std::size_t tokens : {1, 12, 40}) {
    const std::vector<float> y = forward(layer_of(weight.view()), normal(tokens * 512, 25));
    for (std::size_t t = 0; t < tokens; ++t) EXPECT_EQ(y[t * 20 + 7], 0.0f);
  }
}

TEST_P(LinearTest, KeepsNaNAndInfinityInTheirOwnToken) {
  const Mxfp4Tensor weight = random_weight(32, 128, 118, 122, 26);
  const Linear layer = layer_of(weight.view());
  for (const float bad : {std::nanf(""), kInfinity, -kInfinity}) {
    for (const Activation activation : kActivations) {
      std::vector<float> x = normal(11 * 128, 27), good = x;
      x[4 * 128 + 77] = bad;
      const std::vector<float> y = forward(layer, x, activation), expected = forward(layer, good, activation);
      for (std::size_t i = 0; i < y.size(); ++i) {
        const double w = test::weight_at(weight.view(), i % 32, 77);
        if (i / 32 != 4) {
          EXPECT_EQ(y[i], expected[i]);
        } else if (std::isnan(bad) || w == 0) {
          EXPECT_TRUE(std::isnan(y[i])) << i;
        } else {
          EXPECT_EQ(y[i], w > 0 ? bad : -bad) << i;
        }
      }
    }
  }
}

TEST_P(LinearTest, GivesNaNForRowsWithANaNScaleAndForNoOthers) {
  Mxfp4Tensor weight = random_weight(40, 160, 118, 122, 28);
  const std::vector<float> before = forward(layer_of(weight.view()), normal(160, 29));
  weight.scales[21 * 5 + 3] = 255;
  const std::vector<float> y = forward(layer_of(weight.view()), normal(160, 29));
  for (std::size_t n = 0; n < 40; ++n) {
    if (n == 21) {
      EXPECT_TRUE(std::isnan(y[n]));
    } else {
      EXPECT_NEAR(y[n], before[n], 1e-4);
    }
  }
}

TEST_P(LinearTest, OverflowsToInfinityOnlyWhereTheResultDoes) {
  Mxfp4Tensor weight = random_weight(16, 64, 254, 254, 30);
  std::fill(weight.codes.begin(), weight.codes.end(), std::uint8_t{0x22});  // 2^127 each
  const Linear layer = layer_of(weight.view());
  EXPECT_EQ(forward(layer, std::vector<float>(64, 0x1p-8f))[3], 0x1p125f);
  EXPECT_EQ(forward(layer, std::vector<float>(64, 1.0f))[3], kInfinity);
}

// --- shapes, dtypes, memory ---

/// Memory behind which nothing can be read.
class Guarded {
 public:
  explicit Guarded(const std::vector<std::uint8_t>& bytes)
      : inside_((bytes.size() + kPage - 1) / kPage * kPage),
        memory_(static_cast<std::uint8_t*>(
            ::mmap(nullptr, inside_ + kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))),
        data_(memory_ + inside_ - bytes.size()) {
    EXPECT_EQ(::mprotect(memory_ + inside_, kPage, PROT_NONE), 0);
    std::copy(bytes.begin(), bytes.end(), data_);
  }
  ~Guarded() { ::munmap(memory_, inside_ + kPage); }
  Guarded(const Guarded&) = delete;
  const std::uint8_t* data() const { return data_; }

 private:
  static constexpr std::size_t kPage = 4096;
  std::size_t inside_;
  std::uint8_t *memory_, *data_;
};

TEST_P(LinearTest, TakesAnyShapeAndAddressAndReadsNothingBehindTheWeight) {
  for (const std::int64_t rows : {1, 2, 17}) {
    for (const std::int64_t columns : {1, 31, 33, 100, 128, 2880}) {
      Mxfp4Tensor weight = random_weight(rows, columns, 118, 122, 37);
      const std::vector<float> bias = normal(static_cast<std::size_t>(rows), 38);
      std::vector<std::uint8_t> odd_codes(1);  // they begin one byte on
      odd_codes.insert(odd_codes.end(), weight.codes.begin(), weight.codes.end());
      const Guarded codes(weight.codes), scales(weight.scales);
      Mxfp4View at_the_end = weight.view(), at_an_odd_address = weight.view();
      at_the_end.codes = codes.data();
      at_the_end.scales = scales.data();
      at_an_odd_address.codes = odd_codes.data() + 1;
      for (const std::size_t tokens : {1, 3}) {
        const std::vector<float> x = normal(tokens * static_cast<std::size_t>(columns), 39);
        for (const Activation activation : kActivations) {
          const std::vector<float> y = forward(layer_of(weight.view(), bias), x, activation);
          EXPECT_TRUE(same_bits(forward(layer_of(at_the_end, bias), x, activation), y));
          EXPECT_TRUE(same_bits(forward(layer_of(at_an_odd_address, bias), x, activation), y));
        }
        const test::Expected expected = test::expected_linear(weight.view(), x, bias);
        const std::vector<float> y = forward(layer_of(weight.view(), bias), x);
        for (std::size_t i = 0; i < y.size(); ++i) {
          const double near = 0x1p-18 * (expected.magnitude[i] + std::fabs(expected.y[i]));
          EXPECT_NEAR(y[i], expected.y[i], near) << rows << " x " << columns;
        }
      }
    }
  }
}

TEST_P(LinearTest, ReadsAndWritesHalvesAtAnyAddressAndStride) {
  constexpr std::int64_t kRows = 35, kColumns = 70, kTokens = 6;
  const Mxfp4Tensor weight = random_weight(kRows, kColumns, 118, 122, 31);
  const Linear layer = layer_of(weight.view(), normal(kRows, 32));
  for (const Dtype dtype : {Dtype::bf16, Dtype::f16}) {
    const auto narrow = [&](float x) { return dtype == Dtype::bf16 ? f32_to_bf16(x) : f32_to_f16(x); };
    const auto wide = [&](std::uint16_t x) { return dtype == Dtype::bf16 ? bf16_to_f32(x) : f16_to_f32(x); };
    std::vector<std::byte> bytes(1 + 2 * kTokens * 2 * kColumns), out(1 + 2 * kTokens * kRows);
    std::vector<float> x;
    for (std::int64_t t = 0; t < kTokens; ++t) {  // every second row of twice as many
      for (std::int64_t k = 0; k < kColumns; ++k) {
        const std::uint16_t element = narrow(normal(1, static_cast<unsigned>(t * kColumns + k))[0]);
        std::memcpy(bytes.data() + 1 + 2 * (2 * t * kColumns + k), &element, 2);
        x.push_back(wide(element));
      }
    }
    DenseView view = dense_view(bytes.data() + 1, dtype, {2, 2 * kTokens / 2, kColumns});
    view = view.slice(1, 0, 2 * kTokens / 2, 2);
    ASSERT_EQ(view.shape, (Shape{2, kTokens / 2, kColumns}));
    layer.forward(view, dtype, out.data() + 1);
    const std::vector<float> y = forward(layer, x);
    for (std::size_t i = 0; i < y.size(); ++i) {
      std::uint16_t element;
      std::memcpy(&element, out.data() + 1 + 2 * i, 2);
      EXPECT_EQ(element, narrow(y[i])) << i;
    }
  }
}

TEST_P(LinearTest, TakesNoTokensNoRowsAndNoColumns) {
  const Mxfp4Tensor weight = random_weight(5, 40, 118, 122, 33);
  EXPECT_TRUE(forward(layer_of(weight.view()), {}).empty());
  Mxfp4View none = weight.view();
  none.shape = {0, 40};
  float untouched = 7;
  layer_of(none).forward(dense_view(normal(40, 1).data(), Dtype::f32, {40}), Dtype::f32, &untouched);
  EXPECT_EQ(untouched, 7);
  none.shape = {5, 0};
  const std::vector<float> bias = normal(5, 34);
  std::vector<float> y(5);
  layer_of(none, bias).forward(dense_view(nullptr, Dtype::f32, {1, 0}), Dtype::f32, y.data());
  EXPECT_EQ(y, bias);
}

TEST_P(LinearTest, SaysWhatItIsDoneWithAndWhatItOwns) {
  const Mxfp4Tensor weight = random_weight(5000, 512, 118, 122, 35);
  LayerOptions options;
  options.context.threads = 1;
  std::vector<int> codes(weight.codes.size()), scales(weight.scales.size());
  options.done_with = [&](std::span<const std::uint8_t> piece) {
    const bool of_codes = piece.data() >= weight.codes.data() && piece.data() < &weight.codes.back() + 1;
    std::vector<int>& all = of_codes ? codes : scales;
    const std::size_t first =
        static_cast<std::size_t>(piece.data() - (of_codes ? weight.codes : weight.scales).data());
    for (std::size_t i = 0; i < piece.size(); ++i) ++all.at(first + i);
  };
  const Linear layer = layer_of(weight.view(), {}, options);
  EXPECT_EQ(codes, std::vector<int>(weight.codes.size(), packed() ? 1 : 0));
  EXPECT_EQ(scales, std::vector<int>(weight.scales.size(), packed() ? 1 : 0));
  EXPECT_EQ(layer.packed(), packed());
  EXPECT_LE(layer.memory(), 5000 * 512 * 17 / 32 * (packed() ? 1.01 : 0.01));
}

TEST_P(LinearTest, RefusesWhatItCannotDo) {
  const Mxfp4Tensor weight = random_weight(8, 64, 118, 122, 36);
  const auto changed = [&](const auto& change) {
    Mxfp4View view = weight.view();
    change(view);
    return std::string(error_of([&] { const Linear layer = layer_of(view); }).what());
  };
  EXPECT_EQ(changed([](Mxfp4View& view) {
              view.shape = {1, 8, 64};
            }),
            "linear: the weight has shape [1, 8, 64], not [N, K]");
  EXPECT_EQ(changed([](Mxfp4View& view) {
              view.shape = {-8, 64};
            }),
            "linear: the weight has shape [-8, 64]: a size is negative, or the product overflows");
  EXPECT_EQ(changed([](Mxfp4View& view) {  // its packed bytes would be 0 modulo 2^64
              view.shape = {std::int64_t{1} << 40, std::int64_t{1} << 29};
            }),
            "linear: the weight has shape [1099511627776, 536870912]: a size is negative, or the product "
            "overflows");
  EXPECT_EQ(changed([](Mxfp4View& view) { view.block_size = 16; }),
            "linear: the weight is in blocks of 16, not 32");
  EXPECT_STREQ(error_of([&] { const Linear layer = layer_of(weight.view(), normal(7, 1)); }).what(),
               "linear: 7 biases for 8 rows");

  const Linear layer = layer_of(weight.view());
  const std::vector<float> x(65);
  float y[8];
  EXPECT_STREQ(error_of([&] {
                 layer.forward(dense_view(x.data(), Dtype::f32, {1, 65}), Dtype::f32, y);
               }).what(),
               "linear: x has shape [1, 65], not [..., 64]");
  const auto refused = [&](const Shape& shape, const std::vector<std::int64_t>& strides) {
    const DenseView view{reinterpret_cast<const std::byte*>(x.data()), Dtype::f32, shape, strides};
    return std::string(error_of([&] { layer.forward(view, Dtype::f32, y); }).what());
  };
  EXPECT_EQ(refused({1, 64}, {1}), "linear: x has shape [1, 64] and 1 strides");
  for (const Shape& shape :
       {Shape{-1, -1, 64}, {std::int64_t{1} << 32, 64}, {std::int64_t{1} << 62, 4, 64}, {4, 0, -1, 64}}) {
    EXPECT_EQ(refused(shape, std::vector<std::int64_t>(shape.size())),
              "linear: x has shape " + to_string(shape) +
                  ": a size is negative, or they are more than 4294967295 tokens or 2^64 bits");
  }
  EXPECT_STREQ(error_of([&] { layer.forward(dense_view(x.data(), Dtype::i32, {64}), Dtype::f32, y); }).what(),
               "linear: x is I32; F32, BF16 and F16 can be");
  EXPECT_STREQ(error_of([&] { layer.forward(dense_view(x.data(), Dtype::f32, {64}), Dtype::f64, y); }).what(),
               "linear: y is F64; F32, BF16 and F16 can be");
  for (const Isa isa : built_isas()) {
    if (supported(isa)) continue;
    EXPECT_EQ(error_of([&] { const Linear none = layer_of(weight.view(), {}, on(isa)); }).code(),
              ErrorCode::unsupported);
  }
}

TEST_P(LinearTest, SaysSoWhenThereIsNoMemory) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  GTEST_SKIP() << "a sanitizer ends the process when there is no memory";
#endif
  Mxfp4View view;
  view.shape = {std::int64_t{1} << 50, 64};
  const Error error = error_of([&] { const Linear layer = layer_of(view); });
  EXPECT_EQ(error.code(), ErrorCode::out_of_memory);
  EXPECT_STREQ(error.what(), "linear: no memory for a weight of shape [1125899906842624, 64]");
}

TEST_P(LinearTest, TakesNoMoreThreadsThanItHasWorkFor) {
  const Mxfp4Tensor weight = random_weight(40, 64, 118, 122, 37);
  const Linear layer = layer_of(weight.view());
  const std::vector<float> x = normal(3 * 64, 38);
  EXPECT_TRUE(same_bits(forward(layer, x, Activation::exact, 1 << 30), forward(layer, x)));
}

}  // namespace
}  // namespace mxfp4
