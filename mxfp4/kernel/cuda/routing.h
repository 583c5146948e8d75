// Which positions the slots of tokens get, so that each expert's are neighbours: in the order of experts, and
// of slots within an expert.
#pragma once

#include <cstdint>

#include "mxfp4/kernel/cuda/product.h"

namespace mxfp4::kernel::cuda {

/// Slot s = token * top_k + k.
struct Routing {
  const std::int32_t*
      ids;  ///< expert of a slot, another number for none; null: a slot is a token, and all are of matrix 0
  const float* weights;  ///< of a slot, or null: 1
  int tokens, top_k, experts;
  int tile_positions;            ///< of a token tile
  std::int32_t* first_position;  ///< [experts]
  std::int32_t* position_of;     ///< [slots], -1 for none
  std::int32_t* token_of;        ///< [slots], by position
  float* weight_of;              ///< [slots], by position
  TokenTile* token_tiles;
  std::int32_t* token_tile_count;  ///< one

  MXFP4_CODEC int slots() const noexcept { return tokens * top_k; }
  MXFP4_CODEC bool of(int slot, int expert) const noexcept {
    return (ids == nullptr ? 0 : ids[slot]) == expert;
  }
};

MXFP4_CODEC int token_tiles_of(int count, int positions) noexcept {
  return (count + positions - 1) / positions;
}

/// The token tiles of one expert, of which the first is number `tile` and begins at position `first`.
template <class R>
MXFP4_CODEC void write_token_tiles(const R& routing, int expert, int first, int count, int tile) noexcept {
  for (int done = 0; done < count; done += routing.tile_positions) {
    const int left = count - done;
    routing.token_tiles[tile++] = {expert, first + done,
                                   left < routing.tile_positions ? left : routing.tile_positions};
  }
}

template <class R>
MXFP4_CODEC void place_slot(const R& routing, int slot, int position) noexcept {
  routing.position_of[slot] = position;
  routing.token_of[position] = slot / routing.top_k;
  routing.weight_of[position] = routing.weights == nullptr ? 1.0f : routing.weights[slot];
}

}  // namespace mxfp4::kernel::cuda
