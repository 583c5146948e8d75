// A device that is open: its queue, its memory, its pipelines.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "mxfp4/kernel/vulkan/choice.h"
#include "mxfp4/kernel/vulkan/memory.h"

namespace mxfp4::kernel::vulkan {

enum class Shader : std::uint8_t {
#define MXFP4_SHADER(name) name,
#include "mxfp4/kernel/vulkan/shaders.inc"
#undef MXFP4_SHADER
};

/// What a device is held to beyond its own limits, for tests.
struct Bounds {
  std::uint64_t memory = UINT64_MAX;         ///< bytes
  std::uint64_t storage_range = UINT64_MAX;  ///< bytes that a binding shows
  std::uint64_t staging = 16 << 20;         ///< bytes that lie between the processor and the device at a time
  bool integer_dot = true;                  ///< use the instruction where there is one
  std::function<void(Api& api)> wrap = {};  ///< replaces functions, for errors that no device shows
};

Traits traits_of(const Instance& instance, VkPhysicalDevice device);

/// All bindings of a shader are storage buffers, and its arguments at most kPushBytes of push constants.
inline constexpr std::uint32_t kPushBytes = 80;

/// Whoever uses it holds its mutex.
class Gpu {
 public:
  /// Throws Error unsupported if the device cannot be used, device or out_of_memory. Outlived by the
  /// instance.
  Gpu(const Instance& instance, VkPhysicalDevice device, Bounds bounds = {});
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;
  ~Gpu();

  const Api& api() const noexcept { return api_; }
  VkDevice handle() const noexcept { return device_; }
  const Traits& traits() const noexcept { return traits_; }  ///< with the bounds
  const Bounds& bounds() const noexcept { return bounds_; }
  std::mutex& mutex() noexcept { return mutex_; }
  Memory& memory() noexcept { return *memory_; }
  VkCommandPool command_pool() const noexcept { return command_pool_; }
  VkDescriptorSetLayout set_layout() const noexcept { return set_layout_; }
  VkPipelineLayout pipeline_layout() const noexcept { return pipeline_layout_; }

  /// Made when it is first asked for; constant 0 of the shader is `constant`.
  VkPipeline pipeline(Shader shader, std::uint32_t constant = 0);
  std::size_t pipelines() const noexcept { return pipelines_.size(); }

  /// Has the queue do it and waits. After VK_ERROR_DEVICE_LOST nothing more is asked of the device.
  void run(VkCommandBuffer commands);

 private:
  void open(const Instance& instance, VkPhysicalDevice device);
  void make_layouts();
  void release() noexcept;

  Api api_;
  Bounds bounds_;
  Traits traits_;
  std::mutex mutex_;
  VkDevice device_ = VK_NULL_HANDLE;
  VkQueue queue_ = VK_NULL_HANDLE;
  VkCommandPool command_pool_ = VK_NULL_HANDLE;
  VkDescriptorSetLayout set_layout_ = VK_NULL_HANDLE;
  VkPipelineLayout pipeline_layout_ = VK_NULL_HANDLE;
  VkFence fence_ = VK_NULL_HANDLE;
  std::map<std::pair<Shader, std::uint32_t>, VkPipeline> pipelines_;
  std::unique_ptr<Memory> memory_;
  bool lost_ = false;
};

}  // namespace mxfp4::kernel::vulkan
