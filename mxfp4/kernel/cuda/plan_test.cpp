// Plans over thousands of shapes: every limit kept, every tile taken once, and reasons where nothing fits.
#include "mxfp4/kernel/cuda/plan.h"

#include <algorithm>
#include <random>
#include <string>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/kernel/cuda/product.h"

namespace mxfp4::kernel::cuda {
namespace {

// Compute capability, multiprocessors, shared memory of a thread block: A100, RTX 3090, H200, B200, RTX 5090.
const std::vector<Traits> kDevices = {{"sm_80", 8, 0, 108, 163 * 1024},
                                      {"sm_86", 8, 6, 82, 99 * 1024},
                                      {"sm_90", 9, 0, 132, 227 * 1024},
                                      {"sm_100", 10, 0, 148, 227 * 1024},
                                      {"sm_120", 12, 0, 170, 99 * 1024}};

TEST(CudaPlan, EveryShapeGetsAKernelWithinTheLimits) {
  std::mt19937 random(1);
  for (int i = 0; i < 20000; ++i) {
    ProductShape shape;
    shape.tiles = tile_grid(1 + random() % 20000, 1 + random() % 20000);
    shape.matrices = random() % 2 ? 1 : 1 + random() % 256;
    shape.tokens = 1 + random() % (random() % 2 ? 20 : 5000);
    shape.slots = shape.matrices == 1 ? shape.tokens : shape.tokens * (1 + random() % 8);
    shape.terms = 1 + static_cast<int>(random() % 2);
    const Traits& device = kDevices[random() % kDevices.size()];
    const ProductPlan plan = plan_product(shape, device);
    ASSERT_LE(plan.kernel.shared_bytes(), device.shared_bytes);
    ASSERT_EQ(plan.kernel.split, shape.tokens <= kDecodeTokens);
    ASSERT_GE(plan.row_blocks * plan.kernel.groups, shape.tiles.groups);
    ASSERT_LT((plan.row_blocks - 1) * plan.kernel.groups, shape.tiles.groups);
    for (int chunk = 0, next = 0; chunk < plan.chunks; ++chunk) {
      const ProductUnit unit = product_unit(chunk, plan.chunk_tiles, plan.chunks, shape.tiles.columns);
      ASSERT_EQ(unit.first_tile, next);
      ASSERT_LT(unit.first_tile, unit.last_tile);
      next = unit.last_tile;
      ASSERT_EQ(next == shape.tiles.columns, chunk == plan.chunks - 1);
    }
    ASSERT_EQ(plan.positions * shape.terms, plan.kernel.columns());
    ASSERT_TRUE(plan.kernel.split || plan.chunks == 1);
    ASSERT_EQ(plan.chunk_tiles, chunk_tiles_for(shape.tiles));
    ASSERT_EQ(plan.partial_bytes() == 0, plan.chunks == 1);
    ASSERT_LE(plan.token_tiles, 65535u);  // grid.y
  }
}

TEST(CudaPlan, TheChunksOfAWeightDependOnNothingElse) {
  for (std::size_t tokens = 1; tokens <= kDecodeTokens; ++tokens) {
    for (const int terms : {1, 2}) {
      ProductShape shape{tile_grid(2880, 2880), 32, tokens, tokens * 4, terms};
      const ProductPlan plan = plan_product(shape, kDevices[2]);
      EXPECT_EQ(plan.chunk_tiles, 9);
      EXPECT_EQ(plan.chunks, 5);
      EXPECT_GE(static_cast<std::size_t>(plan.positions), tokens);
    }
  }
}

TEST(CudaPlan, TokenTilesSufficeHoweverTokensAreSpread) {
  std::mt19937 random(2);
  for (int i = 0; i < 20000; ++i) {
    const std::size_t matrices = 1 + random() % 8, slots = random() % 100, positions = 1 + random() % 20;
    std::vector<std::size_t> counts(matrices);
    for (std::size_t s = 0; s < slots; ++s) ++counts[random() % (random() % 2 ? matrices : 1)];
    std::size_t needed = 0;
    for (const std::size_t count : counts) needed += (count + positions - 1) / positions;
    ASSERT_LE(needed, most_token_tiles(slots, matrices, positions));
  }
}

TEST(CudaPlan, AKernelCanBeForced) {
  const ProductShape many{tile_grid(64, 64), 1, 100, 100, 1};
  EXPECT_EQ(plan_product(many, kDevices[2]).kernel.kernel, ProductKernel::prefill128);
  EXPECT_EQ(plan_product(many, kDevices[2], "prefill32").kernel.kernel, ProductKernel::prefill32);
}

std::string message_of(const ProductShape& shape, const Traits& traits, std::string_view forced) {
  try {
    plan_product(shape, traits, forced);
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

TEST(CudaPlan, MostMemoryIsEnoughForEveryKernelAndEveryNumberOfTokensUpToIt) {
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    const TileGrid tiles = tile_grid(1 + random() % 6000, 1 + random() % 6000);
    const std::size_t matrices = 1 + random() % 200, most = 1 + random() % 100, top_k = 1 + random() % 8;
    const ProductMemory memory = most_memory(tiles, matrices, most, top_k);
    for (int j = 0; j < 10; ++j) {
      const std::size_t tokens = 1 + random() % most;
      const ProductShape shape{tiles, matrices, tokens, tokens * top_k, 1 + static_cast<int>(random() % 2)};
      for (const ProductInfo& kernel : kProducts) {
        if (kernel.split != (tokens <= kDecodeTokens)) continue;
        const ProductPlan plan = plan_product(shape, kDevices[0], kernel.name);
        ASSERT_LE(plan.token_tiles, memory.token_tiles);
        ASSERT_LE(plan.partial_bytes(), memory.partial_bytes);
        ASSERT_LE(plan.counter_bytes(), memory.counter_bytes);
      }
    }
  }
}

TEST(CudaPlan, ARefusalNamesEveryKernelWithItsReason) {
  const ProductShape shape{tile_grid(64, 128), 1, 17, 17, 1};
  EXPECT_EQ(message_of(shape, kDevices[0], "decode8"),
            "cuda: no kernel multiplies 1 x 2 tiles by 17 tokens; decode8: 17 tokens, it is for up to 16");
  EXPECT_EQ(
      message_of(shape, kDevices[0], "best"),
      "MXFP4_CUDA_KERNEL: 'best' is no kernel; there are decode8 decode16 decode32 prefill32 prefill128");
  const std::string all = message_of(shape, {"tiny", 8, 0, 1, 16 * 1024}, "");
  for (const ProductInfo& kernel : kProducts) {
    EXPECT_NE(all.find(std::string("; ") + kernel.name + ": "), std::string::npos) << all;
  }
  EXPECT_NE(all.find("prefill128: 82944 bytes of shared memory, tiny has 16384"), std::string::npos) << all;
}

TEST(CudaTraits, TheLargestUsableDeviceIsTheBest) {
  EXPECT_EQ(best_of(kDevices), 4);
  EXPECT_EQ(
      best_of({{"old", 7, 5, 200, 99 * 1024}, {"new", 8, 9, 10, 99 * 1024}, {"same", 8, 9, 10, 99 * 1024}}),
      1);
  EXPECT_EQ(best_of({{"old", 7, 5, 200, 99 * 1024}}), -1);
  EXPECT_EQ(refusal({"old", 7, 5, 200, 99 * 1024}), "compute capability 7.5, and kernels need 8.0");
}

TEST(CudaTraits, ErrorsOfTheRuntimeAreSortedByWhatACallerCanDo) {
  EXPECT_EQ(code_of(kMemoryAllocation), ErrorCode::out_of_memory);
  EXPECT_EQ(code_of(kNoDevice), ErrorCode::unsupported);
  EXPECT_EQ(code_of(kInsufficientDriver), ErrorCode::unsupported);
  EXPECT_EQ(code_of(700), ErrorCode::device);
}

}  // namespace
}  // namespace mxfp4::kernel::cuda
