#include <cmath>
#include <cstring>
#include <map>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/codec/block.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/job/synth_weights_internal.h"

namespace mxfp4::job {
namespace {

std::vector<float> bf16_weights(std::uint64_t key, std::size_t count) {
  std::vector<std::byte> bytes(2 * count);
  random_bf16(key, bytes);
  std::vector<float> weights(count);
  for (std::size_t i = 0; i < count; ++i) {
    std::uint16_t bits = 0;
    std::memcpy(&bits, bytes.data() + 2 * i, 2);
    weights[i] = bf16_to_f32(bits);
  }
  return weights;
}

TEST(SynthWeights, FollowTheNormalDistribution) {
  const std::vector<float> weights = bf16_weights(5, 1 << 20);
  for (const double limit : {-3.0, -2.0, -1.0, -0.5, 0.5, 1.0, 2.0, 3.0}) {
    double below = 0;
    for (const float weight : weights) below += static_cast<double>(weight) < 0.02 * limit;
    const double expected = 0.5 * std::erfc(-limit / std::sqrt(2.0));
    EXPECT_NEAR(below / static_cast<double>(weights.size()), expected, 0.004) << limit;
  }
}

// The first bytes of a stream, so that a change of the generator does not go unseen.
TEST(SynthWeights, AreTheSameForever) {
  std::vector<std::byte> bytes(8);
  random_bf16(random_key(0, "model.norm.weight", 0), bytes);
  std::uint64_t first = 0;
  std::memcpy(&first, bytes.data(), 8);
  EXPECT_EQ(first, 0xBC8C3C5BBCD53C8Au) << std::hex << first;
}

TEST(SynthWeights, DependOnSeedTensorAndUnit) {
  const std::uint64_t key = random_key(1, "a", 0);
  EXPECT_NE(key, random_key(2, "a", 0));
  EXPECT_NE(key, random_key(1, "b", 0));
  EXPECT_NE(key, random_key(1, "a", 1));
  EXPECT_EQ(key, random_key(1, "a", 0));
}

TEST(SynthWeights, ThatAreFewBeginAsManyDo) {
  const std::vector<float> many = bf16_weights(9, 64);
  for (const std::size_t count : {0, 1, 3, 5, 63}) {
    EXPECT_EQ(bf16_weights(9, count),
              std::vector<float>(many.begin(), many.begin() + static_cast<int>(count)));
  }
}

TEST(SynthWeights, InMxfp4LookLikeQuantisedOnes) {
  constexpr std::size_t kBlocks = 1 << 13;
  std::vector<std::byte> codes(16 * kBlocks), scales(kBlocks);
  random_mxfp4(3, codes, scales);
  const std::vector<float> weights = bf16_weights(4, 32 * kBlocks);
  std::map<int, double> expected, found;
  double signal = 0, energy = 0;
  for (std::size_t block = 0; block < kBlocks; ++block) {
    ++expected[optimal_byte(&weights[32 * block], 32)];
    const auto byte = std::to_integer<std::uint8_t>(scales[block]);
    ++found[byte];
    for (std::size_t i = 0; i < 32; ++i) {
      const std::uint8_t code =
          nibble(reinterpret_cast<const std::uint8_t*>(&codes[16 * block]), i, NibbleOrder::interleaved);
      const double value = decode(code, byte), weight = weights[32 * block + i];
      energy += value * value;
      signal += weight * weight;
    }
  }
  for (const auto& [byte, count] : expected) EXPECT_NEAR(found[byte], count, 0.03 * kBlocks) << byte;
  EXPECT_NEAR(energy / signal, 1, 0.05);
}

}  // namespace
}  // namespace mxfp4::job
