// Where a computation runs: on the processor, or on a device beside it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mxfp4 {

enum class Backend : std::uint8_t { cpu, vulkan, cuda };

struct Device {
  static constexpr int kBest = -1;  ///< the one that the backend prefers

  Backend backend = Backend::cpu;
  int index = kBest;  ///< in the order of the backend's own list

  bool is_cpu() const noexcept { return backend == Backend::cpu; }
  friend bool operator==(const Device&, const Device&) = default;
};

/// "cpu", "vulkan" or "cuda" for the best device of that backend, "cuda:1" for its second. Throws Error
/// invalid_argument for anything else; whether there is such a device is found out by whoever uses it.
Device parse_device(std::string_view name);

/// What parse_device() reads.
std::string to_string(const Device& device);

/// The one that the environment variable MXFP4_DEVICE names, or the processor. Throws Error invalid_argument
/// if that is no name.
Device default_device();

}  // namespace mxfp4
