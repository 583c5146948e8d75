#include "mxfp4/kernel/vulkan/choice.h"

#include <cstddef>

#include <fmt/format.h>

namespace mxfp4::kernel::vulkan {

std::string refusal(const Traits& traits) {
  if (traits.version_major < 1 || (traits.version_major == 1 && traits.version_minor < 1)) {
    return fmt::format("Vulkan {}.{}, not 1.1", traits.version_major, traits.version_minor);
  }
  if (!traits.computes) return "no queue that computes";
  if (traits.invocations < kWorkgroup) {
    return fmt::format("workgroups of {} invocations, not {}", traits.invocations, kWorkgroup);
  }
  if (traits.shared_bytes < kSharedBytes) {
    return fmt::format("{} bytes of shared memory, not {}", traits.shared_bytes, kSharedBytes);
  }
  if (traits.storage_buffers < kBindings) {
    return fmt::format("{} storage buffers at a time, not {}", traits.storage_buffers, kBindings);
  }
  return {};
}

int best_of(const std::vector<Traits>& devices) {
  int best = -1;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (!refusal(devices[i]).empty()) continue;
    if (best < 0 || devices[i].kind < devices[static_cast<std::size_t>(best)].kind) {
      best = static_cast<int>(i);
    }
  }
  return best;
}

}  // namespace mxfp4::kernel::vulkan
