// What stands around the products of a layer: activations, routing, the weighted sum. All pointers are the
// device's.
#pragma once

#include <cuda_runtime_api.h>

#include "mxfp4/kernel/cuda/routing.h"
#include "mxfp4/tensor/dtype.h"

namespace mxfp4::kernel::cuda {

/// Rows of activations to rows of bf16 terms, completed with zeros to `pitch`.
struct TermsLaunch {
  const void* x;
  Dtype dtype;
  std::size_t rows, columns;
  int terms;
  std::size_t pitch;
  std::uint16_t* out;  ///< rows * terms * pitch
};
void launch_terms(const TermsLaunch& launch, cudaStream_t stream);

inline constexpr int kMostExperts = 1024;  ///< a thread for each
void launch_routing(const Routing& routing, cudaStream_t stream);

/// out[t] = sum over the token's slots, in their order, of weight * rows[position]; weights of null are 1.
struct CombineLaunch {
  const float* rows;
  std::size_t columns;
  int tokens, top_k;
  const std::int32_t* position_of;
  const float* weights;  ///< of slots, or null
  Dtype dtype;
  void* out;
};
void launch_combine(const CombineLaunch& launch, cudaStream_t stream);

}  // namespace mxfp4::kernel::cuda
