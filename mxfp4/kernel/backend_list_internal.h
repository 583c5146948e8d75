// What the lists of all backends have in common. A backend has Traits of its own, with a name, and for them
// refusal() and best_of().
#pragma once

#include <string>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/device.h"

namespace mxfp4::kernel {

/// The devices that all_traits() finds; what it throws is why there are none.
template <class AllTraits>
DeviceList list_of(Backend backend, const AllTraits& all_traits) {
  DeviceList list;
  try {
    const auto all = all_traits();
    const int best = best_of(all);
    for (int i = 0; i < static_cast<int>(all.size()); ++i) {
      const auto& traits = all[static_cast<std::size_t>(i)];
      list.devices.push_back({{backend, i}, traits.name, refusal(traits), i == best});
    }
    if (all.empty()) list.why_none.push_back(to_string(Device{backend, Device::kBest}) + ": no device");
  } catch (const Error& error) {
    list.why_none.emplace_back(error.what());
  }
  return list;
}

/// The number of the device that is meant, which can be used. Throws Error invalid_argument for a number that
/// none has, unsupported with the reasons if it cannot be used or none can.
template <class Traits>
std::size_t choose(Device device, const std::vector<Traits>& all) {
  if (device.index >= static_cast<int>(all.size())) {
    fail(ErrorCode::invalid_argument, "{}: there are {} devices", to_string(device), all.size());
  }
  const std::string backend = to_string(Device{device.backend, Device::kBest});
  const int chosen = device.index == Device::kBest ? best_of(all) : device.index;
  if (chosen < 0) {
    std::string why;
    for (const Traits& traits : all) why += fmt::format("; {}: {}", traits.name, refusal(traits));
    fail(ErrorCode::unsupported, "{}: no device can be used{}", backend, why);
  }
  const Traits& traits = all[static_cast<std::size_t>(chosen)];
  if (const std::string why = refusal(traits); !why.empty()) {
    fail(ErrorCode::unsupported, "{}: {} cannot be used: {}", backend, traits.name, why);
  }
  return static_cast<std::size_t>(chosen);
}

}  // namespace mxfp4::kernel
