#include "mxfp4/kernel/cuda/device/cuda_device.h"

#include <utility>
#include <vector>

#include "mxfp4/base/fail_internal.h"
#include "mxfp4/kernel/cuda/device/layer.h"

namespace mxfp4::kernel::cuda {
namespace {

int device_count() {
  int count = 0;
  check(cudaGetDeviceCount(&count), "looking for devices");
  return count;
}

std::vector<Traits> all_traits() {
  std::vector<Traits> traits;
  const int count = device_count();
  for (int i = 0; i < count; ++i) traits.push_back(traits_of(i));
  return traits;
}

}  // namespace

Traits traits_of(int index) {
  cudaDeviceProp properties = {};
  check(cudaGetDeviceProperties(&properties, index),
        fmt::format("asking for the properties of device {}", index));
  return {properties.name, properties.major, properties.minor, properties.multiProcessorCount,
          properties.sharedMemPerBlockOptin};
}

std::unique_ptr<DeviceLayer> CudaDevice::linear(const DeviceMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices);
}

std::unique_ptr<DeviceLayer> CudaDevice::experts(const DeviceExpertMatrices& matrices) {
  return std::make_unique<Layer>(gpu_, matrices);
}

DeviceList list() {
  DeviceList list;
  try {
    const std::vector<Traits> all = all_traits();
    const int best = best_of(all);
    for (int i = 0; i < static_cast<int>(all.size()); ++i) {
      const Traits& traits = all[static_cast<std::size_t>(i)];
      list.devices.push_back({{Backend::cuda, i}, traits.name, refusal(traits), i == best});
    }
    if (all.empty()) list.why_none.emplace_back("cuda: no device");
  } catch (const Error& error) {
    list.why_none.emplace_back(error.what());
  }
  return list;
}

std::unique_ptr<ComputeDevice> open(int index) {
  const std::vector<Traits> all = all_traits();
  if (index >= static_cast<int>(all.size())) {
    fail(ErrorCode::invalid_argument, "cuda:{}: there are {} devices", index, all.size());
  }
  const int chosen = index == Device::kBest ? best_of(all) : index;
  if (chosen < 0 || !refusal(all[static_cast<std::size_t>(chosen)]).empty()) {
    std::string why;
    for (const Traits& traits : all) why += fmt::format("; {}: {}", traits.name, refusal(traits));
    fail(ErrorCode::unsupported, "cuda: no device can be used{}", why);
  }
  return std::make_unique<CudaDevice>(chosen);
}

}  // namespace mxfp4::kernel::cuda
