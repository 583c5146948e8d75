#include "mxfp4/kernel/vulkan/recording.h"

namespace mxfp4::kernel::vulkan {

Recording::Recording(Gpu& gpu, std::uint32_t dispatches) : gpu_(gpu) {
  const Api& api = gpu.api();
  const VkDescriptorPoolSize size{VK_DESCRIPTOR_TYPE_STORAGE_BUFFER, dispatches * kBindings};
  VkDescriptorPoolCreateInfo pool{};
  pool.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_POOL_CREATE_INFO;
  pool.maxSets = dispatches;
  pool.poolSizeCount = 1;
  pool.pPoolSizes = &size;
  check(api.CreateDescriptorPool(gpu.handle(), &pool, nullptr, &pool_), "make a pool of bindings");
  VkCommandBufferAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_ALLOCATE_INFO;
  info.commandPool = gpu.command_pool();
  info.level = VK_COMMAND_BUFFER_LEVEL_PRIMARY;
  info.commandBufferCount = 1;
  try {
    check(api.AllocateCommandBuffers(gpu.handle(), &info, &commands_), "make a command buffer");
    VkCommandBufferBeginInfo begin{};
    begin.sType = VK_STRUCTURE_TYPE_COMMAND_BUFFER_BEGIN_INFO;
    check(api.BeginCommandBuffer(commands_, &begin), "begin a command buffer");
  } catch (...) {
    release();
    throw;
  }
}

Recording::~Recording() {
  release();
}

void Recording::release() noexcept {
  const Api& api = gpu_.api();
  if (commands_ != VK_NULL_HANDLE) {
    api.FreeCommandBuffers(gpu_.handle(), gpu_.command_pool(), 1, &commands_);
  }
  api.DestroyDescriptorPool(gpu_.handle(), pool_, nullptr);
}

void Recording::copy(const Buffer& from, const Buffer& to, std::uint64_t bytes, std::uint64_t from_offset,
                     std::uint64_t to_offset) {
  const VkBufferCopy region{from_offset, to_offset, bytes};
  gpu_.api().CmdCopyBuffer(commands_, from.handle(), to.handle(), 1, &region);
}

void Recording::fill(const Buffer& buffer, std::uint32_t word) {
  gpu_.api().CmdFillBuffer(commands_, buffer.handle(), 0, VK_WHOLE_SIZE, word);
}

VkDescriptorSet Recording::set_of(std::initializer_list<Binding> bindings) {
  VkDescriptorSetLayout layout = gpu_.set_layout();
  VkDescriptorSetAllocateInfo info{};
  info.sType = VK_STRUCTURE_TYPE_DESCRIPTOR_SET_ALLOCATE_INFO;
  info.descriptorPool = pool_;
  info.descriptorSetCount = 1;
  info.pSetLayouts = &layout;
  VkDescriptorSet set = VK_NULL_HANDLE;
  check(gpu_.api().AllocateDescriptorSets(gpu_.handle(), &info, &set), "bind buffers");
  VkDescriptorBufferInfo buffers[kBindings] = {};
  VkWriteDescriptorSet writes[kBindings] = {};
  std::uint32_t count = 0;
  for (const Binding& binding : bindings) {
    buffers[count] = {binding.buffer.handle(), binding.offset, binding.bytes};
    writes[count].sType = VK_STRUCTURE_TYPE_WRITE_DESCRIPTOR_SET;
    writes[count].dstSet = set;
    writes[count].dstBinding = count;
    writes[count].descriptorCount = 1;
    writes[count].descriptorType = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
    writes[count].pBufferInfo = &buffers[count];
    ++count;
  }
  gpu_.api().UpdateDescriptorSets(gpu_.handle(), count, writes, 0, nullptr);
  return set;
}

void Recording::dispatch(Shader shader, std::uint32_t constant, std::initializer_list<Binding> bindings,
                         const void* arguments, std::uint32_t argument_bytes, std::uint32_t x,
                         std::uint32_t y) {
  const Api& api = gpu_.api();
  const VkDescriptorSet set = set_of(bindings);
  api.CmdBindPipeline(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, gpu_.pipeline(shader, constant));
  api.CmdBindDescriptorSets(commands_, VK_PIPELINE_BIND_POINT_COMPUTE, gpu_.pipeline_layout(), 0, 1, &set, 0,
                            nullptr);
  api.CmdPushConstants(commands_, gpu_.pipeline_layout(), VK_SHADER_STAGE_COMPUTE_BIT, 0, argument_bytes,
                       arguments);
  api.CmdDispatch(commands_, x, y, 1);
}

void Recording::barrier() {
  VkMemoryBarrier memory{};
  memory.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER;
  memory.srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT | VK_ACCESS_TRANSFER_WRITE_BIT;
  memory.dstAccessMask = VK_ACCESS_SHADER_READ_BIT | VK_ACCESS_SHADER_WRITE_BIT |
                         VK_ACCESS_TRANSFER_READ_BIT | VK_ACCESS_TRANSFER_WRITE_BIT | VK_ACCESS_HOST_READ_BIT;
  const VkPipelineStageFlags work = VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT | VK_PIPELINE_STAGE_TRANSFER_BIT;
  gpu_.api().CmdPipelineBarrier(commands_, work, work | VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &memory, 0, nullptr,
                                0, nullptr);
}

void Recording::end() {
  check(gpu_.api().EndCommandBuffer(commands_), "end a command buffer");
}

}  // namespace mxfp4::kernel::vulkan
