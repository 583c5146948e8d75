// Which kernel multiplies, and how its work is cut: functions of shapes and of the device's limits alone.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "mxfp4/kernel/cuda/fragment.h"
#include "mxfp4/kernel/cuda/traits.h"

namespace mxfp4::kernel::cuda {

/// Up to so many tokens a product is cut along the weight's columns, too. A token's result depends on nothing
/// else.
inline constexpr std::size_t kDecodeTokens = 16;

enum class ProductKernel {
#define MXFP4_CUDA_PRODUCT(name, groups, n_tiles, stages, split) name,
#include "mxfp4/kernel/cuda/products.inc"
#undef MXFP4_CUDA_PRODUCT
};

struct ProductInfo {
  ProductKernel kernel;
  const char* name;
  int groups, n_tiles, stages;
  bool split;

  MXFP4_CODEC int columns() const noexcept { return 8 * n_tiles; }
  MXFP4_CODEC int threads() const noexcept { return groups * kTileThreads; }
  MXFP4_CODEC std::size_t shared_bytes() const noexcept {
    return static_cast<std::size_t>(stages) * static_cast<std::size_t>(Stage{groups, n_tiles}.bytes());
  }
};

inline constexpr ProductInfo kProducts[] = {
#define MXFP4_CUDA_PRODUCT(name, groups, n_tiles, stages, split) \
  {ProductKernel::name, #name, groups, n_tiles, stages, split},
#include "mxfp4/kernel/cuda/products.inc"
#undef MXFP4_CUDA_PRODUCT
};

/// What is to be multiplied: `slots` rows of activations, of `terms` bf16 each, go to `matrices` matrices,
/// nobody knows which; they come from `tokens` tokens.
struct ProductShape {
  TileGrid tiles;  ///< of one matrix
  std::size_t matrices = 1, tokens = 0, slots = 0;
  int terms = 1;
};

struct ProductPlan {
  ProductInfo kernel = {};
  int positions = 0;            ///< activations of a token tile: columns / terms
  int row_blocks = 0;           ///< thread blocks along the rows
  int chunk_tiles = 0;          ///< tiles along the columns that are summed by themselves
  int chunks = 0;               ///< thread blocks along the columns, a chunk each; 1: all chunks are its own
  std::size_t token_tiles = 0;  ///< at most

  unsigned grid_x() const noexcept { return static_cast<unsigned>(row_blocks * chunks); }
  std::size_t partial_bytes() const noexcept;  ///< f32 sums of all chunks; 0 if there is one
  std::size_t counter_bytes() const noexcept;
};

/// The kernel, or the one that `forced` names if that is not empty. Throws Error unsupported with each
/// kernel's reason if none can be used, invalid_argument if `forced` is no kernel.
ProductPlan plan_product(const ProductShape& shape, const Traits& traits, std::string_view forced = {});

/// Memory that launches work in: a block, and counters that are zero between launches.
struct WorkSize {
  std::size_t block = 0, counters = 0;
};

/// Of the parts of a product's memory, what any product of these matrices needs with up to so many tokens,
/// whatever its kernel, of one term or two.
struct ProductMemory {
  std::size_t token_tiles = 0, partial_bytes = 0, counter_bytes = 0;
};
ProductMemory most_memory(const TileGrid& tiles, std::size_t matrices, std::size_t tokens, std::size_t top_k);

/// Token tiles that `slots` rows need at most, however they are spread over matrices.
std::size_t most_token_tiles(std::size_t slots, std::size_t matrices, std::size_t positions) noexcept;

/// Tiles of a chunk for weights of this shape. It depends on nothing else, so that a token's sums do not.
int chunk_tiles_for(const TileGrid& tiles) noexcept;

}  // namespace mxfp4::kernel::cuda
