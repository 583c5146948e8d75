#include "mxfp4/codec/scale_rule.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <set>
#include <string_view>

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

static_assert(scale_byte(ScaleRule::floor, 6.0f) == 127 && scale_byte(ScaleRule::ceil, 6.0f) == 128);
static_assert(scale_byte(ScaleRule::optimal, 1.0f) == scale_byte(ScaleRule::floor, 1.0f));

int clamped(int k) {
  return std::clamp(k + 127, 0, 254);
}

int floor_log2(double a) {
  return std::ilogb(a);
}
int ceil_log2(double a) {
  return std::ilogb(a) + (std::ldexp(1.0, std::ilogb(a)) < a);
}

/// The least k with a^2 <= square * 4^k; all of this is exact for an f32 a.
int least_k(double a, double square) {
  int k = floor_log2(a) - 5;
  while (a * a > square * std::ldexp(1.0, 2 * k)) ++k;
  return k;
}

/// The greatest k with 6 * 2^k <= a.
int greatest_k6(double a) {
  int k = floor_log2(a);
  while (6 * std::ldexp(1.0, k) > a) --k;
  return k;
}

/// The definition of a rule, in real numbers; `rceil` in the integers of a / 6.
int defined_byte(ScaleRule rule, float a) {
  if (a == 0) return 0;
  switch (rule) {
    case ScaleRule::floor:
    case ScaleRule::optimal:
      return clamped(floor_log2(a) - 2);
    case ScaleRule::even:
      return clamped(static_cast<int>(((f32_bits(a) + 0x200000) >> 23) & 0xFF) - 129);
    case ScaleRule::rceil:
      return static_cast<int>(((f32_bits(a / 6.0f) + 0x7FFFFF) & 0x7F800000) >> 23);
    case ScaleRule::ceil:
      return clamped(ceil_log2(a) - 2);
    case ScaleRule::t725:
      return clamped(least_k(a, 7.25 * 7.25));
    case ScaleRule::round6:
      return clamped(least_k(a, 72));  // log2(a / 6) <= k + 1/2
    case ScaleRule::floor6:
      return clamped(greatest_k6(a));
  }
  return -1;
}

void expect_as_defined(ScaleRule rule, std::uint32_t bits) {
  const float a = bit_cast<float>(bits);
  EXPECT_EQ(scale_byte(rule, a), defined_byte(rule, a))
      << info(rule).name << " of " << a << ", bits " << bits;
}

TEST(ScaleRule, MatchesItsDefinitionAroundEveryThresholdAtEveryExponent) {
  std::set<std::uint32_t> mantissas;
  for (const double threshold : {1.0, 1.5, 1.75, 1.8125, std::sqrt(72.0) / 8, 1.25, 1.999999}) {
    const auto at = static_cast<std::int64_t>((threshold - 1) * 8388608);
    for (std::int64_t m = at - 3; m <= at + 3; ++m)
      mantissas.insert(static_cast<std::uint32_t>(m & 0x7FFFFF));
  }
  std::mt19937 random(1);
  for (int i = 0; i < 200; ++i) mantissas.insert(static_cast<std::uint32_t>(random() & 0x7FFFFF));
  for (const ScaleRuleInfo& rule : kScaleRules) {
    for (std::uint32_t exponent = 0; exponent < 255; ++exponent) {
      for (const std::uint32_t mantissa : mantissas) expect_as_defined(rule.rule, exponent << 23 | mantissa);
    }
  }
}

TEST(ScaleRule, MatchesItsDefinitionOnSubnormals) {
  std::set<std::uint32_t> subnormals;
  for (std::uint32_t bits = 0; bits < 4096; ++bits) subnormals.insert(bits);
  for (std::uint32_t edge = 4096; edge <= 0x1000000; edge *= 2) {  // up to 2^-125, scaled by every threshold
    for (const double threshold : {1.0, 1.5, 1.75, 1.8125, std::sqrt(72.0) / 8, 1.25}) {
      const auto at = static_cast<std::uint32_t>(threshold * edge);
      for (std::uint32_t bits = at - 4; bits <= at + 4; ++bits) subnormals.insert(bits);
    }
  }
  for (const ScaleRuleInfo& rule : kScaleRules) {
    for (const std::uint32_t bits : subnormals) expect_as_defined(rule.rule, bits);
  }
}

TEST(ScaleRule, RceilIsTheExactCeilingAboveByteOne) {
  std::mt19937 random(2);
  for (int i = 0; i < 200000; ++i) {
    const float a = bit_cast<float>(static_cast<std::uint32_t>(random() % 0x7F800000u));
    const int exact = a == 0 ? 0 : clamped(least_k(a, 36));
    EXPECT_EQ(scale_byte(ScaleRule::rceil, a), std::max(exact, a > 0x3p-149f ? 1 : 0))
        << f32_bits(a) << ", seed 2";
  }
}

TEST(ScaleRule, GivesAZeroBlockByteZero) {
  for (const ScaleRuleInfo& rule : kScaleRules) EXPECT_EQ(scale_byte(rule.rule, 0.0f), 0) << rule.name;
}

TEST(ScaleRule, NeverReachesByte254) {
  for (const ScaleRuleInfo& rule : kScaleRules) {
    EXPECT_LE(scale_byte(rule.rule, 0x1.fffffep127f), 253) << rule.name;
  }
}

TEST(ScaleRule, StandsInTheTableAtItsOwnPlace) {
  std::set<std::string_view> names;
  for (const ScaleRuleInfo& rule : kScaleRules) {
    EXPECT_EQ(&info(rule.rule), &rule) << rule.name;
    EXPECT_TRUE(names.insert(rule.name).second) << rule.name;
  }
}

}  // namespace
}  // namespace mxfp4
