// Who holds what of mma m16n8k16, and where activations lie in shared memory for ldmatrix.
#pragma once

#include <cstdint>

#include "mxfp4/kernel/cuda/layout.h"

namespace mxfp4::kernel::cuda {

/// Accumulator i = 0..3 of a lane: row of the weights, column among the 8 of the activations.
MXFP4_CODEC RowColumn accumulator_place(int lane, int i) noexcept {
  return {lane / 4 + i / 2 * 8, lane % 4 * 2 + i % 2};
}

/// Activations of one stage: rows of 64 bf16, which are 8 chunks of 16 bytes; chunk c of row r lies in place
/// of chunk c ^ (r % 8), so that 8 rows of one chunk fall into different banks.
inline constexpr int kStageRowBytes = 2 * kTileColumns;

MXFP4_CODEC int chunk_offset(int row, int chunk) noexcept {
  return row * kStageRowBytes + (chunk ^ (row % 8)) * 16;
}

/// The address that a lane gives ldmatrix.x4 for the B operands of rows 8n..8n+7 and steps 2p and 2p + 1 of
/// 16 columns: matrix m = lane / 8 is chunk 4p + m. Registers 0 and 1 are those of step 2p, 2 and 3 those of
/// step 2p + 1.
MXFP4_CODEC int ldmatrix_offset(int lane, int n, int p) noexcept {
  return chunk_offset(8 * n + lane % 8, 4 * p + lane / 8);
}

/// Memory of a stage: weights of `groups` tiles, then 8 rows of activations for each of n_tiles.
struct Stage {
  int groups, n_tiles;

  MXFP4_CODEC int weights() const noexcept { return groups * kTileBytes; }
  MXFP4_CODEC int bytes() const noexcept { return weights() + 8 * n_tiles * kStageRowBytes; }
  MXFP4_CODEC int weight_chunks() const noexcept { return weights() / 16; }
  MXFP4_CODEC int chunks() const noexcept { return bytes() / 16; }
};
// ldmatrix and the swizzle need rows at a multiple of 128 bytes from the beginning of shared memory.
static_assert(kTileBytes % 128 == 0);

}  // namespace mxfp4::kernel::cuda
