// Products of the matrices that could not be packed. All pointers are the device's.
#pragma once

#include <cuda_runtime_api.h>

#include "mxfp4/kernel/cuda/plain_row.h"
#include "mxfp4/kernel/cuda/plan.h"

namespace mxfp4::kernel::cuda {

/// Writes all outputs of these matrices over those that a product of packed weights has just written.
struct PlainLaunch {
  Product product;
  const PlainMatrix* matrices;  ///< one for each of the product's
};
void launch_plain(const ProductPlan& plan, const PlainLaunch& launch, cudaStream_t stream);

}  // namespace mxfp4::kernel::cuda
