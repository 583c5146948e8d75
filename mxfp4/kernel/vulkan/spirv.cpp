#include "mxfp4/kernel/vulkan/spirv.h"

namespace mxfp4::kernel::vulkan {
namespace {

// What glslangValidator writes: const uint32_t <name>_spirv[] = {...};
#include "mxfp4/kernel/vulkan/spirv_all.inc"

}  // namespace

std::span<const std::uint32_t> spirv_of(Shader shader) noexcept {
  switch (shader) {
#define MXFP4_SHADER(name) \
  case Shader::name:       \
    return name##_spirv;
#include "mxfp4/kernel/vulkan/shaders.inc"
  }
  return {};
}

}  // namespace mxfp4::kernel::vulkan
