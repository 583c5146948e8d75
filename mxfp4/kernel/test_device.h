// A device for tests of what stands above the kernels.
#pragma once

#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "mxfp4/kernel/device.h"

namespace mxfp4::kernel {

/// The device that MXFP4_DEVICE names, or the best one of the first backend that has any, or nothing and the
/// reason.
inline std::optional<Device> device_for_tests(std::string& why_not) {
  if (const Device named = default_device(); !named.is_cpu()) return named;
  const DeviceList list = list_devices();
  why_not = list.why_none.empty() ? "this build has no backend for devices" : list.why_none.front();
  for (const DeviceInfo& info : list.devices) {
    if (info.best) return info.device;
    why_not = info.name + ": " + info.refusal;
  }
  return std::nullopt;
}

/// Tests of what has options with a context: on a device, or skipped.
template <class Options>
class OnDevice : public testing::Test {
 protected:
  void SetUp() override {
    std::string why_not;
    const std::optional<Device> device = device_for_tests(why_not);
    if (!device) GTEST_SKIP() << why_not;
    options_.context.device = *device;
  }
  Options options_;
};

}  // namespace mxfp4::kernel
