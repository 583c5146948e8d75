#include "mxfp4/kernel/vulkan/free_list.h"

#include <iterator>

namespace mxfp4::kernel::vulkan {

std::optional<std::uint64_t> FreeList::take(std::uint64_t bytes, std::uint64_t alignment) {
  for (auto gap = gaps_.begin(); gap != gaps_.end(); ++gap) {
    const std::uint64_t begin = gap->first, end = begin + gap->second;
    const std::uint64_t offset = (begin + alignment - 1) / alignment * alignment;
    if (offset > end || end - offset < bytes) continue;
    gaps_.erase(gap);
    if (offset > begin) gaps_[begin] = offset - begin;
    if (end > offset + bytes) gaps_[offset + bytes] = end - offset - bytes;
    return offset;
  }
  return std::nullopt;
}

void FreeList::give(std::uint64_t offset, std::uint64_t bytes) {
  auto gap = gaps_.emplace(offset, bytes).first;
  const auto next = std::next(gap);
  if (next != gaps_.end() && next->first == offset + bytes) {
    gap->second += next->second;
    gaps_.erase(next);
  }
  if (gap == gaps_.begin()) return;
  const auto previous = std::prev(gap);
  if (previous->first + previous->second == gap->first) {
    previous->second += gap->second;
    gaps_.erase(gap);
  }
}

}  // namespace mxfp4::kernel::vulkan
