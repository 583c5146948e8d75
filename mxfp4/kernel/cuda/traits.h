// What matters of a device, which one is used, and what an error of the runtime is to a caller: functions of
// what the driver says.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "mxfp4/base/error.h"

namespace mxfp4::kernel::cuda {

struct Traits {
  std::string name;
  int major = 0, minor = 0;  ///< compute capability
  int multiprocessors = 0;
  std::size_t shared_bytes = 0;  ///< of a thread block, at most
};

/// Why a device cannot be used, or nothing.
std::string refusal(const Traits& traits);

/// The index of the usable device with most multiprocessors, of several alike the first; -1 if there is none.
int best_of(const std::vector<Traits>& devices);

/// Numbers of cudaError_t that are more than a failure of the device.
inline constexpr int kMemoryAllocation = 2, kInsufficientDriver = 35, kNoDevice = 100;

/// out_of_memory, unsupported (there is no driver or no device), or device.
ErrorCode code_of(int error) noexcept;

}  // namespace mxfp4::kernel::cuda
