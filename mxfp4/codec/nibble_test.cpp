#include "mxfp4/codec/nibble.h"

#include <gtest/gtest.h>

namespace mxfp4 {
namespace {

static_assert(pack_nibbles(0x3, 0xA) == 0xA3);

TEST(Nibble, InterleavedBytesHoldNeighbours) {
  std::uint8_t block[16];
  for (int i = 0; i < 16; ++i)
    block[i] = pack_nibbles(static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(15 - i));
  for (std::size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(nibble(block, i, NibbleOrder::interleaved), i % 2 == 0 ? i / 2 : 15 - i / 2) << i;
  }
}

TEST(Nibble, Split16BytesHoldElementsOfBothHalves) {
  std::uint8_t block[16];
  for (int i = 0; i < 16; ++i)
    block[i] = pack_nibbles(static_cast<std::uint8_t>(i), static_cast<std::uint8_t>(15 - i));
  for (std::size_t i = 0; i < 32; ++i) {
    EXPECT_EQ(nibble(block, i, NibbleOrder::split16), i < 16 ? i : 31 - i) << i;
  }
}

}  // namespace
}  // namespace mxfp4
