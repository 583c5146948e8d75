// How rows of a weight become packed rows: their order, their exponents, the words.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/bits.h"
#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/nibble.h"
#include "mxfp4/kernel/cuda/layout.h"

namespace mxfp4::kernel::cuda {

/// A packed row's source. In a gated projection row g of each 16 is a gate and row g + 8 its up, so that one
/// thread holds both: unit 32 * group + 8 * warp + g.
enum class RowOrder : std::uint8_t {
  plain,      ///< packed row p is row p
  alternate,  ///< gate of unit u is row 2u, up is row 2u + 1
  separate,   ///< gate is row u of the first matrix, up row u of the second
};

struct RowSource {
  int matrix;  ///< 0 or 1
  std::size_t row;
};

MXFP4_CODEC std::size_t unit_of(std::size_t packed_row) noexcept {
  return packed_row / 16 * 8 + packed_row % 8;
}
MXFP4_CODEC bool is_up(std::size_t packed_row) noexcept {
  return packed_row % 16 >= 8;
}

MXFP4_CODEC RowSource row_source(std::size_t packed_row, RowOrder order) noexcept {
  if (order == RowOrder::plain) return {0, packed_row};
  const std::size_t unit = unit_of(packed_row);
  const int up = is_up(packed_row) ? 1 : 0;
  if (order == RowOrder::separate) return {up, unit};
  return {0, 2 * unit + static_cast<std::size_t>(up)};
}

/// Packed rows of `units` gates and as many ups, or of so many plain rows.
MXFP4_CODEC std::size_t packed_rows(std::size_t units, RowOrder order) noexcept {
  if (order == RowOrder::plain) return units;
  return (units + 7) / 8 * 16;
}

/// Scale bytes of the blocks of a row that are not all zero; NaN if any byte is 255.
struct RowBytes {
  int least = 255, most = -1;
  bool nan = false;
};

MXFP4_CODEC void add_block(RowBytes& bytes, std::uint8_t byte, bool zero) noexcept {
  if (byte == kE8m0Nan) {
    bytes.nan = true;
  } else if (!zero) {
    bytes.least = byte < bytes.least ? byte : bytes.least;
    bytes.most = byte > bytes.most ? byte : bytes.most;
  }
}

/// A row's factors are relative to 2^h, which its sums are multiplied with at the end: 0 unless its largest
/// scale is above
/// 2. Factor 2^(byte - 1 - h), times the code's bits, which are 2^-126 of it, is value * 2^(byte - 127 - h).
MXFP4_CODEC int row_exponent(const RowBytes& bytes) noexcept {
  return bytes.most > 128 ? bytes.most - 128 : 0;
}
MXFP4_CODEC float row_factor(const RowBytes& bytes) noexcept {
  const std::uint32_t power = static_cast<std::uint32_t>(row_exponent(bytes) + 127) << 23;
  return bit_cast<float>(bytes.nan ? 0x7FC00000u : power);
}
/// Whether a row's scales do not fit beside each other: its largest is above 2 and its smallest less than
/// 2^-133 of that, where 0.5 is not a number of bf16 any more. No real weight has such a row.
MXFP4_CODEC bool too_wide(const RowBytes& bytes) noexcept {
  return bytes.most >= 0 && bytes.least - row_exponent(bytes) < -5;
}
/// The exponent field of a block's factor. A block of NaN has codes 0, its row a factor of NaN.
MXFP4_CODEC std::uint32_t scale_field(std::uint8_t byte, bool zero, int exponent) noexcept {
  return zero || byte == kE8m0Nan ? 1u : static_cast<std::uint32_t>(byte + 126 - exponent);
}

/// Matrices to pack from, in blocks of 32.
struct PackSource {
  const std::uint8_t* codes[2] = {nullptr, nullptr};
  const std::uint8_t* scales[2] = {nullptr, nullptr};
  NibbleOrder nibbles[2] = {NibbleOrder::interleaved, NibbleOrder::interleaved};
  RowOrder order = RowOrder::plain;
  std::size_t units = 0;   ///< plain rows, or gates
  std::size_t blocks = 0;  ///< of a row

  MXFP4_CODEC bool has(const RowSource& source, std::size_t block) const noexcept {
    const std::size_t rows = order == RowOrder::alternate ? 2 * units : units;
    return source.row < rows && block < blocks;
  }
  MXFP4_CODEC std::size_t block_index(const RowSource& source, std::size_t block) const noexcept {
    return source.row * blocks + block;
  }
  MXFP4_CODEC std::uint8_t byte(const RowSource& source, std::size_t block) const noexcept {
    return scales[source.matrix][block_index(source, block)];
  }
  MXFP4_CODEC bool zero(const RowSource& source, std::size_t block) const noexcept {
    const std::uint8_t* const bytes = codes[source.matrix] + block_index(source, block) * 16;
    std::uint32_t any = 0;
    for (int i = 0; i < 16; ++i) any |= bytes[i] & 0x77u;
    return any == 0;
  }
};

MXFP4_CODEC RowBytes row_bytes(const PackSource& source, std::size_t packed_row) noexcept {
  RowBytes bytes;
  const RowSource row = row_source(packed_row, source.order);
  for (std::size_t b = 0; source.has(row, b); ++b) add_block(bytes, source.byte(row, b), source.zero(row, b));
  return bytes;
}

/// Word `word` of thread `thread` in the tile of rows 64 * group.. and columns 64 * tile..
MXFP4_CODEC std::uint32_t packed_word(const PackSource& source, int group, int tile, int thread,
                                      int word) noexcept {
  std::uint32_t packed = 0;
  for (int reg = 0; reg < 4; ++reg) {
    for (int half = 0; half < 2; ++half) {
      const RowColumn at = code_at({thread, word, reg, half});
      const RowSource row = row_source(static_cast<std::size_t>(group * kTileRows + at.row), source.order);
      const std::size_t column =
          static_cast<std::size_t>(tile) * kTileColumns + static_cast<std::size_t>(at.column);
      if (!source.has(row, column / 32) || source.byte(row, column / 32) == kE8m0Nan) continue;
      const std::uint8_t* const block = source.codes[row.matrix] + source.block_index(row, column / 32) * 16;
      packed |= placed_code(reg, half, nibble(block, column % 32, source.nibbles[row.matrix]));
    }
  }
  return packed;
}

/// Scale word (warp, g); exponents are those of the packed rows.
MXFP4_CODEC std::uint32_t packed_scales(const PackSource& source, const std::int16_t* exponents, int group,
                                        int tile, int warp, int g) noexcept {
  std::uint32_t pair[2] = {0, 0};
  for (int block = 0; block < 2; ++block) {
    for (int high = 0; high < 2; ++high) {
      const auto packed_row = static_cast<std::size_t>(group * kTileRows + warp * 16 + g + 8 * high);
      const RowSource row = row_source(packed_row, source.order);
      const std::size_t b = static_cast<std::size_t>(tile) * 2 + static_cast<std::size_t>(block);
      const std::uint32_t field =
          source.has(row, b) ? scale_field(source.byte(row, b), source.zero(row, b), exponents[packed_row])
                             : 1u;
      pair[block] |= field << (high ? 23 : 7);
    }
  }
  return scale_word(pair[0], pair[1]);
}

}  // namespace mxfp4::kernel::cuda
