#include "mxfp4/kernel/vulkan/instance.h"

#include <algorithm>
#include <string_view>

#include <dlfcn.h>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::kernel::vulkan {
namespace {

constexpr const char* kLoader = "libvulkan.so.1";
constexpr const char* kValidationLayer = "VK_LAYER_KHRONOS_validation";

}  // namespace

const char* to_string(VkResult result) noexcept {
  switch (result) {
    case VK_ERROR_OUT_OF_HOST_MEMORY:
      return "out of host memory";
    case VK_ERROR_OUT_OF_DEVICE_MEMORY:
      return "out of device memory";
    case VK_ERROR_DEVICE_LOST:
      return "the device is lost";
    case VK_ERROR_INITIALIZATION_FAILED:
      return "initialisation failed";
    case VK_ERROR_INCOMPATIBLE_DRIVER:
      return "no driver";
    case VK_ERROR_LAYER_NOT_PRESENT:
      return "a layer is not installed";
    case VK_ERROR_EXTENSION_NOT_PRESENT:
      return "an extension is missing";
    case VK_ERROR_TOO_MANY_OBJECTS:
      return "too many objects";
    case VK_TIMEOUT:
      return "no answer in time";
    default:
      return "an error";
  }
}

void check(VkResult result, const char* what) {
  if (result == VK_SUCCESS) return;
  const bool memory = result == VK_ERROR_OUT_OF_HOST_MEMORY || result == VK_ERROR_OUT_OF_DEVICE_MEMORY;
  fail(memory ? ErrorCode::out_of_memory : ErrorCode::device, "vulkan: cannot {}: {} (VkResult {})", what,
       to_string(result), static_cast<int>(result));
}

Instance::Instance(Validation validation) {
  open_loader();
  try {
    make(validation);
  } catch (...) {
    release();
    throw;
  }
}

Instance::~Instance() {
  release();
}

void Instance::release() noexcept {
  if (messenger_ != VK_NULL_HANDLE) {
    const auto destroy = reinterpret_cast<PFN_vkDestroyDebugUtilsMessengerEXT>(
        find_(instance_, "vkDestroyDebugUtilsMessengerEXT"));
    destroy(instance_, messenger_, nullptr);
  }
  if (instance_ != VK_NULL_HANDLE) api_.DestroyInstance(instance_, nullptr);
  // The loader stays: drivers do not always survive being unloaded.
}

void Instance::open_loader() {
  library_ = dlopen(kLoader, RTLD_NOW | RTLD_LOCAL);
  if (library_ == nullptr) fail(ErrorCode::unsupported, "vulkan: no loader: {}", dlerror());
  find_ = reinterpret_cast<PFN_vkGetInstanceProcAddr>(dlsym(library_, "vkGetInstanceProcAddr"));
  if (find_ == nullptr) fail(ErrorCode::unsupported, "vulkan: {} is no loader of Vulkan", kLoader);
#define MXFP4_VK_GLOBAL(name) api_.name = reinterpret_cast<PFN_vk##name>(find_(VK_NULL_HANDLE, "vk" #name));
#include "mxfp4/kernel/vulkan/functions.inc"
}

void Instance::make(Validation validation) {
  const bool validated = validation == Validation::on;
  if (validated) {
    std::uint32_t count = 0;
    api_.EnumerateInstanceLayerProperties(&count, nullptr);
    std::vector<VkLayerProperties> layers(count);
    api_.EnumerateInstanceLayerProperties(&count, layers.data());
    const bool found = std::any_of(layers.begin(), layers.end(), [](const VkLayerProperties& layer) {
      return std::string_view(layer.layerName) == kValidationLayer;
    });
    if (!found) fail(ErrorCode::unsupported, "vulkan: {} is not installed", kValidationLayer);
  }
  VkApplicationInfo application{};
  application.sType = VK_STRUCTURE_TYPE_APPLICATION_INFO;
  application.pApplicationName = "mxfp4";
  application.apiVersion = VK_API_VERSION_1_1;
  VkDebugUtilsMessengerCreateInfoEXT messenger{};
  messenger.sType = VK_STRUCTURE_TYPE_DEBUG_UTILS_MESSENGER_CREATE_INFO_EXT;
  messenger.messageSeverity =
      VK_DEBUG_UTILS_MESSAGE_SEVERITY_WARNING_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_SEVERITY_ERROR_BIT_EXT;
  messenger.messageType =
      VK_DEBUG_UTILS_MESSAGE_TYPE_VALIDATION_BIT_EXT | VK_DEBUG_UTILS_MESSAGE_TYPE_PERFORMANCE_BIT_EXT;
  messenger.pfnUserCallback = listen;
  messenger.pUserData = this;
  const VkValidationFeatureEnableEXT barriers = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT;
  VkValidationFeaturesEXT features{};
  features.sType = VK_STRUCTURE_TYPE_VALIDATION_FEATURES_EXT;
  features.pNext = &messenger;
  features.enabledValidationFeatureCount = 1;
  features.pEnabledValidationFeatures = &barriers;
  const char* const extensions[] = {VK_EXT_DEBUG_UTILS_EXTENSION_NAME,
                                    VK_EXT_VALIDATION_FEATURES_EXTENSION_NAME};
  VkInstanceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO;
  info.pNext = validated ? &features : nullptr;
  info.pApplicationInfo = &application;
  info.enabledLayerCount = validated ? 1 : 0;
  info.ppEnabledLayerNames = &kValidationLayer;
  info.enabledExtensionCount = validated ? 2 : 0;
  info.ppEnabledExtensionNames = extensions;
  const VkResult result = api_.CreateInstance(&info, nullptr, &instance_);
  if (result == VK_ERROR_OUT_OF_HOST_MEMORY) check(result, "make an instance");
  if (result != VK_SUCCESS) fail(ErrorCode::unsupported, "vulkan: no instance: {}", to_string(result));
#define MXFP4_VK_INSTANCE(name) api_.name = reinterpret_cast<PFN_vk##name>(find_(instance_, "vk" #name));
#include "mxfp4/kernel/vulkan/functions.inc"
  if (validated) {
    const auto create = reinterpret_cast<PFN_vkCreateDebugUtilsMessengerEXT>(
        find_(instance_, "vkCreateDebugUtilsMessengerEXT"));
    check(create(instance_, &messenger, nullptr, &messenger_), "listen to the validation layer");
  }
}

VkBool32 VKAPI_PTR Instance::listen(VkDebugUtilsMessageSeverityFlagBitsEXT, VkDebugUtilsMessageTypeFlagsEXT,
                                    const VkDebugUtilsMessengerCallbackDataEXT* data, void* self) {
  static_cast<Instance*>(self)->messages_.emplace_back(data->pMessage);
  return VK_FALSE;
}

std::vector<VkPhysicalDevice> Instance::devices() const {
  std::uint32_t count = 0;
  check(api_.EnumeratePhysicalDevices(instance_, &count, nullptr), "list the devices");
  std::vector<VkPhysicalDevice> devices(count);
  check(api_.EnumeratePhysicalDevices(instance_, &count, devices.data()), "list the devices");
  return devices;
}

}  // namespace mxfp4::kernel::vulkan
