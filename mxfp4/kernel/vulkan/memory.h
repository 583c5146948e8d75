// Memory of a device: large blocks, cut into buffers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "mxfp4/kernel/vulkan/free_list.h"
#include "mxfp4/kernel/vulkan/instance.h"

namespace mxfp4::kernel::vulkan {

/// Where a buffer lies.
enum class Place : std::uint8_t {
  device,    ///< the device's own memory
  upload,    ///< memory that the processor writes and the device copies from
  download,  ///< memory that the device copies to and the processor reads, through its caches if it can
};

class Memory;

/// A buffer, and its bytes where the processor sees them. Movable; outlived by its Memory.
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { *this = static_cast<Buffer&&>(other); }
  Buffer& operator=(Buffer&& other) noexcept;
  ~Buffer();

  VkBuffer handle() const noexcept { return buffer_; }
  std::uint64_t bytes() const noexcept { return bytes_; }
  /// Null in the device's own memory.
  template <class T>
  T* mapped(std::size_t byte_offset = 0) const noexcept {
    return reinterpret_cast<T*>(mapped_ + byte_offset);
  }

 private:
  friend class Memory;
  Memory* owner_ = nullptr;
  void* block_ = nullptr;  // of the owner's
  VkBuffer buffer_ = VK_NULL_HANDLE;
  std::uint64_t bytes_ = 0, offset_ = 0, taken_ = 0;
  std::byte* mapped_ = nullptr;
};

/// Not thread-safe: a device is used by one thread at a time.
class Memory {
 public:
  /// At most `limit` bytes are taken from the device. The api outlives it.
  Memory(const Api& api, VkDevice device, const VkPhysicalDeviceMemoryProperties& types,
         std::uint64_t limit = UINT64_MAX);
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  ~Memory();

  /// Throws Error out_of_memory or device.
  Buffer buffer(std::uint64_t bytes, Place place);
  /// Buffers that exist, and blocks that are taken from the device.
  std::size_t buffers() const noexcept { return buffers_; }
  std::size_t blocks() const noexcept { return blocks_.size(); }

 private:
  friend class Buffer;
  struct Block {
    VkDeviceMemory memory = VK_NULL_HANDLE;
    std::uint32_t type = 0;
    std::uint64_t bytes = 0;
    std::byte* mapped = nullptr;
    FreeList free;
  };
  std::uint32_t type_for(std::uint32_t allowed, Place place) const;
  Block& block_for(const VkMemoryRequirements& needs, Place place, std::uint64_t& offset);
  Block& new_block(std::uint64_t bytes, std::uint32_t type, Place place);
  void release(Buffer& buffer) noexcept;
  void free(Block& block) noexcept;

  const Api& api_;
  VkDevice device_;
  VkPhysicalDeviceMemoryProperties types_;
  std::uint64_t limit_, taken_ = 0;
  std::vector<std::unique_ptr<Block>> blocks_;
  std::size_t buffers_ = 0;
};

}  // namespace mxfp4::kernel::vulkan
