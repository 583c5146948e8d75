// The shaders as the build compiled them.
#pragma once

#include <cstdint>
#include <span>

#include "mxfp4/kernel/vulkan/gpu.h"

namespace mxfp4::kernel::vulkan {

std::span<const std::uint32_t> spirv_of(Shader shader) noexcept;

}  // namespace mxfp4::kernel::vulkan
