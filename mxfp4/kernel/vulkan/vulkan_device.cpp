#include "mxfp4/kernel/vulkan/vulkan_device.h"

#include <utility>

#include "mxfp4/kernel/backend_list_internal.h"
#include "mxfp4/kernel/vulkan/codec.h"
#include "mxfp4/kernel/vulkan/layer.h"

namespace mxfp4::kernel::vulkan {
namespace {

/// Made when it is first asked for, and never destroyed: drivers have ends of their own.
const Instance& instance() {
  static const Instance& it = *new Instance;
  return it;
}

std::vector<Traits> all_traits() {
  std::vector<Traits> traits;
  for (const VkPhysicalDevice device : instance().devices()) traits.push_back(traits_of(instance(), device));
  return traits;
}

}  // namespace

std::size_t VulkanDevice::quantize(const QuantizeArgs& args) {
  return vulkan::quantize(*gpu_, args);
}

void VulkanDevice::dequantize(const DequantizeArgs& args) {
  vulkan::dequantize(*gpu_, args);
}

std::unique_ptr<DeviceLayer> VulkanDevice::linear(const DeviceMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices, LayerKind::linear);
}

std::unique_ptr<DeviceLayer> VulkanDevice::gather(const DeviceMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices, LayerKind::gather);
}

std::unique_ptr<DeviceLayer> VulkanDevice::experts(const DeviceExpertMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices);
}

// --- what kernel/backends.inc asks for ---

DeviceList list() {
  return list_of(Backend::vulkan, all_traits);
}

std::unique_ptr<ComputeDevice> open(int index) {
  return std::make_unique<VulkanDevice>(instance(),
                                        instance().devices()[choose({Backend::vulkan, index}, all_traits())]);
}

}  // namespace mxfp4::kernel::vulkan
