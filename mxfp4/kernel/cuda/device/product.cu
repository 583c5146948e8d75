// One template for every product: weights are the A operand, decoded in registers; activations the B operand.
// A thread block walks along the weight's columns with a ring of stages that cp.async fills. Where the
// columns are cut, the last of a row block's thread blocks adds all sums in the order of the chunks: who
// arrives when does not matter.
#include "mxfp4/kernel/cuda/device/mma.cuh"
#include "mxfp4/kernel/cuda/device/product_kernels.h"
#include "mxfp4/kernel/cuda/device/runtime.h"
#include "mxfp4/kernel/cuda/epilogue.h"

namespace mxfp4::kernel::cuda {
namespace {

template <int kGroups, int kTiles, int kStages>
struct Block {
  static constexpr Stage kStage = {kGroups, kTiles};
  static constexpr int kThreads = kGroups * kTileThreads;
  static constexpr int kColumns = 8 * kTiles;

  const Product& p;
  const TokenTile tile;
  const ProductUnit unit;
  const std::uint8_t* memory;
  const int* rows;  ///< of the activations, by column of the tile; -1 for none

  __device__ int stage_of(int t) const { return (t - unit.first_tile) % kStages * kStage.bytes(); }

  /// Starts copying tile `t` along the weight's columns into its stage.
  __device__ void load(int t) const {
    const std::uint32_t stage = shared_address(memory + stage_of(t));
#pragma unroll
    for (int c = threadIdx.x; c < kStage.chunks(); c += kThreads) {
      const StageCopy copy = stage_copy(p, kStage, tile, unit.row_block, rows, t, c);
      copy_async(stage + copy.to, copy.from, copy.present);
    }
  }

  /// Adds the products of a stage.
  __device__ void multiply(int t, float (&sums)[kTiles][4]) const {
    const int warp = threadIdx.x / 32 % 4, lane = threadIdx.x % 32, group = threadIdx.x / kTileThreads;
    const std::uint8_t* const stage = memory + stage_of(t);
    const std::uint8_t* const weights = stage + group * kTileBytes;
    const uint4 words = *reinterpret_cast<const uint4*>(weights + code_offset(threadIdx.x % kTileThreads));
    const std::uint32_t scales = *reinterpret_cast<const std::uint32_t*>(weights + scale_offset(warp, lane));
    const Registers a[4] = {
        weights_of_step(words.x, scales, 0, TimesBf16{}), weights_of_step(words.y, scales, 1, TimesBf16{}),
        weights_of_step(words.z, scales, 2, TimesBf16{}), weights_of_step(words.w, scales, 3, TimesBf16{})};
    const std::uint32_t activations = shared_address(stage + kStage.weights());
#pragma unroll
    for (int n = 0; n < kTiles; ++n) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const Registers b = ldmatrix(activations + ldmatrix_offset(lane, n, half));
        mma(sums[n], a[2 * half], b.r[0], b.r[1]);
        mma(sums[n], a[2 * half + 1], b.r[2], b.r[3]);
      }
    }
  }

  /// Whether this thread block is the last of its row block; it then has the sums of all. Columns without a
  /// position are left out.
  __device__ bool reduce(float (&sums)[kTiles][4], int* last) const {
    constexpr int kSums = 4 * kTiles;
    const std::size_t place = static_cast<std::size_t>(blockIdx.y) * (gridDim.x / p.chunks) + unit.row_block;
    const auto at = [&](int chunk, int i) {
      return p.partials + partial_at(p, place, chunk, i, kSums, kThreads, threadIdx.x);
    };
    const auto present = [&](int i) {
      return position_of(tile, i / 4 * 8 + accumulator_place(threadIdx.x % 32, i % 4).column, p.terms) >= 0;
    };
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      if (present(i)) *at(unit.chunk, i) = sums[i / 4][i % 4];
    }
    __threadfence();
    __syncthreads();
    // Wraps to zero at the last, for the next launch.
    if (threadIdx.x == 0) *last = atomicInc(p.counters + place, p.chunks - 1) == p.chunks - 1;
    __syncthreads();
    if (*last == 0) return false;
    __threadfence();
#pragma unroll
    for (int i = 0; i < kSums; ++i) {
      if (!present(i)) continue;
      float sum = __ldcg(at(0, i));
      for (int chunk = 1; chunk < p.chunks; ++chunk) sum += __ldcg(at(chunk, i));
      sums[i / 4][i % 4] = sum;
    }
    return true;
  }
};

template <int kGroups, int kTiles, int kStages, bool kSplit>
__global__ void __launch_bounds__(kGroups* kTileThreads, kGroups == 1 ? 4 : 1)
    product_kernel(const __grid_constant__ Product p) {
  using Here = Block<kGroups, kTiles, kStages>;
  extern __shared__ __align__(128) std::uint8_t memory[];
  __shared__ int rows[Here::kColumns];
  __shared__ int last;
  if (p.token_tile_count != nullptr && static_cast<int>(blockIdx.y) >= *p.token_tile_count) return;
  const TokenTile tile = p.token_tiles[blockIdx.y];
  for (int c = threadIdx.x; c < Here::kColumns; c += Here::kThreads)
    rows[c] = activation_row(tile, c, p.terms, p.row_of);
  __syncthreads();
  const Here block = {p, tile, product_unit(blockIdx.x, p.chunk_tiles, p.chunks, p.tiles.columns), memory,
                      rows};
  float sums[kTiles][4] = {}, total[kTiles][4];
  const int end = block.unit.last_tile;
#pragma unroll
  for (int s = 0; s < kStages - 1; ++s) {
    if (block.unit.first_tile + s < end) block.load(block.unit.first_tile + s);
    commit_copies();
  }
  for (int t = block.unit.first_tile; t < end; ++t) {
    wait_for_copies<kStages - 2>();
    __syncthreads();  // tile t is there for all, and all are done with the stage that is filled next
    if (t + kStages - 1 < end) block.load(t + kStages - 1);
    commit_copies();
    block.multiply(t, sums);
    if constexpr (!kSplit) {
      if (chunk_ends(p, t)) {
        const bool first = t < p.chunk_tiles;
#pragma unroll
        for (int i = 0; i < 4 * kTiles; ++i) {
          total[i / 4][i % 4] = first ? sums[i / 4][i % 4] : total[i / 4][i % 4] + sums[i / 4][i % 4];
          sums[i / 4][i % 4] = 0;
        }
      }
    }
  }
  if constexpr (kSplit) {
    if (p.chunks > 1 && !block.reduce(sums, &last)) return;
  }
  const std::size_t group =
      static_cast<std::size_t>(block.unit.row_block) * kGroups + threadIdx.x / kTileThreads;
  store(p, tile, group * kTileRows + threadIdx.x / 32 % 4 * 16, threadIdx.x % 32, kSplit ? sums : total);
}

}  // namespace

void allow_shared_memory(const Traits& traits) {
#define MXFP4_CUDA_PRODUCT(name, groups, n_tiles, stages, split)                                           \
  if (kProducts[static_cast<int>(ProductKernel::name)].shared_bytes() <= traits.shared_bytes) {            \
    check(cudaFuncSetAttribute(                                                                            \
              product_kernel<groups, n_tiles, stages, split>, cudaFuncAttributeMaxDynamicSharedMemorySize, \
              static_cast<int>(kProducts[static_cast<int>(ProductKernel::name)].shared_bytes())),          \
          "asking for shared memory for " #name);                                                          \
  }
#include "mxfp4/kernel/cuda/products.inc"
#undef MXFP4_CUDA_PRODUCT
}

void launch_product(const ProductPlan& plan, const Product& product, cudaStream_t stream) {
  const dim3 grid(plan.grid_x(), static_cast<unsigned>(plan.token_tiles));
  switch (plan.kernel.kernel) {
#define MXFP4_CUDA_PRODUCT(name, groups, n_tiles, stages, split)                        \
  case ProductKernel::name:                                                             \
    product_kernel<groups, n_tiles, stages, split>                                      \
        <<<grid, plan.kernel.threads(), plan.kernel.shared_bytes(), stream>>>(product); \
    break;
#include "mxfp4/kernel/cuda/products.inc"
#undef MXFP4_CUDA_PRODUCT
  }
}

}  // namespace mxfp4::kernel::cuda
