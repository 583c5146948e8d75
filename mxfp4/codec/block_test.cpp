#include "mxfp4/codec/block.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/test_blocks.h"

namespace mxfp4 {
namespace {

constexpr Ties kAllTies[] = {Ties::even, Ties::zero, Ties::away};
constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

constexpr float kFour[2] = {4.0f, 0.25f};
static_assert(encode(-3.0f, 127, Ties::even) == 13 && decode(13, 127) == -3.0f);
static_assert(block_byte(kFour, 2, Recipe{}) == 127 && block_byte(kFour, 2, {ScaleRule::ceil}) == 127);

int size_of(const std::vector<float>& block) {
  return static_cast<int>(block.size());
}

/// Squared error under `byte` minus that under `base`, in units of base's scale squared; in long double.
long double difference(const std::vector<float>& block, int base, int byte) {
  const auto rounded = [](long double v) {
    long double best = 0;
    for (const float value : kE2m1Magnitudes) {
      if (std::fabs(v - value) < std::fabs(v - best)) best = value;
    }
    return best;
  };
  long double sum = 0;
  for (const float x : block) {
    const long double v = std::ldexp(static_cast<long double>(std::fabs(x)), 127 - base);
    const long double q0 = rounded(v);
    const long double q = std::ldexp(rounded(std::ldexp(v, base - byte)), byte - base);
    sum += (q0 - q) * (2 * v - q0 - q);
  }
  return sum;
}

TEST(Encode, GivesEveryCodeBackUnderEveryScale) {
  for (const Ties ties : kAllTies) {
    for (int byte = 0; byte < 255; ++byte) {
      for (int code = 0; code < 16; ++code) {
        const float x = decode(static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(byte));
        if (std::isinf(x)) continue;  // above f32: codes 4 to 7 under byte 254, 6 and 7 under 253
        EXPECT_EQ(encode(x, static_cast<std::uint8_t>(byte), ties), code) << "byte " << byte;
      }
    }
  }
}

TEST(Encode, SendsEveryTieUnderEveryScaleWhereTheRuleSays) {
  for (int byte = 0; byte < 253; ++byte) {
    for (int c = 0; c < 7; ++c) {
      const float tie = std::ldexp(kE2m1Midpoints[c], byte - 127);
      const auto under = [&](float x, Ties ties) { return encode(x, static_cast<std::uint8_t>(byte), ties); };
      EXPECT_EQ(under(tie, Ties::zero), c) << "byte " << byte;
      EXPECT_EQ(under(tie, Ties::away), c + 1) << "byte " << byte;
      EXPECT_EQ(under(tie, Ties::even), c % 2 == 0 ? c : c + 1) << "byte " << byte;
      EXPECT_EQ(under(-tie, Ties::away), (c + 1) | 8) << "byte " << byte;
      for (const Ties ties : kAllTies) {
        EXPECT_EQ(under(std::nextafter(tie, 0.0f), ties), c) << "byte " << byte;
        EXPECT_EQ(under(std::nextafter(tie, kInfinity), ties), c + 1) << "byte " << byte;
      }
    }
  }
}

TEST(Encode, KeepsTheSignOfWhatRoundsToZero) {
  for (const int byte : {0, 1, 127, 254}) {
    const auto scale = static_cast<std::uint8_t>(byte);
    EXPECT_EQ(encode(-0.0f, scale, Ties::even), 8);
    EXPECT_EQ(encode(0.0f, scale, Ties::even), 0);
    EXPECT_EQ(encode(-0x1p-149f, scale, Ties::even), 8);
  }
}

TEST(Encode, SaturatesInfinityAndDropsNaN) {
  EXPECT_EQ(encode(kInfinity, 127, Ties::even), 7);
  EXPECT_EQ(encode(-kInfinity, 254, Ties::even), 15);
  EXPECT_EQ(encode(kNaN, 127, Ties::even), 0);
  EXPECT_EQ(encode(-kNaN, 127, Ties::even), 0);
}

TEST(Decode, IsTheExactProductForEveryByteAndCode) {
  for (int byte = 0; byte < 255; ++byte) {
    for (int code = 0; code < 16; ++code) {
      const double exact = std::ldexp(e2m1_value(static_cast<std::uint8_t>(code)), byte - 127);
      const float value = decode(static_cast<std::uint8_t>(code), static_cast<std::uint8_t>(byte));
      EXPECT_EQ(std::signbit(value), code >= 8) << "byte " << byte << ", code " << code;
      if (std::fabs(exact) > 0x1.fffffep127) {
        EXPECT_TRUE(std::isinf(value)) << "byte " << byte << ", code " << code;
      } else {
        EXPECT_EQ(value, exact) << "byte " << byte << ", code " << code;
      }
    }
  }
}

TEST(Decode, GivesNaNForEveryCodeUnderByte255) {
  for (std::uint8_t code = 0; code < 16; ++code) EXPECT_TRUE(std::isnan(decode(code, 255))) << int{code};
}

TEST(Optimal, IsTheBestOfAll255ScalesOnEveryFamilyOfBlocks) {
  constexpr int kBlocks = 50;
  for (const test::BlockFamily& family : test::block_families()) {
    test::Random random(7);
    for (int i = 0; i < 3 * kBlocks; ++i) {
      const int short_block = test::integer(random, 1, 31);
      const std::vector<float> block = test::make_block(family,
                                                        static_cast<std::size_t>(i % 3 == 0   ? 32
                                                                                 : i % 3 == 1 ? 16
                                                                                              : short_block),
                                                        random);
      const int base = scale_byte(ScaleRule::floor, finite_amax(block.data(), size_of(block)));
      const int chosen = optimal_byte(block.data(), size_of(block));
      const long double reached = difference(block, base, chosen);
      for (int byte = 0; byte < 255; ++byte) {
        ASSERT_LE(reached, difference(block, base, byte))
            << family.name << ", seed 7, block " << i << ": byte " << chosen << " against " << byte << " for "
            << test::to_string(block);
      }
      EXPECT_TRUE(chosen == base || reached < 0)
          << family.name << ", seed 7, block " << i << ": s0 is as good as byte " << chosen;
    }
  }
}

TEST(Optimal, IsNeverWorseThanAnotherRule) {
  for (const test::BlockFamily& family : test::block_families()) {
    test::Random random(11);
    for (int i = 0; i < 1000; ++i) {
      const std::vector<float> block = test::make_block(family, i % 2 == 0 ? 32 : 16, random);
      const std::uint8_t chosen = optimal_byte(block.data(), size_of(block));
      for (const ScaleRuleInfo& rule : kScaleRules) {
        const std::uint8_t other = scale_byte(rule.rule, finite_amax(block.data(), size_of(block)));
        EXPECT_GE(excess_error(block.data(), size_of(block), chosen, other), 0)
            << family.name << ", seed 11, block " << i << ": " << rule.name << " beats byte " << int{chosen};
      }
    }
  }
}

TEST(Optimal, TakesHalfTheScaleWhereTheMaximumIsTheOnlyLargeElement) {
  std::vector<float> block(32, 0.25f);  // error 1.9375 under s0 and 2 * s0, 1 under s0 / 2
  block[0] = 4.0f;
  EXPECT_EQ(optimal_byte(block.data(), 32), 126);
  EXPECT_EQ(difference(block, 127, 126), -0.9375L);
  EXPECT_EQ(difference(block, 127, 128), 0.0L);
}

TEST(Optimal, HalfTheScaleNeedsSeventeenElementsThatGain) {
  std::vector<float> block(32, 0.25f);
  block[0] = 4.0f;
  EXPECT_EQ(optimal_byte(block.data(), 17), 127);  // 16 gain 1/16 each, the maximum loses 1: a tie keeps s0
  EXPECT_EQ(difference({block.begin(), block.begin() + 17}, 127, 126), 0.0L);
  EXPECT_EQ(optimal_byte(block.data(), 18), 126);
}

TEST(Optimal, FindsTheLastMaximumForWhichHalfTheScaleWins) {
  std::vector<float> block(32, 0.25f);
  block[0] = std::nextafter(4.46875f, 0.0f);
  EXPECT_EQ(optimal_byte(block.data(), 32), 126);
  block[0] = 4.46875f;
  EXPECT_EQ(optimal_byte(block.data(), 32), 127);
}

TEST(Optimal, TakesTwiceTheScaleJustAboveSeven) {
  std::vector<float> block(32, 0.0f);
  block[0] = 7.0f;
  EXPECT_EQ(optimal_byte(block.data(), 32), 127);
  block[0] = std::nextafter(7.0f, 8.0f);
  EXPECT_EQ(optimal_byte(block.data(), 32), 128);
}

TEST(ExcessError, IsExactInAnyOrderForTheCandidatesOfOptimal) {
  for (const test::BlockFamily& family : test::block_families()) {
    test::Random random(13);
    for (int i = 0; i < 300; ++i) {
      std::vector<float> block = test::make_block(family, 32, random);
      const std::uint8_t base = scale_byte(ScaleRule::floor, finite_amax(block.data(), 32));
      for (const int byte : {base - 7, base - 1, base + 1, base + 9}) {
        if (byte < 0 || byte > 254) continue;
        const double forward = excess_error(block.data(), 32, base, static_cast<std::uint8_t>(byte));
        EXPECT_EQ(forward, difference(block, base, byte)) << family.name << ", seed 13, block " << i;
        std::shuffle(block.begin(), block.end(), random);
        EXPECT_EQ(forward, excess_error(block.data(), 32, base, static_cast<std::uint8_t>(byte)))
            << family.name << ", seed 13, block " << i;
      }
    }
  }
}

TEST(KeptByte, IsTheReferenceExactlyWhereItsErrorIsNoLarger) {
  for (const test::BlockFamily& family : test::block_families()) {
    test::Random random(17);
    for (int i = 0; i < 30; ++i) {
      const std::vector<float> block = test::make_block(family, 32, random);
      for (const ScaleRuleInfo& rule : kScaleRules) {
        const std::uint8_t own = block_byte(block.data(), 32, {rule.rule});
        for (int reference = 0; reference<255; reference += std::abs(reference - own)> 12 ? 5 : 1) {
          const int expected = difference(block, own, reference) <= 0 ? reference : own;
          ASSERT_EQ(kept_byte(block.data(), 32, own, static_cast<std::uint8_t>(reference)), expected)
              << family.name << ", seed 17, block " << i << ", " << rule.name << ": "
              << test::to_string(block);
        }
      }
    }
  }
}

TEST(KeptByte, KeepsEveryScaleUnderWhichABlockIsLossless) {
  for (int byte = 0; byte < 255; ++byte) {
    const auto scale = static_cast<std::uint8_t>(byte);
    std::vector<float> block;
    for (std::uint8_t code = 0; code < 16; ++code) {
      const float x = decode(code, scale);
      if (std::isfinite(x)) block.push_back(x);
    }
    for (const ScaleRuleInfo& rule : kScaleRules) {
      const std::uint8_t own = block_byte(block.data(), size_of(block), {rule.rule});
      EXPECT_EQ(kept_byte(block.data(), size_of(block), own, scale), scale) << rule.name;
    }
  }
}

TEST(KeptByte, NeverTakesOrGivesUpANaNBlock) {
  const float x[2] = {1.0f, 0.5f};
  EXPECT_EQ(kept_byte(x, 2, 125, 255), 125);
  EXPECT_EQ(kept_byte(x, 2, 255, 125), 255);
}

TEST(BlockByte, TreatsNonFiniteElementsAsThePolicySays) {
  for (const float bad : {kInfinity, -kInfinity, kNaN}) {
    const float x[4] = {6.0f, bad, 0.5f, -3.0f};
    EXPECT_EQ(block_byte(x, 4, {ScaleRule::floor, Ties::even, NonFinite::nan_block}), 255);
    EXPECT_EQ(block_byte(x, 4, {ScaleRule::floor, Ties::even, NonFinite::saturate}), 127);
    EXPECT_EQ(block_byte(x, 4, {ScaleRule::optimal, Ties::even, NonFinite::saturate}), 127);
  }
}

}  // namespace
}  // namespace mxfp4
