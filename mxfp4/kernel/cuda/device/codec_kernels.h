// Quantise and dequantise on a device: launches on a stream, nothing else. All pointers are the device's.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime_api.h>

#include "mxfp4/kernel/cuda/codec_plan.h"
#include "mxfp4/kernel/cuda/lines.h"
#include "mxfp4/kernel/cuda/quantize_block.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::kernel::cuda {

struct QuantizeLaunch {
  const void* x = nullptr;  ///< element (r, c) at r * columns + c
  Dtype dtype = Dtype::f32;
  BlockGrid grid;
  int block_size = 32;
  QuantizeRule rule = {};
  std::uint8_t* codes = nullptr;  ///< aligned to 16
  std::uint8_t* scales = nullptr;
  unsigned long long* refused =
      nullptr;  ///< the lowest index of an element refused; the caller sets it to all ones
};
void launch_quantize(const QuantizeLaunch& launch, int multiprocessors, cudaStream_t stream);

/// Blocks along any axis: codes of block b of line l are those of block l * blocks + b. Consecutive threads
/// take consecutive lines, so that reads are whole where inner_stride is 1. `grid` has lines for rows;
/// `refused` counts (first_line + l) * columns + c.
struct StridedLaunch {
  QuantizeLaunch of;
  Lines lines;
  std::size_t first_line = 0;
};
void launch_quantize_strided(const StridedLaunch& launch, int multiprocessors, cudaStream_t stream);

struct DequantizeLaunch {
  const std::uint8_t* codes = nullptr;  ///< aligned to 4
  const std::uint8_t* scales = nullptr;
  BlockGrid grid;
  int block_size = 32;
  bool split16 = false;  ///< else interleaved
  Dtype dtype = Dtype::f32;
  void* out = nullptr;
};
void launch_dequantize(const DequantizeLaunch& launch, int multiprocessors, cudaStream_t stream);

}  // namespace mxfp4::kernel::cuda
