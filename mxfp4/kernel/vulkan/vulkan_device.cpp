#include "mxfp4/kernel/vulkan/vulkan_device.h"

#include <utility>

#include "mxfp4/base/fail_internal.h"
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
  return std::make_unique<Layer>(gpu_, matrices);
}

std::unique_ptr<DeviceLayer> VulkanDevice::experts(const DeviceExpertMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices);
}

// --- what kernel/backends.inc asks for ---

DeviceList list() {
  DeviceList list;
  try {
    const std::vector<Traits> all = all_traits();
    const int best = best_of(all);
    for (int i = 0; i < static_cast<int>(all.size()); ++i) {
      const Traits& traits = all[static_cast<std::size_t>(i)];
      list.devices.push_back({{Backend::vulkan, i}, traits.name, refusal(traits), i == best});
    }
    if (all.empty()) list.why_none.emplace_back("vulkan: no device");
  } catch (const Error& error) {
    list.why_none.emplace_back(error.what());
  }
  return list;
}

std::unique_ptr<ComputeDevice> open(int index) {
  const std::vector<Traits> all = all_traits();
  const int chosen = index == Device::kBest ? best_of(all) : index;
  if (index >= static_cast<int>(all.size())) {
    fail(ErrorCode::invalid_argument, "vulkan:{}: there are {} devices", index, all.size());
  }
  if (chosen < 0) {
    std::string why;
    for (const Traits& traits : all) why += fmt::format("; {}: {}", traits.name, refusal(traits));
    fail(ErrorCode::unsupported, "vulkan: no device can be used{}", why);
  }
  return std::make_unique<VulkanDevice>(instance(), instance().devices()[static_cast<std::size_t>(chosen)]);
}

}  // namespace mxfp4::kernel::vulkan
