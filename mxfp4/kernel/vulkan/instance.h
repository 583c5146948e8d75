// The Vulkan loader, opened at run time, and an instance.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

namespace mxfp4::kernel::vulkan {

/// Functions by their names, without "vk".
struct Api {
#define MXFP4_VK_GLOBAL(name) PFN_vk##name name = nullptr;
#define MXFP4_VK_INSTANCE(name) PFN_vk##name name = nullptr;
#define MXFP4_VK_DEVICE(name) PFN_vk##name name = nullptr;
#include "mxfp4/kernel/vulkan/functions.inc"
};

/// Throws Error unless `result` is VK_SUCCESS: out_of_memory, or device for everything else. `what` was
/// tried.
void check(VkResult result, const char* what);
const char* to_string(VkResult result) noexcept;

/// Movable neither; outlives every device that it makes.
class Instance {
 public:
  enum class Validation { off, on };

  /// Throws Error unsupported, with the reason, if there is no loader, no driver or no Vulkan 1.1; with
  /// validation also if its layer is not installed.
  explicit Instance(Validation validation = Validation::off);
  Instance(const Instance&) = delete;
  Instance& operator=(const Instance&) = delete;
  ~Instance();

  const Api& api() const noexcept { return api_; }
  VkInstance handle() const noexcept { return instance_; }
  std::vector<VkPhysicalDevice> devices() const;
  /// What the validation layer had to say.
  const std::vector<std::string>& messages() const noexcept { return messages_; }

 private:
  static VkBool32 VKAPI_PTR listen(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                   const VkDebugUtilsMessengerCallbackDataEXT* data, void* self);
  void open_loader();
  void make(Validation validation);
  void release() noexcept;

  void* library_ = nullptr;
  PFN_vkGetInstanceProcAddr find_ = nullptr;
  Api api_;
  VkInstance instance_ = VK_NULL_HANDLE;
  VkDebugUtilsMessengerEXT messenger_ = VK_NULL_HANDLE;
  std::vector<std::string> messages_;
};

}  // namespace mxfp4::kernel::vulkan
