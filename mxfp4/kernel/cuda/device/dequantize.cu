// A lane writes 16 bytes: 4 codes to f32, or 8 to bf16 and f16. Writes of a warp are 512 bytes side by side.
#include "mxfp4/kernel/cuda/dequantize_value.h"
#include "mxfp4/kernel/cuda/device/codec_kernels.h"

namespace mxfp4::kernel::cuda {
namespace {

template <class To>
union Lane {
  static constexpr int kCount = kLaneBytes / sizeof(typename To::Raw);
  uint4 vector;
  typename To::Raw raw[kCount];
};

/// kCount codes from element `i` of a block on, the first in the lowest bits.
template <int kCount>
__device__ std::uint32_t codes_at(const std::uint8_t* block, int i, bool split16) {
  if (!split16) {
    return kCount == 8 ? __ldg(reinterpret_cast<const std::uint32_t*>(block + i / 2))
                       : __ldg(reinterpret_cast<const std::uint16_t*>(block + i / 2));
  }
  // Byte j holds elements j and j + 16: the halves of kCount bytes, drawn together.
  const auto* const words = reinterpret_cast<const std::uint32_t*>(block + i % 16);
  std::uint32_t codes = 0;
#pragma unroll
  for (int w = 0; w < kCount / 4; ++w) {
    codes |= drawn_together(__ldg(words + w), i >= 16) << (16 * w);
  }
  return codes;
}

template <class To, int kBlock>
__global__ void __launch_bounds__(kThreads) dequantize_kernel(const DequantizeLaunch launch) {
  constexpr int kCount = Lane<To>::kCount, kLanes = kBlock / kCount;
  auto* const out = static_cast<typename To::Raw*>(launch.out);
  const BlockGrid& grid = launch.grid;
  const std::size_t lanes = grid.all_lanes(), threads = std::size_t{gridDim.x} * kThreads;
  const std::size_t thread = std::size_t{blockIdx.x} * kThreads + threadIdx.x;
  for (std::size_t pass = 0; pass < lanes; pass += threads * kLaneDepth) {
    std::uint32_t codes[kLaneDepth];
    std::uint8_t bytes[kLaneDepth];
#pragma unroll
    for (int d = 0; d < kLaneDepth; ++d) {
      const std::size_t index = lane_of(pass, d, thread, threads);
      if (index >= lanes) break;
      const std::size_t block = index / kLanes;
      codes[d] = codes_at<kCount>(launch.codes + block * (kBlock / 2),
                                  static_cast<int>(index % kLanes) * kCount, launch.split16);
      bytes[d] = __ldg(launch.scales + block);
    }
#pragma unroll
    for (int d = 0; d < kLaneDepth; ++d) {
      const std::size_t index = lane_of(pass, d, thread, threads);
      if (index >= lanes) break;
      Lane<To> lane;
      decode_word<To>(codes[d], kCount, bytes[d], lane.raw);
      const std::size_t line = grid.rows == 1 ? 0 : index / (grid.blocks * kLanes);
      const std::size_t column = (index - line * grid.blocks * kLanes) * kCount;
      typename To::Raw* const row = out + line * grid.columns;
      if (grid.vectors) {
        *reinterpret_cast<uint4*>(row + column) = lane.vector;
      } else {
#pragma unroll
        for (int i = 0; i < kCount; ++i) {
          if (column + i < grid.columns) row[column + i] = lane.raw[i];
        }
      }
    }
  }
}

template <class To>
void launch_as(const DequantizeLaunch& launch, unsigned blocks, cudaStream_t stream) {
  if (launch.block_size == 32) {
    dequantize_kernel<To, 32><<<blocks, kThreads, 0, stream>>>(launch);
  } else {
    dequantize_kernel<To, 16><<<blocks, kThreads, 0, stream>>>(launch);
  }
}

}  // namespace

void launch_dequantize(const DequantizeLaunch& launch, int multiprocessors, cudaStream_t stream) {
  const unsigned blocks = thread_blocks(launch.grid.all_lanes(), multiprocessors);
  if (blocks == 0) return;
  if (launch.dtype == Dtype::f32) {
    launch_as<ToF32>(launch, blocks, stream);
  } else if (launch.dtype == Dtype::bf16) {
    launch_as<ToBf16>(launch, blocks, stream);
  } else {
    launch_as<ToF16>(launch, blocks, stream);
  }
}

}  // namespace mxfp4::kernel::cuda
