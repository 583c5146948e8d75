// A warp takes a row, or the gate and the up of a unit, and one activation after the other: no weight of a
// real model comes here.
#include "mxfp4/kernel/cuda/device/plain_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float sum_of_row(const Product& p, const PackSource& source, std::size_t packed_row,
                            std::size_t activation) {
  const int lane = threadIdx.x % 32;
  float sum = plain_sum(p, source, row_source(packed_row, source.order), activation, lane);
  for (int step = 1; step < 32; step *= 2) sum += __shfl_xor_sync(~0u, sum, step);
  return sum;
}

__global__ void __launch_bounds__(kThreads) plain_kernel(const __grid_constant__ PlainLaunch launch) {
  const Product& p = launch.product;
  if (static_cast<int>(blockIdx.y) >= *p.token_tile_count) return;
  const TokenTile tile = p.token_tiles[blockIdx.y];
  const PlainMatrix& matrix = launch.matrices[tile.matrix];
  const std::size_t row = std::size_t{blockIdx.x} * (kThreads / 32) + threadIdx.x / 32;
  if (matrix.empty() || row >= p.rows) return;
  const std::size_t packed_row = packed_row_of(row, p.gated);
  for (int i = 0; i < tile.count; ++i) {
    const int position = tile.first + i;
    const std::size_t activation = p.row_of == nullptr ? position : p.row_of[position];
    const float sum = sum_of_row(p, matrix.source, packed_row, activation);
    const float up = p.gated ? sum_of_row(p, matrix.source, packed_row + 8, activation) : 0.0f;
    if (threadIdx.x % 32 != 0) continue;
    if (p.gated) {
      store_gated(p, tile, sum, up, position, packed_row);
    } else {
      store_plain(p, tile, sum, position, packed_row);
    }
  }
}

}  // namespace

void launch_plain(const ProductPlan& plan, const PlainLaunch& launch, cudaStream_t stream) {
  constexpr std::size_t kRows = kThreads / 32;
  const dim3 grid(static_cast<unsigned>((launch.product.rows + kRows - 1) / kRows),
                  static_cast<unsigned>(plan.token_tiles));
  plain_kernel<<<grid, kThreads, 0, stream>>>(launch);
}

}  // namespace mxfp4::kernel::cuda
