// A device for tests, watched by the validation layer: whatever a test does, the layer has nothing to say,
// and nothing is left behind.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "mxfp4/base/error.h"
#include "mxfp4/kernel/vulkan/vulkan_device.h"

namespace mxfp4::kernel::vulkan {

class VulkanTest : public testing::Test {
 protected:
  void SetUp() override {
    try {
      instance_ = std::make_unique<Instance>(Instance::Validation::on);
      const std::vector<VkPhysicalDevice> devices = instance_->devices();
      std::vector<Traits> traits;
      for (const VkPhysicalDevice device : devices) traits.push_back(traits_of(*instance_, device));
      const int best = best_of(traits);
      if (best < 0) GTEST_SKIP() << "vulkan: no device can be used";
      physical_ = devices[static_cast<std::size_t>(best)];
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }

  void TearDown() override {
    device_.reset();
    if (instance_ == nullptr) return;
    for (const std::string& message : instance_->messages()) ADD_FAILURE() << message;
  }

  /// The device of the test, opened again with other bounds if it is asked for those.
  VulkanDevice& open(Bounds bounds = {}) {
    device_.reset();
    device_ = std::make_unique<VulkanDevice>(*instance_, physical_, std::move(bounds));
    return *device_;
  }
  VulkanDevice& device() { return device_ == nullptr ? open() : *device_; }

  std::unique_ptr<Instance> instance_;
  VkPhysicalDevice physical_ = VK_NULL_HANDLE;
  std::unique_ptr<VulkanDevice> device_;
};

/// The code of the Error that `body` throws, and its message.
template <class Body>
std::optional<std::pair<ErrorCode, std::string>> error_of(const Body& body) {
  try {
    body();
  } catch (const Error& error) {
    return std::pair{error.code(), std::string(error.what())};
  }
  return std::nullopt;
}

}  // namespace mxfp4::kernel::vulkan
