// Which of a machine's devices is used, and why another one is not: functions of what the drivers say.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace mxfp4::kernel::vulkan {

enum class DeviceKind : std::uint8_t { discrete, integrated, virtual_gpu, software, other };  // best first

/// What matters of a device.
struct Traits {
  std::string name;
  DeviceKind kind = DeviceKind::other;
  std::uint32_t version_major = 0, version_minor = 0;
  bool computes = false;                 ///< it has a queue for that
  std::uint32_t invocations = 0;         ///< of a workgroup
  std::uint32_t shared_bytes = 0;        ///< of a workgroup
  std::uint32_t storage_buffers = 0;     ///< of a stage
  std::uint64_t storage_range = 0;       ///< bytes that a binding can show
  std::uint32_t workgroups[2] = {0, 0};  ///< of a dispatch, along x and y
  bool integer_dot = false;              ///< integer dot products of 8-bit integers, four to a word
};

/// What the kernels need.
inline constexpr std::uint32_t kWorkgroup = 128, kSharedBytes = 16384, kBindings = 7;

/// Why a device cannot be used, or nothing.
std::string refusal(const Traits& traits);

/// The index of the best usable device, of several alike the first; -1 if there is none.
int best_of(const std::vector<Traits>& devices);

}  // namespace mxfp4::kernel::vulkan
