// Launches of products and of what stands around them. All pointers are the device's.
#pragma once

#include <cuda_runtime_api.h>

#include "mxfp4/kernel/cuda/plan.h"
#include "mxfp4/kernel/cuda/product.h"

namespace mxfp4::kernel::cuda {

/// Lets the kernels use the shared memory that they need, once per device. Throws Error.
void allow_shared_memory(const Traits& traits);

void launch_product(const ProductPlan& plan, const Product& product, cudaStream_t stream);

}  // namespace mxfp4::kernel::cuda
