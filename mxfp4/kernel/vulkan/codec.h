// Quantise and dequantise on a device.
#pragma once

#include "mxfp4/kernel/ops.h"
#include "mxfp4/kernel/vulkan/gpu.h"

namespace mxfp4::kernel::vulkan {

/// As ComputeDevice says it. They take the device's mutex.
std::size_t quantize(Gpu& gpu, const QuantizeArgs& args);
void dequantize(Gpu& gpu, const DequantizeArgs& args);

}  // namespace mxfp4::kernel::vulkan
