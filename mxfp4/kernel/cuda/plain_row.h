// Rows whose scales lie too far apart to be packed: their sums from codes and scales as a file has them.
#pragma once

#include "mxfp4/codec/e8m0.h"
#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/cuda/epilogue.h"

namespace mxfp4::kernel::cuda {

/// A matrix that has such a row; without codes it has none.
struct PlainMatrix {
  PackSource source;

  MXFP4_CODEC bool empty() const noexcept { return source.codes[0] == nullptr; }
};

/// E2M1's bits on top of a mantissa are the value times 2^-126, subnormals included.
MXFP4_CODEC float plain_value(std::uint8_t code) noexcept {
  return bit_cast<float>((code & 8u) << 28 | (code & 7u) << 22) * 0x1p126f;
}

/// What a lane adds up for a row: blocks lane, lane + 32, ..., each multiplied with its scale as a whole, so
/// that no scale overflows which its sum does not.
MXFP4_CODEC float plain_sum(const Product& p, const PackSource& source, const RowSource& row,
                            std::size_t activation, int lane) noexcept {
  const auto terms = static_cast<std::size_t>(p.terms);
  const std::size_t pitch = static_cast<std::size_t>(p.tiles.columns) * kTileColumns;
  const std::uint16_t* const hi = p.x + activation * terms * pitch;
  float sum = 0;
  for (std::size_t b = static_cast<std::size_t>(lane); source.has(row, b); b += 32) {
    const std::uint8_t* const codes = source.codes[row.matrix] + source.block_index(row, b) * 16;
    float block = 0;
    for (std::size_t i = 0; i < 32; ++i) {
      const std::uint16_t* const at = hi + b * 32 + i;
      const float x = bf16_to_f32(at[0]) + (terms == 2 ? bf16_to_f32(at[pitch]) : 0.0f);
      block += plain_value(nibble(codes, i, source.nibbles[row.matrix])) * x;
    }
    sum += block * e8m0_value(source.byte(row, b));
  }
  return sum;
}

/// The packed row of plain row or unit `row`; of a unit, its gate's.
MXFP4_CODEC std::size_t packed_row_of(std::size_t row, bool gated) noexcept {
  return gated ? row / 8 * 16 + row % 8 : row;
}

}  // namespace mxfp4::kernel::cuda
