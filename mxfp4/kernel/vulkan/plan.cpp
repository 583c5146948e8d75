#include "mxfp4/kernel/vulkan/plan.h"

#include <algorithm>

namespace mxfp4::kernel::vulkan {

std::size_t blocks_per_pass(std::size_t block_size, std::size_t bytes_each, std::uint64_t most_bytes) {
  const std::uint64_t blocks = most_bytes / (block_size * bytes_each);
  return std::max<std::size_t>(static_cast<std::size_t>(blocks / kWorkgroupBlocks), 1) * kWorkgroupBlocks;
}

}  // namespace mxfp4::kernel::vulkan
