// A device of Vulkan as the layers above see it.
#pragma once

#include <memory>

#include "mxfp4/kernel/device.h"
#include "mxfp4/kernel/vulkan/gpu.h"

namespace mxfp4::kernel::vulkan {

class VulkanDevice : public ComputeDevice {
 public:
  VulkanDevice(const Instance& instance, VkPhysicalDevice device, Bounds bounds = {})
      : gpu_(std::make_shared<Gpu>(instance, device, std::move(bounds))) {}

  const std::string& name() const noexcept override { return gpu_->traits().name; }
  std::size_t quantize(const QuantizeArgs& args) override;
  void dequantize(const DequantizeArgs& args) override;
  std::unique_ptr<DeviceLayer> linear(const DeviceMatrices& matrices) override;
  std::unique_ptr<DeviceLayer> gather(const DeviceMatrices& matrices) override;
  std::unique_ptr<DeviceLayer> experts(const DeviceExpertMatrices& matrices) override;

  Gpu& gpu() noexcept { return *gpu_; }

 private:
  std::shared_ptr<Gpu> gpu_;  // layers keep it open
};

}  // namespace mxfp4::kernel::vulkan
