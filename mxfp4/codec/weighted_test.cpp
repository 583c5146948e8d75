#include "mxfp4/codec/weighted.h"

#include <cmath>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/test_blocks.h"

namespace mxfp4 {
namespace {

/// Weights small enough that sums with few-bit elements are exact: then the best byte is a matter of fact.
std::vector<float> some_weights(std::size_t n, test::Random& random) {
  std::vector<float> weights(n);
  const auto kind = random() % 4;
  for (float& weight : weights) {
    weight = kind == 0   ? 1.0f
             : kind == 1 ? static_cast<float>(random() % 2)
             : kind == 2 ? std::ldexp(1.0f, -static_cast<int>(random() % 20))
                         : static_cast<float>(random() % 1000);
  }
  return weights;
}

long double error_under(const std::vector<float>& x, const std::vector<float>& w, int byte) {
  long double sum = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double scale = std::ldexp(1.0L, byte - 127),
                      magnitude = std::fabs(static_cast<long double>(x[i]));
    long double nearest = magnitude;
    for (const float value : kE2m1Magnitudes)
      nearest = std::min(nearest, std::fabs(magnitude - value * scale));
    sum += w[i] * nearest * nearest;
  }
  return sum;
}

TEST(Weighted, IsNeverWorseThanAnyOfAllBytes) {
  test::Random random(5);
  for (const std::size_t n : {32u, 16u, 7u}) {
    for (const test::BlockFamily& family : test::block_families()) {
      for (int round = 0; round < 20; ++round) {
        const std::vector<float> x = test::make_block(family, n, random);
        const std::vector<float> w = some_weights(n, random);
        const std::uint8_t byte = weighted_byte(x.data(), w.data(), static_cast<int>(n));
        const long double error = error_under(x, w, byte);
        for (int other = 0; other < 255; ++other) {
          ASSERT_LE(error, error_under(x, w, other) * (1 + 1e-12L))
              << family.name << ", byte " << int{byte} << " against " << other;
        }
      }
    }
  }
}

TEST(Weighted, EqualWeightsGiveTheOptimalByte) {
  test::Random random(6);
  for (const test::BlockFamily& family : test::block_families()) {
    for (int round = 0; round < 100; ++round) {
      const std::vector<float> x = test::make_block(family, 32, random), ones(32, 0.5f);
      ASSERT_EQ(weighted_byte(x.data(), ones.data(), 32), optimal_byte(x.data(), 32)) << family.name;
    }
  }
}

TEST(Weighted, GoesAsFarDownAsItTakes) {
  std::vector<float> x(32, 0x1p-6f), w(32, 1.0f);
  x[0] = 4;
  w[0] = 0;
  EXPECT_EQ(weighted_byte(x.data(), w.data(), 32), 122);
  w.assign(32, 0.0f);
  EXPECT_EQ(weighted_byte(x.data(), w.data(), 32), 127);  // nothing matters: that of s0
}

}  // namespace
}  // namespace mxfp4
