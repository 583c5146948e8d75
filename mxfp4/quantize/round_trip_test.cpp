// What was MXFP4 once, expanded to a dense dtype, becomes the same MXFP4 again.
#include <cmath>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/float16.h"
#include "mxfp4/quantize/quantize.h"

namespace mxfp4 {
namespace {

/// Rows of one block each: every scale byte up to 254 with every largest code, other codes at random; finite
/// in f32.
Mxfp4Tensor all_scales(unsigned seed) {
  std::mt19937 random(seed);
  Mxfp4Tensor t;
  for (int byte = 0; byte < 255; ++byte) {
    for (unsigned largest = 0; largest < 8; ++largest) {
      if (std::isinf(decode(static_cast<std::uint8_t>(largest), static_cast<std::uint8_t>(byte)))) continue;
      std::uint8_t codes[32];
      for (std::uint8_t& code : codes) {
        code = static_cast<std::uint8_t>(random() % (largest + 1) | (random() % 2 == 0 ? 0u : 8u));
      }
      codes[random() % 32] = static_cast<std::uint8_t>(largest);
      for (int i = 0; i < 32; i += 2) t.codes.push_back(pack_nibbles(codes[i], codes[i + 1]));
      t.scales.push_back(static_cast<std::uint8_t>(byte));
    }
  }
  t.shape = {static_cast<std::int64_t>(t.scales.size()), 32};
  return t;
}

/// The elements in a dense dtype, and what quantising them gives.
Mxfp4Tensor again(const Mxfp4Tensor& t, Dtype dtype, const QuantizeOptions& options,
                  ErrorStats* stats = nullptr) {
  std::vector<std::byte> dense(static_cast<std::size_t>(element_count(t.shape) * bits_of(dtype) / 8));
  dequantize(t.view(), dtype, dense.data());
  return quantize(dense_view(dense.data(), dtype, t.shape), options, stats);
}

std::vector<float> values(const Mxfp4Tensor& t) {
  std::vector<float> x(static_cast<std::size_t>(element_count(t.shape)));
  dequantize(t.view(), Dtype::f32, x.data());
  return x;
}

TEST(RoundTrip, ChangesNoValueForThresholdsFromSixToEight) {
  const Mxfp4Tensor t = all_scales(37);
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    for (const ScaleRule rule : {ScaleRule::floor, ScaleRule::even, ScaleRule::t725, ScaleRule::optimal}) {
      ErrorStats stats;
      const Mxfp4Tensor back = again(t, dtype, {{rule}}, &stats);
      EXPECT_EQ(values(back), values(t)) << info(rule).name << ", seed 37";
      EXPECT_EQ(stats.lossless_blocks, stats.blocks) << info(rule).name;
      EXPECT_EQ(stats.noise, 0) << info(rule).name;
    }
  }
}

TEST(RoundTrip, RceilChangesNothingAboveByteZero) {
  Mxfp4Tensor t = all_scales(41);
  const std::size_t zeros = 8;  // the blocks of byte 0
  t.codes.erase(t.codes.begin(), t.codes.begin() + zeros * 16);
  t.scales.erase(t.scales.begin(), t.scales.begin() + zeros);
  t.shape[0] -= zeros;
  ASSERT_EQ(t.scales.front(), 1);
  EXPECT_EQ(values(again(t, Dtype::bf16, {{ScaleRule::rceil}})), values(t)) << "seed 41";
}

TEST(RoundTrip, LosesValuesForThresholdsOutsideSixToEight) {
  const Mxfp4Tensor t = all_scales(43);
  for (const ScaleRule rule : {ScaleRule::ceil, ScaleRule::round6, ScaleRule::floor6}) {
    ErrorStats stats;
    again(t, Dtype::bf16, {{rule}}, &stats);
    EXPECT_LT(stats.lossless_blocks, stats.blocks) << info(rule).name;
  }
}

TEST(RoundTrip, MayWriteAnotherScaleWithoutAReference) {
  const Mxfp4Tensor t = all_scales(47);
  EXPECT_NE(again(t, Dtype::bf16, {}).scales, t.scales);
}

TEST(RoundTrip, ChangesNoByteWithAReferenceWhateverTheRule) {
  const Mxfp4Tensor t = all_scales(53);
  for (const Dtype dtype : {Dtype::f32, Dtype::bf16}) {
    for (const ScaleRuleInfo& rule : kScaleRules) {
      for (const Ties ties : {Ties::even, Ties::zero, Ties::away}) {
        QuantizeOptions options;
        options.recipe = {rule.rule, ties};
        options.reference = t.scales.data();
        ErrorStats stats;
        const Mxfp4Tensor back = again(t, dtype, options, &stats);
        EXPECT_EQ(back.scales, t.scales) << rule.name << ", seed 53";
        EXPECT_EQ(back.codes, t.codes) << rule.name << ", seed 53";
        EXPECT_EQ(stats.lossless_blocks, stats.blocks) << rule.name;
      }
    }
  }
}

}  // namespace
}  // namespace mxfp4
