// What the system says about memory and disks.
#pragma once

#include <cstdint>
#include <filesystem>

namespace mxfp4 {

/// Bytes of anonymous memory (heap, stacks; not mapped files) that this process has resident now; 0 if
/// unknown.
std::uint64_t anonymous_memory() noexcept;

/// Bytes free for this user on the file system that holds `path`, or would hold it; 0 if unknown.
std::uint64_t available_disk(const std::filesystem::path& path) noexcept;

}  // namespace mxfp4
