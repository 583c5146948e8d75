#include "mxfp4/kernel/vulkan/memory.h"

#include <algorithm>
#include <utility>

#include "mxfp4/base/fail_internal.h"

namespace mxfp4::kernel::vulkan {
namespace {

/// Buffers that are smaller share blocks of this size; others have one of their own.
constexpr std::uint64_t kBlockBytes = 32 << 20;

constexpr VkMemoryPropertyFlags kVisible =
    VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;

}  // namespace

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this == &other) return *this;
  if (owner_ != nullptr) owner_->release(*this);
  owner_ = std::exchange(other.owner_, nullptr);
  block_ = std::exchange(other.block_, nullptr);
  buffer_ = std::exchange(other.buffer_, VkBuffer{});
  bytes_ = std::exchange(other.bytes_, 0);
  offset_ = std::exchange(other.offset_, 0);
  taken_ = std::exchange(other.taken_, 0);
  mapped_ = std::exchange(other.mapped_, nullptr);
  return *this;
}

Buffer::~Buffer() {
  if (owner_ != nullptr) owner_->release(*this);
}

Memory::Memory(const Api& api, VkDevice device, const VkPhysicalDeviceMemoryProperties& types,
               std::uint64_t limit)
    : api_(api), device_(device), types_(types), limit_(limit) {}

Memory::~Memory() {
  for (const std::unique_ptr<Block>& block : blocks_) api_.FreeMemory(device_, block->memory, nullptr);
}

std::uint32_t Memory::type_for(std::uint32_t allowed, Place place) const {
  const auto find = [&](VkMemoryPropertyFlags wanted) {
    for (std::uint32_t i = 0; i < types_.memoryTypeCount; ++i) {
      if ((allowed >> i & 1) != 0 && (types_.memoryTypes[i].propertyFlags & wanted) == wanted) return i;
    }
    return UINT32_MAX;
  };
  std::uint32_t type = UINT32_MAX;
  if (place == Place::device) type = find(VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT);
  if (place == Place::download) type = find(kVisible | VK_MEMORY_PROPERTY_HOST_CACHED_BIT);
  if (type == UINT32_MAX) type = find(place == Place::device ? 0 : kVisible);
  if (type == UINT32_MAX)
    fail(ErrorCode::device, "vulkan: the device has no memory that a buffer can lie in");
  return type;
}

Memory::Block& Memory::new_block(std::uint64_t bytes, std::uint32_t type, Place place) {
  if (bytes > limit_ - taken_) {
    fail(ErrorCode::out_of_memory, "vulkan: {} bytes beside {} that are in use exceed the limit of {}", bytes,
         taken_, limit_);
  }
  auto block = std::make_unique<Block>(Block{VK_NULL_HANDLE, type, bytes, nullptr, FreeList(bytes)});
  blocks_.reserve(blocks_.size() + 1);
  VkMemoryAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_MEMORY_ALLOCATE_INFO;
  info.allocationSize = bytes;
  info.memoryTypeIndex = type;
  check(api_.AllocateMemory(device_, &info, nullptr, &block->memory), "allocate memory of the device");
  if (place != Place::device) {
    void* mapped = nullptr;
    const VkResult result = api_.MapMemory(device_, block->memory, 0, VK_WHOLE_SIZE, 0, &mapped);
    if (result != VK_SUCCESS) api_.FreeMemory(device_, block->memory, nullptr);
    check(result, "map memory of the device");
    block->mapped = static_cast<std::byte*>(mapped);
  }
  taken_ += bytes;
  blocks_.push_back(std::move(block));
  return *blocks_.back();
}

Memory::Block& Memory::block_for(const VkMemoryRequirements& needs, Place place, std::uint64_t& offset) {
  const std::uint32_t type = type_for(needs.memoryTypeBits, place);
  for (const std::unique_ptr<Block>& block : blocks_) {
    if (block->type != type || (block->mapped == nullptr) != (place == Place::device)) continue;
    const auto found = block->free.take(needs.size, needs.alignment);
    if (!found) continue;
    offset = *found;
    return *block;
  }
  const bool own = needs.size > kBlockBytes / 2 || kBlockBytes > limit_ - taken_;
  Block& block = new_block(own ? needs.size : kBlockBytes, type, place);
  offset = *block.free.take(needs.size, needs.alignment);
  return block;
}

Buffer Memory::buffer(std::uint64_t bytes, Place place) {
  VkBufferCreateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_BUFFER_CREATE_INFO;
  info.size = std::max<std::uint64_t>((bytes + 3) / 4 * 4, 16);
  info.usage = VK_BUFFER_USAGE_STORAGE_BUFFER_BIT | VK_BUFFER_USAGE_TRANSFER_SRC_BIT |
               VK_BUFFER_USAGE_TRANSFER_DST_BIT;
  info.sharingMode = VK_SHARING_MODE_EXCLUSIVE;
  Buffer buffer;
  check(api_.CreateBuffer(device_, &info, nullptr, &buffer.buffer_), "make a buffer");
  buffer.owner_ = this;  // from here on it is released whatever happens
  ++buffers_;
  buffer.bytes_ = info.size;
  VkMemoryRequirements needs;
  api_.GetBufferMemoryRequirements(device_, buffer.buffer_, &needs);
  Block& block = block_for(needs, place, buffer.offset_);
  buffer.block_ = &block;
  buffer.taken_ = needs.size;
  if (block.mapped != nullptr) buffer.mapped_ = block.mapped + buffer.offset_;
  check(api_.BindBufferMemory(device_, buffer.buffer_, block.memory, buffer.offset_), "bind a buffer");
  return buffer;
}

void Memory::release(Buffer& buffer) noexcept {
  api_.DestroyBuffer(device_, buffer.buffer_, nullptr);
  --buffers_;
  if (buffer.block_ == nullptr) return;
  Block& block = *static_cast<Block*>(buffer.block_);
  block.free.give(buffer.offset_, buffer.taken_);
  if (block.free.empty()) free(block);
}

/// A block that nobody uses is kept for who comes next, if it is of the common size and the only such.
void Memory::free(Block& block) noexcept {
  const auto alike = [&](const std::unique_ptr<Block>& other) {
    return other.get() != &block && other->type == block.type && other->free.empty() &&
           (other->mapped == nullptr) == (block.mapped == nullptr);
  };
  if (block.bytes == kBlockBytes && std::none_of(blocks_.begin(), blocks_.end(), alike)) return;
  api_.FreeMemory(device_, block.memory, nullptr);
  taken_ -= block.bytes;
  blocks_.erase(
      std::find_if(blocks_.begin(), blocks_.end(), [&](const auto& other) { return other.get() == &block; }));
}

}  // namespace mxfp4::kernel::vulkan
