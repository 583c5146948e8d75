// Positions of slots and token tiles, as the routing kernels write them.
#include "mxfp4/kernel/cuda/routing.h"

#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace mxfp4::kernel::cuda {
namespace {

TEST(CudaRouting, EverySlotHasAPositionAmongItsExpertsInOrder) {
  std::mt19937 random(1);
  for (int i = 0; i < 2000; ++i) {
    Routing routing = {};
    routing.tokens = 1 + static_cast<int>(random() % 40);
    routing.top_k = 1 + static_cast<int>(random() % 4);
    routing.experts = 1 + static_cast<int>(random() % 9);
    routing.tile_positions = 1 + static_cast<int>(random() % 9);
    const auto slots = static_cast<std::size_t>(routing.slots());
    std::vector<std::int32_t> ids, position_of(slots, -1), token_of(slots, -1);
    std::vector<float> weights, weight_of(slots);
    for (std::size_t s = 0; s < slots; ++s) {
      ids.push_back(static_cast<std::int32_t>(random() % static_cast<unsigned>(routing.experts + 1)) - 1);
      weights.push_back(static_cast<float>(s));
    }
    std::vector<TokenTile> tiles(slots + 9);
    routing.ids = ids.data();
    routing.weights = weights.data();
    routing.position_of = position_of.data();
    routing.token_of = token_of.data();
    routing.weight_of = weight_of.data();
    routing.token_tiles = tiles.data();
    int position = 0, tile = 0;
    for (int e = 0; e < routing.experts; ++e) {
      const int first = position;
      for (int slot = 0; slot < routing.slots(); ++slot) {
        if (routing.of(slot, e)) place_slot(routing, slot, position++);
      }
      write_token_tiles(routing, e, first, position - first, tile);
      tile += token_tiles_of(position - first, routing.tile_positions);
    }
    int next = 0;
    for (int t = 0; t < tile; ++t) {
      const TokenTile& here = tiles[static_cast<std::size_t>(t)];
      ASSERT_EQ(here.first, next);
      ASSERT_TRUE(here.count >= 1 && here.count <= routing.tile_positions);
      for (int p = here.first; p < here.first + here.count; ++p) {
        const auto slot = static_cast<std::size_t>(weight_of[static_cast<std::size_t>(p)]);
        ASSERT_EQ(ids[slot], here.matrix);
        ASSERT_EQ(position_of[slot], p);
        ASSERT_EQ(token_of[static_cast<std::size_t>(p)], static_cast<int>(slot) / routing.top_k);
        ASSERT_TRUE(p == here.first ||
                    weight_of[static_cast<std::size_t>(p)] > weight_of[static_cast<std::size_t>(p - 1)]);
      }
      next += here.count;
    }
    ASSERT_EQ(next, position);
  }
}

}  // namespace
}  // namespace mxfp4::kernel::cuda
