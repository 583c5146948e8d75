// The packed tile: 64 rows x 64 columns of a weight as 2048 bytes of codes and 128 of scales, which serve
// every kernel and every architecture. It is what the A operand of mma m16n8k16 wants: warp w has rows
// 16w..16w+15, lane 4g + t has
//
//   register 0: row g, columns 2t, 2t+1       register 2: row g, columns 2t+8, 2t+9
//   register 1: row g+8, the same             register 3: row g+8, the same
//
// and word j of the lane's 16 bytes holds its 8 codes of columns 16j..16j+15. The bits of a word lie where
// four shifts and masks make four registers of two bf16 each: sign at bit 15, e1 e0 m at bits 8..6 of a half,
// which is the value times 2^-126, as E2M1 and the subnormals of bf16 behave alike. Scale word (w, g) has the
// exponent fields of four factors: rows g and g+8, columns 0..31 and 32..63. Tiles of 64 rows follow each
// other along the columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/macros.h"

namespace mxfp4::kernel::cuda {

inline constexpr int kTileRows = 64, kTileColumns = 64;
inline constexpr int kTileCodeBytes = 2048, kTileScaleBytes = 128,
                     kTileBytes = kTileCodeBytes + kTileScaleBytes;
inline constexpr int kTileThreads = 128;

/// Where the code of (row, column) of a tile lies.
struct CodePlace {
  int thread;  ///< 0..127
  int word;    ///< of the thread, 0..3
  int reg;     ///< that the word gives, 0..3
  int half;    ///< of the register
};

MXFP4_CODEC CodePlace code_place(int row, int column) noexcept {
  const int in_step = column % 16;
  return {row / 16 * 32 + row % 8 * 4 + in_step % 8 / 2, column / 16, row % 16 / 8 + in_step / 8 * 2,
          column % 2};
}

struct RowColumn {
  int row, column;
};

/// Its inverse.
MXFP4_CODEC RowColumn code_at(CodePlace place) noexcept {
  const int lane = place.thread % 32;
  return {place.thread / 32 * 16 + lane / 4 + place.reg % 2 * 8,
          place.word * 16 + lane % 4 * 2 + place.half + place.reg / 2 * 8};
}

/// Bit of a word where bit b of the code of (register, half) lies; b is 0 for m, 1 and 2 for e0 and e1, 3 for
/// the sign.
MXFP4_CODEC int code_bit(int reg, int half, int b) noexcept {
  // sign, e1, e0, m of the low halves: 9 2 1 0, 19 12 11 10, 13 6 5 4, 15 8 7 14
  const std::uint32_t of_reg = reg == 0   ? 0x09020100u
                               : reg == 1 ? 0x130C0B0Au
                               : reg == 2 ? 0x0D060504u
                                          : 0x0F08070Eu;
  return static_cast<int>((of_reg >> (8 * b) & 31u) + 16u * static_cast<unsigned>(half)) % 32;
}

/// `code` at its place in a word.
MXFP4_CODEC std::uint32_t placed_code(int reg, int half, std::uint32_t code) noexcept {
  std::uint32_t word = 0;
  for (int b = 0; b < 4; ++b) word |= (code >> b & 1u) << code_bit(reg, half, b);
  return word;
}

/// Four registers of two bf16: values times 2^-126.
struct Registers {
  std::uint32_t r[4];
};

inline constexpr std::uint32_t kBf16Code = 0x81C081C0u;

MXFP4_CODEC Registers unpacked(std::uint32_t x) noexcept {
  return {{x << 6 & kBf16Code, (x >> 4 | x << 28) & kBf16Code, x << 2 & kBf16Code,
           (x & 0x81808180u) | (x >> 8 & 0x00400040u)}};
}

/// The masks are right for every word if they are for every single bit, as all they do is move bits.
constexpr bool unpacks_every_bit() noexcept {
  for (int reg = 0; reg < 4; ++reg) {
    for (int half = 0; half < 2; ++half) {
      for (int b = 0; b < 4; ++b) {
        const Registers here = unpacked(placed_code(reg, half, 1u << b));
        for (int r = 0; r < 4; ++r) {
          const std::uint32_t bit = (b == 3 ? 0x8000u : 0x40u << b) << (16 * half);
          if (here.r[r] != (r == reg ? bit : 0u)) return false;
        }
      }
    }
  }
  return true;
}
static_assert(unpacks_every_bit());

/// The bf16 factors of a scale word, as pairs: the low half for row g, the high half for row g + 8.
inline constexpr std::uint32_t kBf16Exponent = 0x7F807F80u;

MXFP4_CODEC std::uint32_t scale_word(std::uint32_t first_pair, std::uint32_t second_pair) noexcept {
  return first_pair | second_pair >> 8 | second_pair << 24;
}
MXFP4_CODEC std::uint32_t first_factors(std::uint32_t word) noexcept {
  return word & kBf16Exponent;
}
MXFP4_CODEC std::uint32_t second_factors(std::uint32_t word) noexcept {
  return (word << 8 | word >> 24) & kBf16Exponent;
}
static_assert((scale_word(kBf16Exponent, 0) & scale_word(0, kBf16Exponent)) == 0);
static_assert(second_factors(scale_word(0, kBf16Exponent)) == kBf16Exponent);

/// Bytes from a tile's beginning.
MXFP4_CODEC int code_offset(int thread) noexcept {
  return thread * 16;
}
MXFP4_CODEC int scale_offset(int warp, int lane) noexcept {
  return kTileCodeBytes + (warp * 8 + lane / 4) * 4;
}

/// A matrix of packed rows and columns, each completed to whole tiles.
struct TileGrid {
  int groups = 0;   ///< of 64 rows
  int columns = 0;  ///< tiles along the columns

  MXFP4_CODEC std::size_t bytes() const noexcept {
    return static_cast<std::size_t>(groups) * static_cast<std::size_t>(columns) * kTileBytes;
  }
  MXFP4_CODEC std::size_t offset(int group, int tile) const noexcept {
    return (static_cast<std::size_t>(group) * static_cast<std::size_t>(columns) +
            static_cast<std::size_t>(tile)) *
           kTileBytes;
  }
};

inline TileGrid tile_grid(std::size_t rows, std::size_t columns) noexcept {
  return {static_cast<int>((rows + kTileRows - 1) / kTileRows),
          static_cast<int>((columns + kTileColumns - 1) / kTileColumns)};
}

}  // namespace mxfp4::kernel::cuda
