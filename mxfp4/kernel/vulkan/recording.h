// A command buffer that is recorded once and run as often as wanted.
#pragma once

#include <cstdint>
#include <initializer_list>

#include "mxfp4/kernel/vulkan/gpu.h"

namespace mxfp4::kernel::vulkan {

/// Part of a buffer, or all that follows its offset.
struct Binding {
  const Buffer& buffer;
  std::uint64_t offset = 0;
  std::uint64_t bytes = VK_WHOLE_SIZE;
};

/// Its owner holds the device's mutex, also at its end. Buffers that it names outlive it.
class Recording {
 public:
  /// At most so many dispatches.
  Recording(Gpu& gpu, std::uint32_t dispatches);
  Recording(const Recording&) = delete;
  Recording& operator=(const Recording&) = delete;
  ~Recording();

  void copy(const Buffer& from, const Buffer& to, std::uint64_t bytes, std::uint64_t from_offset = 0,
            std::uint64_t to_offset = 0);
  void fill(const Buffer& buffer, std::uint32_t word);
  /// Binding i of the shader is the i-th of `bindings`.
  template <class Arguments>
  void dispatch(Shader shader, std::uint32_t constant, std::initializer_list<Binding> bindings,
                const Arguments& arguments, std::uint32_t x, std::uint32_t y = 1) {
    static_assert(sizeof(Arguments) <= kPushBytes);
    dispatch(shader, constant, bindings, &arguments, sizeof arguments, x, y);
  }
  /// What comes later, on the processor as well, sees what came before.
  void barrier();
  void end();
  /// After end().
  void run() { gpu_.run(commands_); }

 private:
  void dispatch(Shader shader, std::uint32_t constant, std::initializer_list<Binding> bindings,
                const void* arguments, std::uint32_t argument_bytes, std::uint32_t x, std::uint32_t y);
  VkDescriptorSet set_of(std::initializer_list<Binding> bindings);
  void release() noexcept;

  Gpu& gpu_;
  VkDescriptorPool pool_ = VK_NULL_HANDLE;
  VkCommandBuffer commands_ = VK_NULL_HANDLE;
};

}  // namespace mxfp4::kernel::vulkan
