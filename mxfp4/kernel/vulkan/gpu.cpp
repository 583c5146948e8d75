#include "mxfp4/kernel/vulkan/gpu.h"

#include <algorithm>
#include <string_view>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/vulkan/spirv.h"

namespace mxfp4::kernel::vulkan {
namespace {

constexpr std::uint64_t kPatience = 600'000'000'000;  // ns that a submission may take

DeviceKind kind_of(VkPhysicalDeviceType type) noexcept {
  switch (type) {
    case VK_PHYSICAL_DEVICE_TYPE_DISCRETE_GPU:
      return DeviceKind::discrete;
    case VK_PHYSICAL_DEVICE_TYPE_INTEGRATED_GPU:
      return DeviceKind::integrated;
    case VK_PHYSICAL_DEVICE_TYPE_VIRTUAL_GPU:
      return DeviceKind::virtual_gpu;
    case VK_PHYSICAL_DEVICE_TYPE_CPU:
      return DeviceKind::software;
    default:
      return DeviceKind::other;
  }
}

/// The first family of queues that computes: the one that does nothing else, if there is such.
std::uint32_t compute_family(const Api& api, VkPhysicalDevice device) {
  std::uint32_t count = 0;
  api.GetPhysicalDeviceQueueFamilyProperties(device, &count, nullptr);
  std::vector<VkQueueFamilyProperties> families(count);
  api.GetPhysicalDeviceQueueFamilyProperties(device, &count, families.data());
  std::uint32_t found = UINT32_MAX;
  for (std::uint32_t i = 0; i < count; ++i) {
    if ((families[i].queueFlags & VK_QUEUE_COMPUTE_BIT) == 0) continue;
    if ((families[i].queueFlags & VK_QUEUE_GRAPHICS_BIT) == 0) return i;
    if (found == UINT32_MAX) found = i;
  }
  return found;
}

constexpr const char* kIntegerDot = VK_KHR_SHADER_INTEGER_DOT_PRODUCT_EXTENSION_NAME;

bool has_integer_dot(const Api& api, VkPhysicalDevice device) {
  std::uint32_t count = 0;
  api.EnumerateDeviceExtensionProperties(device, nullptr, &count, nullptr);
  std::vector<VkExtensionProperties> extensions(count);
  api.EnumerateDeviceExtensionProperties(device, nullptr, &count, extensions.data());
  const bool found =
      std::any_of(extensions.begin(), extensions.end(), [](const VkExtensionProperties& extension) {
        return std::string_view(extension.extensionName) == kIntegerDot;
      });
  if (!found) return false;
  VkPhysicalDeviceShaderIntegerDotProductFeatures dot{};
  dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
  VkPhysicalDeviceFeatures2 features{};
  features.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2;
  features.pNext = &dot;
  api.GetPhysicalDeviceFeatures2(device, &features);
  return dot.shaderIntegerDotProduct == VK_TRUE;
}

}  // namespace

Traits traits_of(const Instance& instance, VkPhysicalDevice device) {
  VkPhysicalDeviceProperties properties;
  instance.api().GetPhysicalDeviceProperties(device, &properties);
  const VkPhysicalDeviceLimits& limits = properties.limits;
  return {properties.deviceName,
          kind_of(properties.deviceType),
          VK_API_VERSION_MAJOR(properties.apiVersion),
          VK_API_VERSION_MINOR(properties.apiVersion),
          compute_family(instance.api(), device) != UINT32_MAX,
          std::min(limits.maxComputeWorkGroupInvocations, limits.maxComputeWorkGroupSize[0]),
          limits.maxComputeSharedMemorySize,
          std::min(limits.maxPerStageDescriptorStorageBuffers, limits.maxDescriptorSetStorageBuffers),
          limits.maxStorageBufferRange,
          {limits.maxComputeWorkGroupCount[0], limits.maxComputeWorkGroupCount[1]},
          VK_API_VERSION_MINOR(properties.apiVersion) >= 1 && has_integer_dot(instance.api(), device)};
}

Gpu::Gpu(const Instance& instance, VkPhysicalDevice device, Bounds bounds)
    : api_(instance.api()), bounds_(std::move(bounds)), traits_(traits_of(instance, device)) {
  const std::string why = refusal(traits_);
  if (!why.empty()) fail(ErrorCode::unsupported, "vulkan: {} cannot be used: {}", traits_.name, why);
  traits_.integer_dot = traits_.integer_dot && bounds_.integer_dot;
  traits_.storage_range = std::min(traits_.storage_range, bounds_.storage_range);
  try {
    open(instance, device);
    make_layouts();
  } catch (...) {
    release();
    throw;
  }
}

Gpu::~Gpu() {
  if (!lost_) api_.DeviceWaitIdle(device_);
  release();
}

void Gpu::release() noexcept {
  if (device_ == VK_NULL_HANDLE) return;
  memory_.reset();
  for (const auto& [key, pipeline] : pipelines_) api_.DestroyPipeline(device_, pipeline, nullptr);
  api_.DestroyFence(device_, fence_, nullptr);
  api_.DestroyPipelineLayout(device_, pipeline_layout_, nullptr);
  api_.DestroyDescriptorSetLayout(device_, set_layout_, nullptr);
  api_.DestroyCommandPool(device_, command_pool_, nullptr);
  api_.DestroyDevice(device_, nullptr);
}

void Gpu::open(const Instance& instance, VkPhysicalDevice device) {
  const float priority = 1;
  VkDeviceQueueCreateInfo queue{};
  queue.sType = VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO;
  queue.queueFamilyIndex = compute_family(api_, device);
  queue.queueCount = 1;
  queue.pQueuePriorities = &priority;
  VkDeviceCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO;
  info.queueCreateInfoCount = 1;
  info.pQueueCreateInfos = &queue;
  VkPhysicalDeviceShaderIntegerDotProductFeatures dot{};
  dot.sType = VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_SHADER_INTEGER_DOT_PRODUCT_FEATURES;
  dot.shaderIntegerDotProduct = VK_TRUE;
  if (traits_.integer_dot) {
    info.pNext = &dot;
    info.enabledExtensionCount = 1;
    info.ppEnabledExtensionNames = &kIntegerDot;
  }
  check(api_.CreateDevice(device, &info, nullptr, &device_), "open the device");
#define MXFP4_VK_DEVICE(name) \
  api_.name = reinterpret_cast<PFN_vk##name>(api_.GetDeviceProcAddr(device_, "vk" #name));
#include "mxfp4/kernel/vulkan/functions.inc"
  if (bounds_.wrap) bounds_.wrap(api_);
  api_.GetDeviceQueue(device_, queue.queueFamilyIndex, 0, &queue_);

  VkPhysicalDeviceMemoryProperties types;
  instance.api().GetPhysicalDeviceMemoryProperties(device, &types);
  memory_ = std::make_unique<Memory>(api_, device_, types, bounds_.memory);

  VkCommandPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_COMMAND_POOL_CREATE_INFO;
  pool.queueFamilyIndex = queue.queueFamilyIndex;
  check(api_.CreateCommandPool(device_, &pool, nullptr, &command_pool_), "make a command pool");
  VkFenceCreateInfo fence{};
  fence.sType = VK_STRUCTURE_TYPE_FENCE_CREATE_INFO;
  check(api_.CreateFence(device_, &fence, nullptr, &fence_), "make a fence");
}

void Gpu::make_layouts() {
  VkDescriptorSetLayoutBinding bindings[kBindings] = {};
  for (std::uint32_t i = 0; i < kBindings; ++i) {
    bindings[i].binding = i;
    bindings[i].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    bindings[i].descriptorCount = 1;
    bindings[i].stageFlags = VK_SHADER_STAGE_COMPUTE_BIT;
  }
  VkDescriptorSetLayoutCreateInfo sets{};
  sets.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO;
  sets.bindingCount = kBindings;
  sets.pBindings = bindings;
  check(api_.CreateDescriptorSetLayout(device_, &sets, nullptr, &set_layout_), "make a layout of bindings");
  const VkPushConstantRange push{VK_SHADER_STAGE_COMPUTE_BIT, 0, kPushBytes};
  VkPipelineLayoutCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO;
  info.setLayoutCount = 1;
  info.pSetLayouts = &set_layout_;
  info.pushConstantRangeCount = 1;
  info.pPushConstantRanges = &push;
  check(api_.CreatePipelineLayout(device_, &info, nullptr, &pipeline_layout_), "make a layout of pipelines");
}

VkPipeline Gpu::pipeline(Shader shader, std::uint32_t constant) {
  const auto found = pipelines_.find({shader, constant});
  if (found != pipelines_.end()) return found->second;
  const std::span<const std::uint32_t> code = spirv_of(shader);
  VkShaderModuleCreateInfo source{};
  source.sType = VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO;
  source.codeSize = code.size_bytes();
  source.pCode = code.data();
  VkShaderModule module = VK_NULL_HANDLE;
  check(api_.CreateShaderModule(device_, &source, nullptr, &module), "load a shader");
  const VkSpecializationMapEntry entry{0, 0, sizeof constant};
  const VkSpecializationInfo special{1, &entry, sizeof constant, &constant};
  VkComputePipelineCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO;
  info.stage.sType = VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO;
  info.stage.stage = VK_SHADER_STAGE_COMPUTE_BIT;
  info.stage.module = module;
  info.stage.pName = "main";
  info.stage.pSpecializationInfo = &special;
  info.layout = pipeline_layout_;
  VkPipeline pipeline = VK_NULL_HANDLE;
  const VkResult result = api_.CreateComputePipelines(device_, VK_NULL_HANDLE, 1, &info, nullptr, &pipeline);
  api_.DestroyShaderModule(device_, module, nullptr);
  check(result, "compile a shader");
  pipelines_[{shader, constant}] = pipeline;
  return pipeline;
}

void Gpu::run(VkCommandBuffer commands) {
  const auto done = [&](VkResult result, const char* what) {
    lost_ = lost_ || (result != VK_SUCCESS && result != VK_ERROR_OUT_OF_HOST_MEMORY &&
                      result != VK_ERROR_OUT_OF_DEVICE_MEMORY);
    check(result, what);
  };
  if (lost_) fail(ErrorCode::device, "vulkan: {} has failed before and is not used again", traits_.name);
  VkSubmitInfo submit{};
  submit.sType = VK_STRUCTURE_TYPE_SUBMIT_INFO;
  submit.commandBufferCount = 1;
  submit.pCommandBuffers = &commands;
  done(api_.ResetFences(device_, 1, &fence_), "reset a fence");
  done(api_.QueueSubmit(queue_, 1, &submit, fence_), "have the device compute");
  done(api_.WaitForFences(device_, 1, &fence_, VK_TRUE, kPatience), "wait for the device");
}

}  // namespace mxfp4::kernel::vulkan
