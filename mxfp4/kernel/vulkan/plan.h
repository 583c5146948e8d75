// How work is cut for a device: functions of sizes and limits alone.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mxfp4::kernel::vulkan {

/// Blocks that one workgroup quantises.
inline constexpr std::size_t kWorkgroupBlocks = 64;

/// Blocks that go through the device at a time, whole workgroups: their elements, of `bytes_each`, fill no
/// more than `most_bytes`.
std::size_t blocks_per_pass(std::size_t block_size, std::size_t bytes_each, std::uint64_t most_bytes);

}  // namespace mxfp4::kernel::vulkan
