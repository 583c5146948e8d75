// Lanes of 16 bytes: 4 elements of f32 or 8 of bf16 and f16; 2 to 8 lanes are a block, side by side in a
// warp. A lane holds several of them at once, so that their reads are under way together.
#include "mxfp4/kernel/cuda/device/codec_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

struct F32 {
  using Raw = std::uint32_t;
  static __device__ float value(Raw bits) { return __uint_as_float(bits); }
};
struct Bf16 {
  using Raw = std::uint16_t;
  static __device__ float value(Raw bits) { return bf16_to_f32(bits); }
};
struct F16 {
  using Raw = std::uint16_t;
  static __device__ float value(Raw bits) { return f16_to_f32(bits); }
};

template <class Element, bool kPlain>
__device__ float value(typename Element::Raw bits, const QuantizeRule& rule) {
  const float x = Element::value(bits);
  return !kPlain && rule.through_bf16 ? bf16_to_f32(f32_to_bf16(x)) : x;
}

/// What 16 bytes hold.
template <class Element>
union Lane {
  static constexpr int kCount = kLaneBytes / sizeof(typename Element::Raw);
  uint4 vector;
  typename Element::Raw raw[kCount];
};

/// Elements [first, first + kCount) of a row as far as they exist, zeros behind them.
template <class Element>
__device__ Lane<Element> load(const typename Element::Raw* row, std::size_t first, std::size_t columns,
                              bool vector) {
  Lane<Element> lane;
  if (vector) {
    lane.vector = __ldg(reinterpret_cast<const uint4*>(row + first));
    return lane;
  }
#pragma unroll
  for (int i = 0; i < Lane<Element>::kCount; ++i) lane.raw[i] = first + i < columns ? row[first + i] : 0;
  return lane;
}

__device__ void refuse(const float* x, int n, std::size_t first, const QuantizeRule& rule,
                       unsigned long long* refused) {
  if (rule.nonfinite != NonFinite::error) return;
  for (int i = 0; i < n; ++i) {
    if (!is_finite(x[i])) {
      atomicMin(refused, static_cast<unsigned long long>(first + i));
      return;
    }
  }
}

template <class Element, int kBlock, bool kPlain>
__device__ void quantize_lane(const Lane<Element>& lane, std::size_t index, std::size_t first, bool inside,
                              const QuantizeLaunch& launch) {
  constexpr int kCount = Lane<Element>::kCount, kLanes = kBlock / kCount;
  float x[kCount];
#pragma unroll
  for (int i = 0; i < kCount; ++i) x[i] = value<Element, kPlain>(lane.raw[i], launch.rule);
  Scan seen = scan(x, kCount);
  if (seen.bad != 0 && inside) refuse(x, kCount, first, launch.rule, launch.refused);
#pragma unroll
  for (int step = 1; step < kLanes; step *= 2) {
    seen = merged(
        seen, {__shfl_xor_sync(~0u, seen.most, step), kPlain ? 0u : __shfl_xor_sync(~0u, seen.bad, step)});
  }
  const Choice choice = choose(seen.most, launch.rule);
  int byte = choice.byte;
  if (launch.rule.optimal) {
    Excess sum = excess(x, kCount, choice);
#pragma unroll
    for (int step = 1; step < kLanes; step *= 2) {
      sum = merged(sum, {__shfl_xor_sync(~0u, sum.hi, step), __shfl_xor_sync(~0u, sum.lo, step)});
    }
    byte = decide(choice, sum);
  }
  if (!inside) return;
  const bool nan = !kPlain && nan_block(seen, launch.rule);
  const std::uint32_t word = codes_of<kPlain>(x, kCount, byte, nan, launch.rule);
  if (kCount == 8) {
    reinterpret_cast<std::uint32_t*>(launch.codes)[index] = word;
  } else {
    reinterpret_cast<std::uint16_t*>(launch.codes)[index] = static_cast<std::uint16_t>(word);
  }
  if (index % kLanes == 0) launch.scales[index / kLanes] = nan ? kE8m0Nan : static_cast<std::uint8_t>(byte);
}

template <class Element, int kBlock, bool kPlain>
__global__ void __launch_bounds__(kThreads) quantize_kernel(const QuantizeLaunch launch) {
  constexpr int kCount = Lane<Element>::kCount, kLanes = kBlock / kCount, kDepth = kPlain ? kLaneDepth : 1;
  const auto* const x = static_cast<const typename Element::Raw*>(launch.x);
  const BlockGrid& grid = launch.grid;
  const std::size_t lanes = grid.all_lanes(), threads = std::size_t{gridDim.x} * kThreads;
  const std::size_t thread = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::size_t pass = 0; pass < lanes; pass += threads * kDepth) {
    Lane<Element> held[kDepth];
    std::size_t first[kDepth];
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const std::size_t index = lane_of(pass, d, thread, threads);
      const std::size_t line = grid.rows == 1 ? 0 : index / (grid.blocks * kLanes);
      const std::size_t column = (index - line * grid.blocks * kLanes) * kCount;
      first[d] = line * grid.columns + column;
      const auto* const row = x + line * grid.columns;
      held[d] = index < lanes ? load<Element>(row, column, grid.columns, grid.vectors) : Lane<Element>{};
    }
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      const std::size_t index = lane_of(pass, d, thread, threads);
      quantize_lane<Element, kBlock, kPlain>(held[d], index, first[d], index < lanes, launch);
    }
  }
}

/// A thread takes a whole block.
template <class Element, int kBlock>
__global__ void __launch_bounds__(kThreads) strided_kernel(const StridedLaunch launch) {
  const QuantizeLaunch& of = launch.of;
  const std::size_t all = of.grid.rows * of.grid.blocks, threads = std::size_t{gridDim.x} * kThreads;
  for (std::size_t i = std::size_t{blockIdx.x} * kThreads + threadIdx.x; i < all; i += threads) {
    const std::size_t block = i / of.grid.rows, line = i % of.grid.rows;
    const auto* const begin = static_cast<const typename Element::Raw*>(of.x) + launch.lines.begin(line);
    float x[kBlock];
#pragma unroll
    for (int k = 0; k < kBlock; ++k) {
      const std::size_t column = block * kBlock + k;
      x[k] = column < of.grid.columns
                 ? value<Element, false>(
                       begin[static_cast<std::int64_t>(column) * launch.lines.element_stride], of.rule)
                 : 0.0f;
    }
    const Scan seen = scan(x, kBlock);
    if (seen.bad != 0)
      refuse(x, kBlock, (launch.first_line + line) * of.grid.columns + block * kBlock, of.rule, of.refused);
    const Choice choice = choose(seen.most, of.rule);
    const int byte = of.rule.optimal ? decide(choice, excess(x, kBlock, choice)) : choice.byte;
    const bool nan = nan_block(seen, of.rule);
    const std::size_t out = line * of.grid.blocks + block;
    auto* const codes = reinterpret_cast<std::uint32_t*>(of.codes) + out * (kBlock / 8);
#pragma unroll
    for (int w = 0; w < kBlock / 8; ++w) codes[w] = codes_of<false>(x + 8 * w, 8, byte, nan, of.rule);
    of.scales[out] = nan ? kE8m0Nan : static_cast<std::uint8_t>(byte);
  }
}

template <class Element, int kBlock>
void launch_as(const QuantizeLaunch& launch, unsigned blocks, cudaStream_t stream) {
  if (launch.rule.plain) {
    quantize_kernel<Element, kBlock, true><<<blocks, kThreads, 0, stream>>>(launch);
  } else {
    quantize_kernel<Element, kBlock, false><<<blocks, kThreads, 0, stream>>>(launch);
  }
}

template <class Element>
void launch_as(const StridedLaunch& launch, unsigned blocks, cudaStream_t stream) {
  if (launch.of.block_size == 32) {
    strided_kernel<Element, 32><<<blocks, kThreads, 0, stream>>>(launch);
  } else {
    strided_kernel<Element, 16><<<blocks, kThreads, 0, stream>>>(launch);
  }
}

}  // namespace

void launch_quantize(const QuantizeLaunch& launch, int multiprocessors, cudaStream_t stream) {
  const unsigned blocks = thread_blocks(launch.grid.all_lanes(), multiprocessors);
  if (blocks == 0) return;
  const bool wide = launch.block_size == 32;
  if (launch.dtype == Dtype::f32) {
    wide ? launch_as<F32, 32>(launch, blocks, stream) : launch_as<F32, 16>(launch, blocks, stream);
  } else if (launch.dtype == Dtype::bf16) {
    wide ? launch_as<Bf16, 32>(launch, blocks, stream) : launch_as<Bf16, 16>(launch, blocks, stream);
  } else {
    wide ? launch_as<F16, 32>(launch, blocks, stream) : launch_as<F16, 16>(launch, blocks, stream);
  }
}

void launch_quantize_strided(const StridedLaunch& launch, int multiprocessors, cudaStream_t stream) {
  const unsigned blocks = thread_blocks(launch.of.grid.rows * launch.of.grid.blocks, multiprocessors);
  if (blocks == 0) return;
  if (launch.of.dtype == Dtype::f32) {
    launch_as<F32>(launch, blocks, stream);
  } else if (launch.of.dtype == Dtype::bf16) {
    launch_as<Bf16>(launch, blocks, stream);
  } else {
    launch_as<F16>(launch, blocks, stream);
  }
}

}  // namespace mxfp4::kernel::cuda
