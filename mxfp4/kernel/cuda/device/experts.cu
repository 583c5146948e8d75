// Routing needs two kernels and no float atomics: a thread block counts slots and lists token tiles, then a
// warp for each expert walks over all slots in order and gives its own their positions.
#include "mxfp4/kernel/cuda/device/expert_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

constexpr int kThreads = 256;

__device__ float load(const void* x, std::size_t i, Dtype dtype) {
  if (dtype == Dtype::f32) return static_cast<const float*>(x)[i];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(x)[i];
  return dtype == Dtype::bf16 ? bf16_to_f32(bits) : f16_to_f32(bits);
}

__global__ void __launch_bounds__(kThreads) terms_kernel(const __grid_constant__ TermsLaunch launch) {
  for (std::size_t column = threadIdx.x; column < launch.pitch; column += kThreads) {
    const std::size_t row = blockIdx.x;
    const float x =
        column < launch.columns ? load(launch.x, row * launch.columns + column, launch.dtype) : 0.0f;
    const Terms terms = terms_of(x);
    std::uint16_t* const out = launch.out + row * launch.terms * launch.pitch + column;
    out[0] = terms.hi;
    if (launch.terms == 2) out[launch.pitch] = terms.lo;
  }
}

/// values[e] becomes the sum of values[0..e).
__device__ void exclusive_sums(int* values, int count) {
  const int e = threadIdx.x;
  const int own = e < count ? values[e] : 0;
  int sum = own;
  for (int step = 1; step < count; step *= 2) {
    __syncthreads();
    if (e < count) values[e] = sum;
    __syncthreads();
    if (e < count && e >= step) sum += values[e - step];
  }
  __syncthreads();
  if (e < count) values[e] = sum - own;
  __syncthreads();
}

__global__ void __launch_bounds__(kMostExperts) count_kernel(const __grid_constant__ Routing routing) {
  __shared__ int counts[kMostExperts], positions[kMostExperts], tiles[kMostExperts];
  const int e = threadIdx.x;
  counts[e] = 0;
  __syncthreads();
  for (int slot = e; slot < routing.slots(); slot += kMostExperts) {
    const int expert = routing.ids == nullptr ? 0 : routing.ids[slot];
    if (expert >= 0 && expert < routing.experts) {
      atomicAdd(counts + expert, 1);
    } else {
      routing.position_of[slot] = -1;
    }
  }
  __syncthreads();
  positions[e] = counts[e];
  tiles[e] = token_tiles_of(counts[e], routing.tile_positions);
  exclusive_sums(positions, routing.experts);
  exclusive_sums(tiles, routing.experts);
  if (e >= routing.experts) return;
  routing.first_position[e] = positions[e];
  write_token_tiles(routing, e, positions[e], counts[e], tiles[e]);
  if (e == routing.experts - 1) {
    *routing.token_tile_count = tiles[e] + token_tiles_of(counts[e], routing.tile_positions);
  }
}

__global__ void __launch_bounds__(32) place_kernel(const __grid_constant__ Routing routing) {
  const int expert = blockIdx.x, lane = threadIdx.x;
  int position = routing.first_position[expert];
  for (int begin = 0; begin < routing.slots(); begin += 32) {
    const int slot = begin + lane;
    const bool own = slot < routing.slots() && routing.of(slot, expert);
    const unsigned all = __ballot_sync(~0u, own);
    if (own) place_slot(routing, slot, position + __popc(all & ((1u << lane) - 1)));
    position += __popc(all);
  }
}

__global__ void __launch_bounds__(kThreads) combine_kernel(const __grid_constant__ CombineLaunch launch) {
  const int token = blockIdx.y;
  const std::size_t column = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (column >= launch.columns) return;
  float sum = 0;
  for (int k = 0; k < launch.top_k; ++k) {
    const int slot = token * launch.top_k + k, position = launch.position_of[slot];
    if (position < 0) continue;
    sum += (launch.weights == nullptr ? 1.0f : launch.weights[slot]) *
           launch.rows[static_cast<std::size_t>(position) * launch.columns + column];
  }
  const std::size_t at = static_cast<std::size_t>(token) * launch.columns + column;
  if (launch.dtype == Dtype::f32) {
    static_cast<float*>(launch.out)[at] = sum;
  } else {
    static_cast<std::uint16_t*>(launch.out)[at] =
        launch.dtype == Dtype::bf16 ? f32_to_bf16(sum) : f32_to_f16(sum);
  }
}

}  // namespace

void launch_terms(const TermsLaunch& launch, cudaStream_t stream) {
  terms_kernel<<<static_cast<unsigned>(launch.rows), kThreads, 0, stream>>>(launch);
}

void launch_routing(const Routing& routing, cudaStream_t stream) {
  count_kernel<<<1, kMostExperts, 0, stream>>>(routing);
  place_kernel<<<routing.experts, 32, 0, stream>>>(routing);
}

void launch_combine(const CombineLaunch& launch, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((launch.columns + kThreads - 1) / kThreads), launch.tokens);
  combine_kernel<<<grid, kThreads, 0, stream>>>(launch);
}

}  // namespace mxfp4::kernel::cuda
