// How a token stands for a weight that is used where it lies, and which rows that serves.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/macros.h"
#include "mxfp4/kernel/cpu/token_format.h"
#include "mxfp4/kernel/linear_ops.h"

namespace mxfp4::kernel {

// A row is taken in chunks of four blocks: 64 code bytes, which are sixteen lanes of four. The record of a
// token follows the chunks; the last is completed with zeros. One of integers of D digits:
//
//   [D x ([64 digits that meet the low nibbles][64 that meet the high ones])][16 starts][16 x 2^39 * step /
//   2]
//
// Lane l of each holds what meets code bytes 4 l .. 4 l + 3, which are of block l / 4. A lane's sum of
// products starts from its start, which takes out what an instruction set adds to its weights. A chunk of
// floats is
//
//   [8 x 16 floats, times 2^39]
//
// where vector i holds what meets nibble i of each lane. A raw record is that of a packed weight.
inline constexpr std::size_t kRowChunk = 4;  ///< blocks
inline constexpr std::size_t kRowLanes = 16;
inline constexpr std::size_t kRowChunkCodes = kRowChunk * 16;
inline constexpr std::size_t kRowPlane = 2 * kRowChunkCodes;  ///< bytes of a digit of a chunk

// The row kernels take scale bytes as they are: 2^(byte - 127). With tokens as much as 2^80 below their
// largest value the steps of three digits go down to 2^-102, or 2^-63 with the factor that records have. So
// products with scale bytes from 64 on are normal numbers, and with those up to 178 sums of 2^30 of them stay
// below 2^127. Blocks of zeros may have any other scale: zero times it is zero.
inline constexpr int kRowExponent = 39;  ///< records hold x * 2^(39 - plan.exponent)
inline constexpr std::uint8_t kLeastRowScale = 64, kMostRowScale = 178;

MXFP4_CODEC std::size_t row_chunk_bytes(TokenFormat format) noexcept {
  return is_integers(format) ? kRowPlane * digits_of(format) + 2 * kRowLanes * 4 : 8 * kRowLanes * 4;
}

MXFP4_CODEC std::size_t row_record_bytes_of(TokenFormat format, std::size_t blocks) noexcept {
  return format == TokenFormat::raw ? blocks * block_record_bytes(format)
                                    : (blocks + kRowChunk - 1) / kRowChunk * row_chunk_bytes(format);
}

}  // namespace mxfp4::kernel
