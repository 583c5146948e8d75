// Packing weights on a device. All pointers are the device's.
#pragma once

#include <cuda_runtime_api.h>

#include "mxfp4/kernel/cuda/pack_rows.h"

namespace mxfp4::kernel::cuda {

struct PackLaunch {
  PackSource source;
  TileGrid tiles;
  std::uint8_t* out;        ///< tiles.bytes()
  std::int16_t* exponents;  ///< scratch, of the packed rows
  float* factors;           ///< of the packed rows
  int* wide_row;            ///< gets the largest packed row that does not fit; the caller sets it to -1
};
void launch_pack(const PackLaunch& launch, cudaStream_t stream);

}  // namespace mxfp4::kernel::cuda
