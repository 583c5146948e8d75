// A warp looks through a packed row; then a thread makes the words that a thread of a product reads.
#include "mxfp4/kernel/cuda/device/pack_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

constexpr int kThreads = 256;

__global__ void __launch_bounds__(kThreads) row_kernel(const __grid_constant__ PackLaunch launch) {
  const int row = blockIdx.x * (kThreads / 32) + threadIdx.x / 32, lane = threadIdx.x % 32;
  if (row >= launch.tiles.groups * kTileRows) return;
  const RowSource source = row_source(row, launch.source.order);
  RowBytes bytes;
  for (std::size_t b = lane; launch.source.has(source, b); b += 32) {
    add_block(bytes, launch.source.byte(source, b), launch.source.zero(source, b));
  }
  for (int step = 1; step < 32; step *= 2) {
    bytes.least = min(bytes.least, __shfl_xor_sync(~0u, bytes.least, step));
    bytes.most = max(bytes.most, __shfl_xor_sync(~0u, bytes.most, step));
    bytes.nan = __shfl_xor_sync(~0u, int{bytes.nan}, step) != 0 || bytes.nan;
  }
  if (lane != 0) return;
  if (too_wide(bytes)) atomicMax(launch.wide_row, row);
  launch.exponents[row] = static_cast<std::int16_t>(row_exponent(bytes));
  launch.factors[row] = row_factor(bytes);
}

/// A thread block makes a tile.
__global__ void __launch_bounds__(kTileThreads) tile_kernel(const __grid_constant__ PackLaunch launch) {
  const int tile = blockIdx.x % launch.tiles.columns, group = blockIdx.x / launch.tiles.columns;
  const int thread = threadIdx.x;
  std::uint8_t* const out = launch.out + launch.tiles.offset(group, tile);
  uint4 words;
  words.x = packed_word(launch.source, group, tile, thread, 0);
  words.y = packed_word(launch.source, group, tile, thread, 1);
  words.z = packed_word(launch.source, group, tile, thread, 2);
  words.w = packed_word(launch.source, group, tile, thread, 3);
  *reinterpret_cast<uint4*>(out + code_offset(thread)) = words;
  if (thread % 4 == 0) {
    const int warp = thread / 32, lane = thread % 32;
    *reinterpret_cast<std::uint32_t*>(out + scale_offset(warp, lane)) =
        packed_scales(launch.source, launch.exponents, group, tile, warp, lane / 4);
  }
}

}  // namespace

void launch_pack(const PackLaunch& launch, cudaStream_t stream) {
  const int rows = launch.tiles.groups * kTileRows;
  row_kernel<<<(rows + kThreads / 32 - 1) / (kThreads / 32), kThreads, 0, stream>>>(launch);
  tile_kernel<<<launch.tiles.groups * launch.tiles.columns, kTileThreads, 0, stream>>>(launch);
}

}  // namespace mxfp4::kernel::cuda
