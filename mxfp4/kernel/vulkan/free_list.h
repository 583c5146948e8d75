// Which bytes of a block of memory are free.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace mxfp4::kernel::vulkan {

/// Takes the first gap that fits, and joins gaps again when they are given back.
class FreeList {
 public:
  explicit FreeList(std::uint64_t bytes) : bytes_(bytes) { gaps_[0] = bytes; }

  /// The offset of `bytes` bytes, at least one, at a multiple of `alignment`; nothing if there is no such
  /// gap.
  std::optional<std::uint64_t> take(std::uint64_t bytes, std::uint64_t alignment);
  /// What take() gave.
  void give(std::uint64_t offset, std::uint64_t bytes);
  bool empty() const noexcept { return gaps_.size() == 1 && gaps_.begin()->second == bytes_; }

 private:
  std::uint64_t bytes_;
  std::map<std::uint64_t, std::uint64_t> gaps_;  // offset to bytes
};

}  // namespace mxfp4::kernel::vulkan
