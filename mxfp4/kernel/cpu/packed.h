// How weights lie for the product: groups of 16 rows, side by side in the lanes of a vector.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/macros.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {

// A group follows its rows in chunks of 4 blocks:
//
//   [4 x 16 scale bytes, less the group's base][4 x (4 vectors x 16 rows x 4 code bytes)]
//
// Vector j of a block holds in lane r the code bytes 4j .. 4j + 3 of row r, as they are in the checkpoint. A
// chunk is 17 lines of 64 bytes, none is split, and a thread reads one straight stream. The last chunk may
// have fewer blocks; a group ends on a line.
inline constexpr std::size_t kChunkBlocks = 4;
inline constexpr std::size_t kBlockCodes = kGroupRows * 16;
inline constexpr std::size_t kPackedBlock = kGroupRows + kBlockCodes;
inline constexpr std::size_t kChunkBytes = kChunkBlocks * kPackedBlock;

/// Scale bytes of a group span at most this much: their products stay within f32, normal numbers all.
inline constexpr int kMostSpan = 90;

MXFP4_CODEC std::size_t packed_group_bytes(std::size_t blocks) noexcept {
  return (blocks * kPackedBlock + 63) / 64 * 64;
}

/// Where block b of a group lies.
struct PackedBlock {
  std::size_t scales, codes;
};
MXFP4_CODEC PackedBlock packed_block(std::size_t b, std::size_t blocks) noexcept {
  const std::size_t first = b / kChunkBlocks * kChunkBlocks;
  const std::size_t width = blocks - first < kChunkBlocks ? blocks - first : kChunkBlocks;
  const std::size_t chunk = first * kPackedBlock, place = b - first;
  return {chunk + place * kGroupRows, chunk + width * kGroupRows + place * kBlockCodes};
}

/// Whether all 32 elements of a block, in 16 code bytes, are 0 or -0.
MXFP4_CODEC bool is_zero_block(const std::uint8_t* codes) noexcept {
  int bits = 0;
  for (int i = 0; i < 16; ++i) bits |= codes[i];
  return (bits & 0x77) == 0;
}

}  // namespace mxfp4::kernel
