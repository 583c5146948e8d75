#include "mxfp4/kernel/cuda/plan.h"

#include <algorithm>
#include <string>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::kernel::cuda {
namespace {

/// Columns that a matrix meets on average.
std::size_t mean_columns(const ProductShape& shape) {
  const std::size_t all = shape.slots * static_cast<std::size_t>(shape.terms);
  return (all + shape.matrices - 1) / shape.matrices;
}

/// Why a kernel is not used, or nothing.
std::string refusal_of(const ProductInfo& kernel, const ProductShape& shape, const Traits& traits,
                       bool forced) {
  if (kernel.shared_bytes() > traits.shared_bytes) {
    return fmt::format("{} bytes of shared memory, {} has {}", kernel.shared_bytes(), traits.name,
                       traits.shared_bytes);
  }
  if (kernel.split != (shape.tokens <= kDecodeTokens)) {
    return fmt::format("{} tokens, it is for {} {}", shape.tokens, kernel.split ? "up to" : "more than",
                       kDecodeTokens);
  }
  if (forced) return {};
  if (kernel.split) {
    const std::size_t most = std::min(shape.tokens, shape.slots) * static_cast<std::size_t>(shape.terms);
    if (most > static_cast<std::size_t>(kernel.columns())) {
      return fmt::format("{} columns, it has {}", most, kernel.columns());
    }
  } else if (kernel.kernel == ProductKernel::prefill32 && mean_columns(shape) > 32) {
    return fmt::format("{} columns for each matrix, it has 32", mean_columns(shape));
  }
  return {};
}

ProductPlan cut(const ProductInfo& kernel, const ProductShape& shape) {
  ProductPlan plan;
  plan.kernel = kernel;
  plan.positions = kernel.columns() / shape.terms;
  plan.row_blocks = (shape.tiles.groups + kernel.groups - 1) / kernel.groups;
  plan.chunk_tiles = chunk_tiles_for(shape.tiles);
  plan.chunks = kernel.split ? (shape.tiles.columns + plan.chunk_tiles - 1) / plan.chunk_tiles : 1;
  plan.token_tiles = most_token_tiles(shape.slots, shape.matrices, static_cast<std::size_t>(plan.positions));
  return plan;
}

}  // namespace

std::size_t most_token_tiles(std::size_t slots, std::size_t matrices, std::size_t positions) noexcept {
  return std::min(slots, matrices) + slots / positions;
}

int chunk_tiles_for(const TileGrid& tiles) noexcept {
  constexpr int kUnits = 800, kLeastTiles = 8;  // 6 units for each of 132 multiprocessors; 17 KB of weights
  const int wanted = (kUnits + tiles.groups - 1) / tiles.groups;
  const int chunks = std::clamp(wanted, 1, std::max(tiles.columns / kLeastTiles, 1));
  return (tiles.columns + chunks - 1) / chunks;
}

std::size_t ProductPlan::partial_bytes() const noexcept {
  if (chunks == 1) return 0;
  const std::size_t sums =
      static_cast<std::size_t>(kernel.groups) * kTileRows * static_cast<std::size_t>(kernel.columns());
  return token_tiles * grid_x() * sums * sizeof(float);
}

std::size_t ProductPlan::counter_bytes() const noexcept {
  return chunks == 1 ? 0 : token_tiles * static_cast<std::size_t>(row_blocks) * sizeof(unsigned);
}

ProductMemory most_memory(const TileGrid& tiles, std::size_t matrices, std::size_t tokens,
                          std::size_t top_k) {
  ProductMemory most;
  for (const ProductInfo& kernel : kProducts) {
    // With two terms a tile has fewest positions, so there are most tiles.
    const std::size_t here = kernel.split ? std::min(tokens, kDecodeTokens) : tokens;
    const ProductPlan plan = cut(kernel, {tiles, matrices, here, here * top_k, 2});
    most.token_tiles = std::max(most.token_tiles, plan.token_tiles);
    most.partial_bytes = std::max(most.partial_bytes, plan.partial_bytes());
    most.counter_bytes = std::max(most.counter_bytes, plan.counter_bytes());
  }
  return most;
}

ProductPlan plan_product(const ProductShape& shape, const Traits& traits, std::string_view forced) {
  std::string reasons;
  bool known = forced.empty();
  for (const ProductInfo& kernel : kProducts) {
    if (!forced.empty() && forced != kernel.name) continue;
    known = true;
    const std::string reason = refusal_of(kernel, shape, traits, !forced.empty());
    if (!reason.empty()) {
      reasons += fmt::format("; {}: {}", kernel.name, reason);
      continue;
    }
    return cut(kernel, shape);
  }
  if (!known) {
    std::string names;
    for (const ProductInfo& kernel : kProducts) names += fmt::format(" {}", kernel.name);
    fail(ErrorCode::invalid_argument, "MXFP4_CUDA_KERNEL: '{}' is no kernel; there are{}", forced, names);
  }
  fail(ErrorCode::unsupported, "cuda: no kernel multiplies {} x {} tiles by {} tokens{}", shape.tiles.groups,
       shape.tiles.columns, shape.tokens, reasons);
}

}  // namespace mxfp4::kernel::cuda
