#include "mxfp4/checkpoint/stored_blocks.h"

#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/test_error_internal.h"
#include "mxfp4/codec/nibble.h"

namespace mxfp4 {
namespace {

/// Three rows of two blocks; element i of block b has code (i + 3 * b) % 16, the scale is 100 + b.
struct Blocks {
  std::vector<std::uint8_t> apart, scales, in_turns;
  StoredBlocks plain, turns;

  Blocks() {
    for (std::size_t b = 0; b < 6; ++b) {
      const auto code = [&](std::size_t i) { return static_cast<std::uint8_t>((i + 3 * b) % 16); };
      scales.push_back(static_cast<std::uint8_t>(100 + b));
      in_turns.push_back(scales.back());
      for (std::size_t i = 0; i < 16; ++i) {
        apart.push_back(pack_nibbles(code(2 * i), code(2 * i + 1)));
        in_turns.push_back(pack_nibbles(code(i), code(i + 16)));
      }
    }
    plain.codes = apart.data();
    plain.scales = scales.data();
    plain.shape = turns.shape = {3, 64};
    turns.codes = in_turns.data() + 1;
    turns.scales = in_turns.data();
    turns.code_pitch = turns.scale_pitch = 17;
    turns.order = NibbleOrder::split16;
  }
};

TEST(StoredBlocks, RowsAreReadInPlaceWhereTheyLieSo) {
  const Blocks blocks;
  const Mxfp4View two = blocks.plain.rows(1, 2, 1, 0, 64, nullptr);
  EXPECT_EQ(two.codes, blocks.apart.data() + 32);
  EXPECT_EQ(two.scales, blocks.scales.data() + 2);
  EXPECT_EQ(two.shape, (Shape{2, 64}));
  EXPECT_EQ(blocks.plain.rows(2, 1, 5, 32, 64, nullptr).scales, blocks.scales.data() + 5);
  EXPECT_EQ(blocks.plain.view().codes, blocks.apart.data());
}

TEST(StoredBlocks, ElsewhereTheyAreGathered) {
  const Blocks blocks;
  for (const StoredBlocks* const from : {&blocks.plain, &blocks.turns}) {
    std::vector<std::byte> scratch(StoredBlocks::scratch_bytes(2 * 32));
    const Mxfp4View rows = from->rows(0, 2, 2, 32, 64, scratch.data());  // the second blocks of rows 0 and 2
    ASSERT_EQ(rows.shape, (Shape{2, 32}));
    for (std::size_t row = 0; row < 2; ++row) {
      const std::size_t block = row == 0 ? 1 : 5;
      EXPECT_EQ(rows.scales[row], 100 + block);
      for (std::size_t i = 0; i < 32; ++i)
        EXPECT_EQ(nibble(rows.codes + 16 * row, i, rows.order), (i + 3 * block) % 16);
    }
    std::vector<std::uint8_t> codes(32), scales(2);
    copy_row(*from, 1, codes.data(), scales.data());
    EXPECT_EQ(codes, std::vector<std::uint8_t>(blocks.apart.begin() + 32, blocks.apart.begin() + 64));
    EXPECT_EQ(scales, (std::vector<std::uint8_t>{102, 103}));
  }
}

TEST(StoredBlocks, WhatLiesInTurnsIsNoView) {
  const Blocks blocks;
  EXPECT_EQ(error_of([&] { blocks.turns.view(); }).code(), ErrorCode::unsupported);
}

}  // namespace
}  // namespace mxfp4
