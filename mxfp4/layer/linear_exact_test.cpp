// How near Linear comes to sums in double precision.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/layer/linear.h"
#include "mxfp4/layer/test_layer_internal.h"
#include "mxfp4/layer/test_linear_internal.h"

namespace mxfp4 {
namespace {

using test::forward;
using test::normal;
using test::random_weight;
using test::same_bits;

class LinearExact : public test::Layers {};
class LinearInt8 : public test::Layers {};
class LinearMxfp8 : public test::Layers {};
INSTANTIATE_TEST_SUITE_P(Linear, LinearExact, testing::Bool(), test::kName);
INSTANTIATE_TEST_SUITE_P(Linear, LinearInt8, testing::Bool(), test::kName);
INSTANTIATE_TEST_SUITE_P(Linear, LinearMxfp8, testing::Bool(), test::kName);

// --- the bound of `exact` ---

struct Input {
  const char* name;
  float (*value)(float normal, std::size_t i);
};
const Input kInputs[] = {
    {"normal", [](float x, std::size_t) { return x; }},
    {"heavy tails", [](float x, std::size_t) { return x * x * x * x * x; }},
    {"outliers x100", [](float x, std::size_t i) { return i % 701 == 5 ? 100 * x : x; }},
    {"outliers x1000", [](float x, std::size_t i) { return i % 701 == 5 ? 1000 * x : x; }},
    {"outliers x1e4", [](float x, std::size_t i) { return i % 701 == 5 ? 10000 * x : x; }},
    {"outliers x1e30", [](float x, std::size_t i) { return i % 701 == 5 ? 1e30f * x : x; }},
    {"one hot", [](float x, std::size_t i) { return i == 17 ? x : 0.0f; }},
    {"one hot per block", [](float x, std::size_t i) { return i % 32 == i / 32 % 32 ? x : 0.0f; }},
    {"lognormal", [](float x, std::size_t) { return std::exp(3 * x); }},
    {"tiny", [](float x, std::size_t) { return x * 1e-33f; }},
    {"huge", [](float x, std::size_t) { return x * 1e37f; }},
    {"from tiny to huge",
     [](float x, std::size_t i) { return std::ldexp(x, static_cast<int>(i * 37 % 240) - 130); }},
};

TEST_P(LinearExact, KeepsItsBoundForAnyFiniteInput) {
  constexpr std::size_t kTokens = 12, kRows = 64;  // more than are multiplied directly
  for (const std::int64_t columns : {32, 100, 256, 2880}) {
    const Mxfp4Tensor weight = random_weight(kRows, columns, 118, 121, 1);
    const Linear layer = layer_of(weight.view());
    for (const Input& input : kInputs) {
      std::vector<float> x = normal(kTokens * static_cast<std::size_t>(columns), 2);
      for (std::size_t i = 0; i < x.size(); ++i)
        x[i] = input.value(x[i], i % static_cast<std::size_t>(columns));
      const auto error =
          test::relative_error(test::expected_linear(weight.view(), x, {}), forward(layer, x), kRows);
      EXPECT_LE(error.rms, 0x1p-18) << input.name << ", K = " << columns;
      EXPECT_LE(error.most, 0x1p-13) << input.name << ", K = " << columns;
    }
  }
}

TEST_P(LinearExact, KeepsItsBoundWhereTheLargestInputMeetsZeros) {
  constexpr std::size_t kRows = 32, kColumns = 1024;
  Mxfp4Tensor weight = random_weight(kRows, kColumns, 120, 121, 3);
  std::vector<float> x = normal(kColumns, 4);
  for (std::size_t k = 0; k < kColumns; k += 32) {
    x[k] = 1e6f;
    for (std::size_t n = 0; n < kRows; ++n) weight.codes[(n * kColumns + k) / 2] &= 0xF0;
  }
  const Linear layer = layer_of(weight.view());
  const auto error =
      test::relative_error(test::expected_linear(weight.view(), x, {}), forward(layer, x), kRows);
  EXPECT_LE(error.rms, 0x1p-18);
  EXPECT_LE(error.most, 0x1p-13);
}

// --- the bound holds whatever the scales are ---

TEST_P(LinearExact, KeepsItsBoundForScalesFarApart) {
  constexpr std::size_t kRows = 48, kColumns = 512;
  for (const auto& [least, most] :
       {std::pair{100, 140}, {1, 254}, {0, 3}, {250, 254}, {64, 178}, {50, 190}}) {
    const Mxfp4Tensor weight = random_weight(kRows, kColumns, least, most, 5);
    std::vector<float> x = normal(3 * kColumns, 6);
    for (float& value : x) value *= most > 250 ? 1e-3f : 1.0f;  // the results are finite
    const Linear layer = layer_of(weight.view());
    const test::Expected expected = test::expected_linear(weight.view(), x, {});
    const std::vector<float> y = forward(layer, x);
    double squares = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double unit =
          std::max(expected.magnitude[i], 0x1p-130);  // of subnormal results there are fewer bits
      const double error = std::fabs(static_cast<double>(y[i]) - expected.y[i]) / unit;
      EXPECT_LE(error, 0x1p-13) << least << " to " << most << ", output " << i;
      squares += error * error;
    }
    EXPECT_LE(std::sqrt(squares / static_cast<double>(y.size())), 0x1p-18) << least << " to " << most;
  }
}

// Where the large inputs meet zeros, inputs almost 2^80 times smaller meet the smallest scale that the
// kernels take as it is.
TEST_P(LinearExact, KeepsItsBoundForSmallInputs) {
  constexpr std::size_t kRows = 32, kColumns = 1024;
  Mxfp4Tensor weight = random_weight(kRows, kColumns, 64, 64, 40);
  std::vector<float> x = normal(kColumns, 41);
  for (std::size_t k = 0; k < kColumns - 32; ++k) {
    x[k] = 0x1p90f;
    for (std::size_t n = 0; n < kRows; ++n) weight.codes[(n * kColumns + k) / 2] = 0;
  }
  for (std::size_t k = kColumns - 32; k < kColumns; ++k) x[k] = std::copysign(0x1.2345p12f, x[k]);
  const auto error = test::relative_error(test::expected_linear(weight.view(), x, {}),
                                          forward(layer_of(weight.view()), x), kRows);
  EXPECT_LE(error.rms, 0x1p-18);
  EXPECT_LE(error.most, 0x1p-13);
}

// Single blocks decide the outputs here, other ones for every row, and none has a step that serves all of its
// elements.
TEST_P(LinearExact, KeepsItsBoundWhereScalesAndInputsLieFarApart) {
  constexpr std::size_t kRows = 64, kColumns = 612;
  for (const auto& [least, most] : {std::pair{100, 103}, {100, 112}, {16, 81}, {24, 106}}) {
    const Mxfp4Tensor weight = random_weight(kRows, kColumns, least, most, 46);
    std::vector<float> x = normal(12 * kColumns, 47);
    std::mt19937 random(48);
    for (float& value : x) value = std::ldexp(value, 20 - static_cast<int>(random() % 21) * 7);
    const auto error = test::relative_error(test::expected_linear(weight.view(), x, {}),
                                            forward(layer_of(weight.view()), x), kRows);
    EXPECT_LE(error.rms, 0x1p-18) << least << " to " << most;
    EXPECT_LE(error.most, 0x1p-13) << least << " to " << most;
  }
}

// Single blocks decide the outputs here because all others of their rows are zeros, in every row or in most
// of them, of many: those that tell how many digits it takes are a sample.
TEST_P(LinearExact, KeepsItsBoundWhereFewBlocksOfARowAreNotZero) {
  constexpr std::int64_t kColumns = 960;
  constexpr std::size_t kBlocks = kColumns / 32;
  for (const std::size_t rows : {48, 1000}) {
    for (const std::size_t filled_rows : {0, 4}) {  // of sixteen
      Mxfp4Tensor weight = random_weight(static_cast<std::int64_t>(rows), kColumns, 119, 120, 49);
      for (std::size_t block = 0; block < weight.scales.size(); ++block) {
        const std::size_t row = block / kBlocks;
        if (row % 16 < filled_rows || block % kBlocks == row * 7 % kBlocks) continue;
        std::fill_n(weight.codes.begin() + static_cast<std::ptrdiff_t>(16 * block), 16, std::uint8_t{0x80});
      }
      for (const Input& input : {kInputs[0], kInputs[8]}) {
        std::vector<float> x = normal(3 * kColumns, 50);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = input.value(x[i], i % kColumns);
        const auto error = test::relative_error(test::expected_linear(weight.view(), x, {}),
                                                forward(layer_of(weight.view()), x), rows);
        EXPECT_LE(error.rms, 0x1p-18) << input.name << ", " << rows << " rows, " << filled_rows << " filled";
        EXPECT_LE(error.most, 0x1p-13) << input.name << ", " << rows << " rows, " << filled_rows << " filled";
      }
    }
  }
}

// A permutation: no step is small enough where an output is one input, whatever stands beside it.
TEST_P(LinearExact, KeepsItsBoundWhereOneElementOfARowIsNotZero) {
  constexpr std::size_t kRows = 600, kColumns = 640;
  Mxfp4Tensor weight = random_weight(kRows, kColumns, 120, 120, 51);
  std::fill(weight.codes.begin(), weight.codes.end(), std::uint8_t{0});
  for (std::size_t row = 0; row < kRows; ++row) {
    weight.codes[(row * kColumns + row * 7 % kColumns) / 2] = row * 7 % 2 == 0 ? 0x03 : 0x30;
  }
  for (const Input& input : {kInputs[0], kInputs[1], kInputs[8]}) {
    std::vector<float> x = normal(3 * kColumns, 52);
    for (std::size_t i = 0; i < x.size(); ++i) x[i] = input.value(x[i], i % kColumns);
    const auto error = test::relative_error(test::expected_linear(weight.view(), x, {}),
                                            forward(layer_of(weight.view()), x), kRows);
    EXPECT_LE(error.most, 0x1p-18) << input.name;
  }
}

TEST_P(LinearExact, HasZeroBlocksOfAnyScaleForNothing) {
  Mxfp4Tensor weight = random_weight(16, 256, 120, 122, 7), same = weight;
  for (std::size_t block = 3; block < weight.scales.size(); block += 5) {
    std::fill_n(weight.codes.begin() + static_cast<std::ptrdiff_t>(16 * block), 16, std::uint8_t{0x80});
    std::fill_n(same.codes.begin() + static_cast<std::ptrdiff_t>(16 * block), 16, std::uint8_t{0});
    weight.scales[block] = block % 2 == 0 ? 0 : 254;
  }
  const std::vector<float> x = normal(256, 8);
  EXPECT_TRUE(same_bits(forward(layer_of(weight.view()), x), forward(layer_of(same.view()), x)));
}

TEST_P(LinearInt8, IsAsNearAsOneScalePer32Allows) {
  const Mxfp4Tensor weight = random_weight(256, 2880, 118, 121, 9);
  const std::vector<float> x = normal(20 * 2880, 10);
  const test::Expected expected = test::expected_linear(weight.view(), x, {});
  const std::vector<float> y = forward(layer_of(weight.view()), x, Activation::int8);
  double error = 0, signal = 0;
  for (std::size_t i = 0; i < y.size(); ++i) {
    error += std::pow(static_cast<double>(y[i]) - expected.y[i], 2);
    signal += expected.y[i] * expected.y[i];
  }
  EXPECT_LE(std::sqrt(error / signal), 7e-3);
  EXPECT_GE(std::sqrt(error / signal), 2e-3) << "these were not eight bits";
}

// E4M3 with a power of two per 32: judged by encoding the inputs here, one element after the other.
TEST_P(LinearMxfp8, MultipliesE4m3ValuesExactly) {
  constexpr std::size_t kColumns = 320;
  const Mxfp4Tensor weight = random_weight(32, kColumns, 118, 121, 11);
  std::vector<float> x = normal(2 * kColumns, 12);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = std::ldexp(x[i], static_cast<int>(i % 23) - 12);
  std::vector<float> rounded = x;
  for (std::size_t block = 0; block < x.size(); block += 32) {
    float amax = 0;
    for (std::size_t i = block; i < block + 32; ++i) amax = std::max(amax, std::fabs(x[i]));
    const double scale = std::ldexp(1.0, std::ilogb(amax) - 8);
    for (std::size_t i = block; i < block + 32; ++i) {
      const double v = std::fabs(static_cast<double>(x[i])) / scale;
      const double unit = std::ldexp(1.0, std::max(v > 0 ? std::ilogb(v) : -6, -6) - 3);
      const double magnitude = std::min(std::nearbyint(v / unit) * unit, 448.0) * scale;
      rounded[i] = static_cast<float>(std::copysign(magnitude, static_cast<double>(x[i])));
    }
  }
  const auto error = test::relative_error(test::expected_linear(weight.view(), rounded, {}),
                                          forward(layer_of(weight.view()), x, Activation::mxfp8), 32);
  EXPECT_LE(error.most, 0x1p-22);
}

}  // namespace
}  // namespace mxfp4
