// A product of packed weights with activations as its kernels and their emulator on the host see it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/codec/float16.h"
#include "mxfp4/kernel/cuda/activations.h"
#include "mxfp4/kernel/cuda/fragment.h"

namespace mxfp4::kernel::cuda {

/// Activations of one matrix that a thread block takes: positions [first, first + count).
struct TokenTile {
  int matrix, first, count;
};

/// Everything that a launch needs; all memory is the device's.
struct Product {
  const std::uint8_t* weights;  ///< packed, matrix after matrix
  TileGrid tiles;               ///< of one matrix
  const float* row_factors;     ///< [matrices, packed rows]
  const float* bias;            ///< the same, or null
  std::size_t packed_rows;      ///< of a matrix: 64 * groups

  const std::uint16_t* x;      ///< bf16 rows of 64 * tiles.columns, `terms` for each row of activations
  const std::int32_t* row_of;  ///< position -> row of activations; null: position p is row p
  int terms;

  const TokenTile* token_tiles;
  const std::int32_t* token_tile_count;  ///< null: all of the grid

  const float* input_weights;  ///< position -> what its activations are multiplied with; or null

  bool gated;
  const Unit* units;  ///< one, or one per matrix
  bool one_unit;
  std::uint16_t* hidden;  ///< gated: bf16 rows of hidden_pitch, `terms` for each position
  std::size_t hidden_pitch;

  void* out;         ///< else: rows of `rows` elements for each position
  std::size_t rows;  ///< plain rows, or gates
  int out_bytes;     ///< 4: f32, 2: bf16 or f16
  bool out_half;     ///< f16

  int chunk_tiles;     ///< tiles along the columns whose products are summed by themselves
  int chunks;          ///< 1, or so many thread blocks take a chunk each
  float* partials;     ///< [token tile, row block, chunk, accumulator, thread]
  unsigned* counters;  ///< [token tile, row block], zero before and after
};

/// Whether the sums of a chunk are complete behind tile t. Every kernel sums up chunk by chunk, in order,
/// whether one thread block or several do it: so a token's result has the same bits in every kernel.
MXFP4_CODEC bool chunk_ends(const Product& p, int t) noexcept {
  return (t + 1) % p.chunk_tiles == 0 || t + 1 == p.tiles.columns;
}

/// A thread block's part: chunks of a row block are neighbours in the grid, or it takes all.
struct ProductUnit {
  int row_block, chunk;
  int first_tile, last_tile;
};

MXFP4_CODEC ProductUnit product_unit(int block_x, int chunk_tiles, int chunks, int tiles) noexcept {
  if (chunks == 1) return {block_x, 0, 0, tiles};
  const int chunk = block_x % chunks;
  const int first = chunk * chunk_tiles;
  return {block_x / chunks, chunk, first, first + chunk_tiles < tiles ? first + chunk_tiles : tiles};
}

/// Row of activations of column c of a token tile, or -1 where there is none: each position has `terms`
/// columns.
MXFP4_CODEC int activation_row(const TokenTile& tile, int column, int terms,
                               const std::int32_t* row_of) noexcept {
  const int i = column / terms;
  if (i >= tile.count) return -1;
  const int position = tile.first + i;
  return (row_of == nullptr ? position : row_of[position]) * terms + column % terms;
}

/// 16 bytes on their way to a stage; zeros if not `present`.
struct StageCopy {
  int to;  ///< bytes from the stage's beginning
  const void* from;
  bool present;
};

/// Copy c of stage.chunks() for tile `t` along the columns. `rows` are the activation_row() of the columns.
MXFP4_CODEC StageCopy stage_copy(const Product& p, Stage stage, const TokenTile& tile, int row_block,
                                 const int* rows, int t, int c) noexcept {
  constexpr int kTileChunks = kTileBytes / 16;
  if (c < stage.weight_chunks()) {
    const int group = row_block * stage.groups + c / kTileChunks;
    const bool present = group < p.tiles.groups;
    const std::size_t matrix = static_cast<std::size_t>(tile.matrix) * p.tiles.bytes();
    return {c * 16, p.weights + matrix + p.tiles.offset(present ? group : 0, t) + c % kTileChunks * 16,
            present};
  }
  const int column = (c - stage.weight_chunks()) / 8, chunk = (c - stage.weight_chunks()) % 8,
            row = rows[column];
  const std::size_t pitch = static_cast<std::size_t>(p.tiles.columns) * kTileColumns;
  const std::size_t at =
      static_cast<std::size_t>(row < 0 ? 0 : row) * pitch + static_cast<std::size_t>(t) * kTileColumns;
  return {stage.weights() + chunk_offset(column, chunk), p.x + at + chunk * 8, row >= 0};
}

/// Registers 0..3 of step j of a lane: its word times the factors of its rows, two bf16 each. `times`
/// multiplies pairs.
template <class Times>
MXFP4_CODEC Registers weights_of_step(std::uint32_t word, std::uint32_t scales, int step,
                                      Times times) noexcept {
  const std::uint32_t pair = step < 2 ? first_factors(scales) : second_factors(scales);
  const std::uint32_t low = (pair & 0xFFFFu) * 0x10001u;
  const std::uint32_t high = (pair >> 16) * 0x10001u;
  const Registers raw = unpacked(word);
  return {{times(raw.r[0], low), times(raw.r[1], high), times(raw.r[2], low), times(raw.r[3], high)}};
}

}  // namespace mxfp4::kernel::cuda
