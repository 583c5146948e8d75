// From sums to outputs: terms added, factors and bias, the gated unit, and where each goes.
#pragma once

#include <cstddef>
#include <cstdint>

#include "mxfp4/kernel/cuda/pack_rows.h"
#include "mxfp4/kernel/cuda/product.h"

namespace mxfp4::kernel::cuda {

/// Position of column c of a token tile, or -1 where there is none.
MXFP4_CODEC int position_of(const TokenTile& tile, int column, int terms) noexcept {
  return column / terms < tile.count ? tile.first + column / terms : -1;
}

MXFP4_CODEC float output(const Product& p, const TokenTile& tile, float sum, int position,
                         std::size_t packed_row) noexcept {
  const std::size_t row = static_cast<std::size_t>(tile.matrix) * p.packed_rows + packed_row;
  const float weight = p.input_weights == nullptr ? 1.0f : p.input_weights[position];
  return sum * p.row_factors[row] * weight + (p.bias == nullptr ? 0.0f : p.bias[row]);
}

/// gate * sigmoid(alpha * gate) * (up + beta), both clipped first, as kernel/expert_ops.h has it.
template <class U>
MXFP4_CODEC float gated_unit(float gate, float up, const U& unit) noexcept {
  gate = gate > unit.limit ? unit.limit : gate;
  up = up > unit.limit ? unit.limit : up < -unit.limit ? -unit.limit : up;
  return gate / (1.0f + __builtin_expf(-unit.alpha * gate)) * (up + unit.beta);
}

template <class P>
MXFP4_CODEC void store_plain(const P& p, const TokenTile& tile, float sum, int position,
                             std::size_t row) noexcept {
  if (row >= p.rows) return;
  const std::size_t at = static_cast<std::size_t>(position) * p.rows + row;
  const float value = output(p, tile, sum, position, row);
  if (p.out_bytes == 4) {
    static_cast<float*>(p.out)[at] = value;
  } else {
    static_cast<std::uint16_t*>(p.out)[at] = p.out_half ? f32_to_f16(value) : f32_to_bf16(value);
  }
}

template <class P>
MXFP4_CODEC void store_gated(const P& p, const TokenTile& tile, float gate_sum, float up_sum, int position,
                             std::size_t packed_row) noexcept {
  const std::size_t unit = unit_of(packed_row);
  if (unit >= p.rows) return;
  const float gate = output(p, tile, gate_sum, position, packed_row);
  const float up = output(p, tile, up_sum, position, packed_row + 8);
  const Terms terms = terms_of(gated_unit(gate, up, p.units[p.one_unit ? 0 : tile.matrix]));
  std::uint16_t* const out =
      p.hidden + static_cast<std::size_t>(position) * static_cast<std::size_t>(p.terms) * p.hidden_pitch +
      unit;
  out[0] = terms.hi;
  if (p.terms == 2) out[p.hidden_pitch] = terms.lo;
}

/// What a lane does with its sums of 16 packed rows from `first_row` on.
template <int kTiles, class P>
MXFP4_CODEC void store(const P& p, const TokenTile& tile, std::size_t first_row, int lane,
                       const float (&sums)[kTiles][4]) noexcept {
  const std::size_t row = first_row + static_cast<std::size_t>(accumulator_place(lane, 0).row);
  if (row >= p.packed_rows) return;
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
  for (int n = 0; n < kTiles; ++n) {
#if defined(__CUDA_ARCH__)
#pragma unroll
#endif
    for (int i = 0; i < 2; ++i) {
      if (p.terms == 2 && i == 1) break;  // both terms of a position are the lane's
      const float low = p.terms == 2 ? sums[n][0] + sums[n][1] : sums[n][i];
      const float high = p.terms == 2 ? sums[n][2] + sums[n][3] : sums[n][i + 2];
      const int position = position_of(tile, 8 * n + accumulator_place(lane, i).column, p.terms);
      if (position < 0) continue;
      if (p.gated) {
        store_gated(p, tile, low, high, position, row);
      } else {
        store_plain(p, tile, low, position, row);
        store_plain(p, tile, high, position, row + 8);
      }
    }
  }
}

/// Where sum i of 4 * n_tiles of a thread lies among the partial sums of a row block.
MXFP4_CODEC std::size_t partial_at(const Product& p, std::size_t place, int chunk, int i, int sums,
                                   int threads, int thread) noexcept {
  const std::size_t of_chunk = place * static_cast<std::size_t>(p.chunks) + static_cast<std::size_t>(chunk);
  return (of_chunk * static_cast<std::size_t>(sums) + static_cast<std::size_t>(i)) *
             static_cast<std::size_t>(threads) +
         static_cast<std::size_t>(thread);
}

}  // namespace mxfp4::kernel::cuda
