#include "mxfp4/kernel/cuda/traits.h"

#include <fmt/format.h>

namespace mxfp4::kernel::cuda {

std::string refusal(const Traits& traits) {
  constexpr std::size_t kShared = 48 * 1024;
  if (traits.major < 8) {
    return fmt::format("compute capability {}.{}, and kernels need 8.0", traits.major, traits.minor);
  }
  if (traits.shared_bytes < kShared) {
    return fmt::format("{} bytes of shared memory, and kernels need {}", traits.shared_bytes, kShared);
  }
  return {};
}

int best_of(const std::vector<Traits>& devices) {
  int best = -1, most = 0;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    if (!refusal(devices[i]).empty() || devices[i].multiprocessors <= most) continue;
    best = static_cast<int>(i);
    most = devices[i].multiprocessors;
  }
  return best;
}

ErrorCode code_of(int error) noexcept {
  if (error == kMemoryAllocation) return ErrorCode::out_of_memory;
  if (error == kInsufficientDriver || error == kNoDevice) return ErrorCode::unsupported;
  return ErrorCode::device;
}

}  // namespace mxfp4::kernel::cuda
